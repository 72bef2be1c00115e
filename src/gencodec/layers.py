"""The layer that the small networks of codec and autoencoder are made of.

Source: blocks after DCVC-RT, arXiv 2502.20762.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Depthwise 5x5 between two 1x1 layers, then a gated feed-forward layer; both residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(width, width, 1)
        self.spatial = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.merge = nn.Conv2d(width, width, 1)
        self.up = nn.Conv2d(width, 2 * width, 1)
        self.down = nn.Conv2d(width, width, 1)
        for layer in (self.merge, self.down):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, width, h, w] to the same shape."""
        x = x + self.merge(self.spatial(F.silu(self.into(_unit_power(x)))))
        a, b = self.up(_unit_power(x)).chunk(2, 1)
        result: Tensor = x + self.down(F.silu(a) * b)
        return result


def _unit_power(x: Tensor) -> Tensor:
    """Scale the features of each position to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)
