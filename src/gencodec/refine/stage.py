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

    def _sample(self, start: Latents, condition: Latents, levels: tuple[float, ...]) -> Latents:
        device, dtype = self._execution.device, self._execution.dtype
        with memory_errors(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            x = torch.from_numpy(np.ascontiguousarray(start)).to(device)[None]
            c = torch.from_numpy(np.ascontiguousarray(condition)).to(device)[None]
            result: Latents = euler(self._model, x, levels, c)[0].float().cpu().numpy()
        return result
