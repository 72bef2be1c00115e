"""The networks of the motion codec: they decide what to code, clean key pictures, blend frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.layers import Block
from gencodec.transform.motion import FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionCodecConfig:
    """Sizes of the motion codec.

    Attributes:
        channels: symbols a latent position, those of motion included.
        picture: sizes of the picture transform but for its channels.
        fine_width, fine_depth: features and blocks at 1/8 of the size of the networks that analyse
            and clean key pictures, and that blend frames.
        coarse_width, coarse_depth: the same at 1/16; nothing is blended there.
        hyper_width: features of the hyper analysis.
        hyper_channels: channels of the hyper symbols.
        hyper_stride: latent positions a side behind one hyper position.
        qualities: number of quality indices; larger is better and costs more bits.
        nodes: quality indices with parameters of their own; the others are interpolated.
        worth: squared error (pixels in -1..1, summed) that one bit of the anchor is worth, at
            the worst and at the best quality.
        inter_worth: the same of the other frames.
    """

    channels: int = 96
    picture: dict[str, int] = field(default_factory=dict)
    fine_width: int = 64
    fine_depth: int = 4
    coarse_width: int = 128
    coarse_depth: int = 3
    hyper_width: int = 64
    hyper_channels: int = 8
    hyper_stride: int = 4
    qualities: int = 64
    nodes: int = 9
    worth: Sequence[float] = (2.0, 0.002)
    inter_worth: Sequence[float] = (120.0, 0.006)

    @property
    def width(self) -> int:
        """Channels of the decoder features."""
        return self.channels


class Decision(nn.Module):
    """What of a key picture's coefficients is worth coding, given what is predicted."""

    def __init__(self, coefficients: int, config: MotionCodecConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.pixels_in = nn.Conv2d(2 * 3 * 64, fine, 1)
        self.fine = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth // 2)))
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.coefficients = nn.Conv2d(coarse, coefficients, 1)
        _silence(self.coefficients)

    def forward(self, key: Tensor, predicted: Tensor, gain: Tensor) -> Tensor:
        """Return what to add to the coefficients' difference [b, c, h, w].

        Args:
            key: picture [b, 3, H, W].
            predicted: what it is predicted to be.
            gain: of the features at 1/16 [b, coarse_width, 1, 1].
        """
        x = self.fine(self.pixels_in(F.pixel_unshuffle(torch.cat([key, predicted], 1), 8)))
        x = self.down(F.pixel_unshuffle(x, 2))
        return self.coefficients(self.coarse(x * (1 + gain) + gain))


class LoopFilter(nn.Module):
    """Removes block edges and ringing from key pictures, and adds what a linear map cannot."""

    def __init__(self, coefficients: int, config: MotionCodecConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.pixels_in = nn.Conv2d(3 * 64, fine, 1)
        self.coefficients_in = nn.Conv2d(coefficients, coarse, 1)
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.blocks = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth)))
        self.pixels = nn.Conv2d(fine, 3 * 64, 1)
        _silence(self.pixels)

    def forward(self, picture: Tensor, coefficients: Tensor, gain: Tensor) -> Tensor:
        """Return what to add to a picture [b, 3, H, W].

        Args:
            picture: decoded.
            coefficients: of the residual [b, c, h, w].
            gain: of the features at 1/8 [b, fine_width, 1, 1].
        """
        x = self.pixels_in(F.pixel_unshuffle(picture, 8))
        coarse = self.down(F.pixel_unshuffle(x, 2)) + self.coefficients_in(coefficients)
        x = x + F.pixel_shuffle(self.up(self.coarse(coarse)), 2)
        return F.pixel_shuffle(self.pixels(self.blocks(x * (1 + gain) + gain)), 8)


class Blend(nn.Module):
    """Frames between two key pictures: the more of one where the other does not show the same."""

    def __init__(self, config: MotionCodecConfig) -> None:
        super().__init__()
        width = config.fine_width
        self.pixels_in = nn.Conv2d(2 * 3 * 64, width, 1)
        self.position = nn.Parameter(torch.zeros(FRAMES - 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.fine_depth)))
        self.pixels = nn.Conv2d(width, 4 * 64, 1)
        _silence(self.pixels)

    def forward(
        self, before: Tensor, after: Tensor, index: int, gain: Tensor, gate: Tensor
    ) -> Tensor:
        """Return the frame [b, 3, H, W].

        Args:
            before: the key picture before, moved to the frame [b, 3, H, W].
            after: the one after it, likewise.
            index: 1 .. 3, of the frame.
            gain: of the features [b, width, 1, 1].
            gate: of what is added to the pictures [b, 1, H, W].
        """
        x = self.pixels_in(F.pixel_unshuffle(torch.cat([before, after], 1), 8))
        x = x + self.position[index - 1, :, None, None]
        change = F.pixel_shuffle(self.pixels(self.blocks(x * (1 + gain) + gain)), 8)
        share = torch.sigmoid(change[:, :1] + math.log(index / (FRAMES - index)))
        return before + share * (after - before) + change[:, 1:] * gate


def _silence(layer: nn.Conv2d) -> None:
    """Zero a layer, so that its network starts without influence."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
