"""The video diffusion transformer: diffusers' Wan VACE model, fed with the codec's features.

A text prompt is not part of the codec: the cross attention sees one fixed zero token.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gencodec.execution import define_torchvision_operators
from gencodec.refine.schedule import LEVEL_UNIT

define_torchvision_operators()
from diffusers import WanVACETransformer3DModel  # noqa: E402


class VelocityModel(nn.Module):
    """Predicts the velocity (noise minus data) of a noisy latent under the codec's condition.

    Args:
        config: arguments of `WanVACETransformer3DModel`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.wan = WanVACETransformer3DModel(**config)
        self.text_dim = int(self.wan.config.text_dim)
        self._silence_adapter()

    def _silence_adapter(self) -> None:
        """Zero the adapter's entry and exits, so that it starts without influence."""
        layers = [self.wan.vace_blocks[0].proj_in, *(b.proj_out for b in self.wan.vace_blocks)]
        for layer in layers:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """Return velocities [b, c, t, h, w].

        Args:
            latents: noisy normalised latents [b, c, t, h, w].
            sigma: noise level [b], 0 .. 1.
            condition: [b, d, t, h, w], decoded latents and features; None is no condition.
        """
        wan = self.wan
        if condition is None:
            shape = (len(latents), wan.config.vace_in_channels, *latents.shape[2:])
            condition = latents.new_zeros(shape)
        return wan(
            hidden_states=latents,
            timestep=sigma * LEVEL_UNIT,
            encoder_hidden_states=latents.new_zeros(len(latents), 1, self.text_dim),
            control_hidden_states=condition,
            control_hidden_states_scale=latents.new_ones(len(wan.config.vace_layers)),
            return_dict=False,
        )[0]

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the conditioning adapter; the others are the prior's."""
        modules = (self.wan.vace_blocks, self.wan.vace_patch_embedding)
        return [parameter for module in modules for parameter in module.parameters()]


def euler(
    model: VelocityModel, start: Tensor, levels: tuple[float, ...], condition: Tensor
) -> Tensor:
    """Follow the flow from `start` at levels[0] to levels[-1] by Euler steps."""
    x = start
    for level, following in pairwise(levels):
        sigma = torch.full((len(x),), level, device=x.device)
        x = x + (following - level) * model(x, sigma, condition)
    return x
