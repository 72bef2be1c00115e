"""The picture transform: the anchor of a group <-> symbols, alone.

    picture [b, 3, H, W]  ->  coefficients [b, c, H/16, W/16]  ->  picture

A linear block transform and its synthesis, started from a Karhunen-Loeve transform, plus networks
at 1/8 and 1/16 of the size that add what a linear map cannot do: a block transform with a good
entropy model alone needs three times the bits of x265's intra frames.

Source: nonlinear transform coding, Balle et al., arXiv 2007.03034; blocks after DCVC-RT,
arXiv 2502.20762.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.layers import Block

STRIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureConfig:
    """Sizes of the picture transform.

    Attributes:
        channels: coefficients a block of 16 x 16 pixels.
        fine_width, fine_depth: features and blocks at 1/8 of the size.
        coarse_width, coarse_depth: features and blocks at 1/16 of the size.
    """

    channels: int = 96
    fine_width: int = 80
    fine_depth: int = 2
    coarse_width: int = 160
    coarse_depth: int = 3


class PictureTransform(nn.Module):
    """Analysis and synthesis of single pictures; both depend on the quality through gains."""

    def __init__(self, config: PictureConfig) -> None:
        super().__init__()
        pixels, c = 3 * STRIDE**2, config.channels
        fine, coarse = config.fine_width, config.coarse_width
        self.linear_analysis = nn.Conv2d(pixels, c, 1)
        self.linear_synthesis = nn.Conv2d(c, pixels, 1)
        self.fine_in = nn.Conv2d(3 * 64, fine, 1)
        self.fine_analysis = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth)))
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse_analysis = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.coefficients = nn.Conv2d(coarse, c, 1)
        self.coarse_in = nn.Conv2d(c, coarse, 1)
        self.coarse_synthesis = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.fine_synthesis = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth)))
        self.pixels = nn.Conv2d(fine, 3 * 64, 3, padding=1)
        for parameter in (*self.coefficients.parameters(), *self.pixels.parameters()):
            nn.init.zeros_(parameter)

    def analyse(self, picture: Tensor, gain: Tensor) -> Tensor:
        """Map a picture [b, 3, H, W] to coefficients [b, c, h, w].

        Args:
            picture: in -1..1.
            gain: of the features at 1/16 [b, coarse_width, 1, 1].
        """
        x = self.fine_analysis(self.fine_in(F.pixel_unshuffle(picture, 8)))
        x = self.down(F.pixel_unshuffle(x, 2))
        x = self.coarse_analysis(x * (1 + gain) + gain)
        linear = self.linear_analysis(F.pixel_unshuffle(picture, STRIDE))
        return linear + self.coefficients(x)

    def synthesise(self, coefficients: Tensor, gain: Tensor) -> Tensor:
        """Map coefficients [b, c, h, w] to a picture [b, 3, H, W], not clamped."""
        x = self.coarse_in(coefficients)
        x = self.coarse_synthesis(x * (1 + gain) + gain)
        x = self.fine_synthesis(F.pixel_shuffle(self.up(x), 2))
        linear = F.pixel_shuffle(self.linear_synthesis(coefficients), STRIDE)
        return linear + F.pixel_shuffle(self.pixels(x), 8)
