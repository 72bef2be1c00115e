"""The door of the refinement: decoded latents and features in, refined latents out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gencodec.execution import Execution, memory_errors
from gencodec.refine.plan import TilePlan, ramp
from gencodec.refine.schedule import noise_levels
from gencodec.refine.transformer import VelocityModel, euler

Latents = NDArray[np.float32]


class RefineStage:
    """Runs a `VelocityModel` over one group at a time, window by window."""

    def __init__(self, model: VelocityModel, execution: Execution) -> None:
        self._model = model.to(execution.device).eval()
        self._execution = execution

    @torch.inference_mode()
    def refine(
        self,
        latents: Latents,
        features: Latents,
        *,
        start_level: int,
        steps: int,
        noise: Latents | None,
        plan: TilePlan,
    ) -> Latents | None:
        """Refine the decoded latents of a group.

        Args:
            latents: decoded normalised latents [c, t, h, w].
            features: the codec's decoder features [f, t, h, w].
            start_level: noise level of the start in thousandths.
            steps: Euler steps from there to 0; 0 returns `latents`.
            noise: unit Gaussian [c, t, h, w] mixed into the start, or None for none.
            plan: windows the transformer sees.

        Returns:
            Refined latents [c, t, h, w], or None if a network produced a number that is not finite.
        """
        if steps == 0:
            return latents
        levels = noise_levels(start_level, steps)
        start = (1 - levels[0]) * latents
        if noise is not None:
            start = start + levels[0] * noise
        condition = np.concatenate([latents, features])
        total = np.zeros_like(latents)
        weight = np.zeros(latents.shape[1:], np.float32)
        t, h, w = latents.shape[1:]
        for window in plan.windows((t, h, w)):
            at = (slice(None), *window)
            share = ramp(window, plan.overlap)
            total[at] += self._sample(start[at], condition[at], levels) * share
            weight[window] += share
        refined: Latents = total / weight
        return refined if np.isfinite(refined).all() else None

    def flow(self, plan: TilePlan) -> PriorFlow:
        """Return the transformer without its condition, as a flow model of latents."""
        return PriorFlow(self, plan)

    @torch.inference_mode()
    def velocity(self, x: Latents, sigma: float, plan: TilePlan) -> Latents:
        """Return the velocity [c, t, h, w] of latents at a noise level, without a condition.

        Args:
            x: noisy latents [c, t, h, w].
            sigma: share of noise, 0 .. 1.
            plan: windows the transformer sees; their velocities are averaged where they overlap.
        """
        total, weight = np.zeros_like(x), np.zeros(x.shape[1:], np.float32)
        t, h, w = x.shape[1:]
        for window in plan.windows((t, h, w)):
            at = (slice(None), *window)
            share = ramp(window, plan.overlap)
            total[at] += self._velocity(x[at], sigma) * share
            weight[window] += share
        averaged: Latents = total / weight
        return averaged

    def _velocity(self, x: Latents, sigma: float) -> Latents:
        device, dtype = self._execution.device, self._execution.dtype
        with memory_errors(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            noisy = torch.from_numpy(np.ascontiguousarray(x)).to(device)[None]
            level = torch.full((1,), sigma, device=device)
            result: Latents = self._model(noisy, level, None)[0].float().cpu().numpy()
        return result

    def _sample(self, start: Latents, condition: Latents, levels: tuple[float, ...]) -> Latents:
        device, dtype = self._execution.device, self._execution.dtype
        with memory_errors(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            x = torch.from_numpy(np.ascontiguousarray(start)).to(device)[None]
            c = torch.from_numpy(np.ascontiguousarray(condition)).to(device)[None]
            result: Latents = euler(self._model, x, levels, c)[0].float().cpu().numpy()
        return result


class PriorFlow:
    """The transformer as a flow model, window by window.

    Attributes:
        takes_clean: latent frames that are known are shown to it clean: it learned them so.
    """

    takes_clean = True

    def __init__(self, stage: RefineStage, plan: TilePlan) -> None:
        self._stage, self._plan = stage, plan

    def velocity(self, x: Latents, sigma: float) -> Latents:
        """Return the velocity [c, t, h, w] of latents [c, t, h, w] at a noise level 0 .. 1."""
        return self._stage.velocity(x, sigma, self._plan)
