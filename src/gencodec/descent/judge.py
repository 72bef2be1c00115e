"""The judge: how unlike two pictures look, by a network small enough to ship with a pack.

    pictures [n, 3, H, W], in pairs  ->  features of six layers  ->  distance [n]

An encoder that takes its time asks it which way to round. It learned from the SqueezeNet behind
LPIPS to see the same in a picture, layer by layer: the same strides and widths, narrower within and
without the last layer.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018 (the distance); Iandola et al., "SqueezeNet", 2016 (fire modules); FitNets, Romero et al.,
arXiv 1412.6550 (learning from features).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gencodec.execution import memory_errors

SMALLEST = 32  # pixels a side of a picture that all layers see

_EVERY = 4  # frames of a video, one of which is seen
_MOST_PIXELS = 1 << 20  # of a frame that is seen as it is, which bounds memory
_FIRST = 64
_POOLED = (0, 2, 4)  # fires that see features of half the size
_SEEN = (1, 3, 4, 5, 6)  # fires whose output counts, beside that of the first layer
_EXPANDED = (64, 64, 128, 128, 192, 192, 256)  # a half of a fire's output


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """Sizes of the judge.

    Attributes:
        squeezed: features within each fire.
    """

    squeezed: Sequence[int] = (16, 16, 32, 32, 40, 40, 48)


class Judge(nn.Module):
    """A network that sees what LPIPS-squeeze sees."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, _FIRST, 3, stride=2)
        widths = (_FIRST, *(2 * width for width in _EXPANDED))
        sizes = zip(widths[:-1], config.squeezed, _EXPANDED, strict=True)
        self.fires = nn.ModuleList(_Fire(*size) for size in sizes)
        seen = (_FIRST, *(widths[k + 1] for k in _SEEN))
        self.worth = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in seen)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance [n] of pictures `a` and `b` [n, 3, H, W] in -1..1; 0 is equal."""
        return self.distance(self.features(a), self.features(b))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return what `distance` compares: of pictures [n, 3, H, W], unit features of a layer."""
        x = F.relu(self.first(x.contiguous(memory_format=torch.channels_last)))
        seen = [_unit(x)]
        for k, fire in enumerate(self.fires):
            x = fire(F.max_pool2d(x, 3, 2, ceil_mode=True) if k in _POOLED else x)
            if k in _SEEN:
                seen.append(_unit(x))
        return seen

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Return the distance [n] of what `features` gave."""
        layers = zip(a, b, self.worth, strict=True)
        parts = [
            torch.einsum("nchw,c->n", (x - y).square(), F.softplus(worth)) / x[0, 0].numel()
            for x, y, worth in layers
        ]
        return torch.stack(parts).sum(0)

    @torch.inference_mode()
    @memory_errors()
    def between(self, shown: NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
        """Return the mean distance of every fourth of two videos' frames [T, H, W, 3].

        They must be at least `SMALLEST` pixels high and wide.
        """
        pairs = zip(shown[::_EVERY], true[::_EVERY], strict=True)
        return float(np.mean([float(self(*map(self._picture, pair))) for pair in pairs]))

    def _picture(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return a picture [1, 3, H, W] in -1..1 of [H, W, 3], halved while it is large."""
        pixels = torch.from_numpy(np.ascontiguousarray(rgb)).to(self.first.weight.device)
        picture = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
        while picture[0, 0].numel() > _MOST_PIXELS:
            picture = F.avg_pool2d(picture, 2)
        return picture


class _Fire(nn.Module):
    """A narrow layer, then pixels and their neighbourhoods of it side by side."""

    def __init__(self, width: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, squeezed, 1)
        self.pixel = nn.Conv2d(squeezed, expanded, 1)
        self.around = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.pixel(x), self.around(x)], 1))


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10)
