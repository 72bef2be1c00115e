"""The door of the refinement: decoded latents and features in, refined latents out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencodec.execution import Execution, memory_errors
from gencodec.refine.schedule import noise_levels
from gencodec.refine.transformer import VelocityModel, euler, weight_format
from gencodec.tiles import TilePlan, ramp

Latents = NDArray[np.float32]


class RefineStage:
    """Runs a `VelocityModel` over one group at a time, window by window.

    Weights are kept in the execution's number format, and in main memory where the device is short.

    Attributes:
        weight_bytes: of all weights.
        offloaded: they are in main memory, and each block visits the device when it is its turn.
    """

    def __init__(self, model: VelocityModel, execution: Execution) -> None:
        for name, parameter in model.wan.named_parameters():
            parameter.data = parameter.data.to(weight_format(name, execution.dtype))
        self._model = model.eval().requires_grad_(requires_grad=False)
        self._device = execution.device
        self.weight_bytes = sum(parameter.nbytes for parameter in model.parameters())
        self.offloaded = not execution.holds(self.weight_bytes)
        if self.offloaded:
            model.offload(execution)
        else:
            model.to(execution.device)

    def set_prompt(self, vectors: NDArray[np.float32]) -> None:
        """Take [n, text_dim] as the text that the transformer reads."""
        self._model.set_prompt(torch.from_numpy(vectors))

    @torch.inference_mode()
    def velocity(self, x: Tensor, sigma: float) -> Tensor:
        """Return the pretrained flow's velocity, noise minus data, without the codec's condition.

        Args:
            x: normalised latents [b, c, t, h, w], (1 - sigma) data + sigma noise.
            sigma: share of noise, 0 .. 1.

        Returns:
            Velocities float32 [b, c, t, h, w] on the stage's device.
        """
        with memory_errors():
            x = x.to(self._device, torch.float32)
            return self._model(x, torch.full((len(x),), float(sigma), device=x.device), None)

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

    def _sample(self, start: Latents, condition: Latents, levels: tuple[float, ...]) -> Latents:
        with memory_errors():
            x = torch.from_numpy(np.ascontiguousarray(start)).to(self._device)[None]
            c = torch.from_numpy(np.ascontiguousarray(condition)).to(self._device)[None]
            result: Latents = euler(self._model, x, levels, c)[0].cpu().numpy()
        return result


class PriorFlow:
    """The transformer without its condition as a flow model of latents, window by window.

    Args:
        stage: the transformer.
        plan: windows that it sees.
        takes_clean: latent frames that are known are shown to it clean: it learned them so.
    """

    def __init__(self, stage: RefineStage, plan: TilePlan, *, takes_clean: bool) -> None:
        self._stage, self._plan = stage, plan
        self.takes_clean = takes_clean

    def velocity(self, x: Latents, sigma: float) -> Latents:
        """Return the velocity [c, t, h, w] of latents at a noise level, without a condition.

        Velocities of windows are averaged where they overlap.

        Args:
            x: noisy latents [c, t, h, w].
            sigma: share of noise, 0 .. 1.
        """
        total, weight = np.zeros_like(x), np.zeros(x.shape[1:], np.float32)
        t, h, w = x.shape[1:]
        for window in self._plan.windows((t, h, w)):
            at = (slice(None), *window)
            share = ramp(window, self._plan.overlap)
            noisy = torch.from_numpy(np.ascontiguousarray(x[at]))[None]
            total[at] += self._stage.velocity(noisy, sigma)[0].cpu().numpy() * share
            weight[window] += share
        averaged: Latents = total / weight
        return averaged
