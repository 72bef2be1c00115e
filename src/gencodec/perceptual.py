"""How unlike two pictures look to a SqueezeNet: LPIPS to train and measure with, a second opinion.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018 (LPIPS v0.1); Iandola et al., "SqueezeNet", 2016; layer names as in the weights.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.errors import PackError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """A SqueezeNet: what its layers are called, where it pools, what it is shown."""

    first: str
    fires: tuple[str, ...]
    pool_before: tuple[str, ...]
    taps: tuple[str, ...]  # fires whose output is compared, beside the first layer's
    shift: tuple[float, float, float]  # subtracted from RGB in -1..1
    scale: tuple[float, float, float]  # divided by then
    bgr: bool = False


def _fires(pattern: str, numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in numbers)


_SQUEEZENET_1_1 = _Layout(
    first="features.0",
    fires=_fires("features.{}", (3, 4, 6, 7, 9, 10, 11, 12)),
    pool_before=_fires("features.{}", (3, 6, 9)),
    taps=_fires("features.{}", (4, 7, 9, 10, 11, 12)),
    shift=(-0.030, -0.088, -0.188),
    scale=(0.458, 0.448, 0.450),
)
_SQUEEZENET_1_0 = _Layout(
    first="conv1",
    fires=_fires("fire{}", range(2, 10)),
    pool_before=_fires("fire{}", (2, 5, 9)),
    taps=_fires("fire{}", (3, 5, 6, 7, 8, 9)),
    shift=(123 / 127.5 - 1, 117 / 127.5 - 1, 104 / 127.5 - 1),  # of Caffe's ImageNet, as RGB
    scale=(1 / 127.5, 1 / 127.5, 1 / 127.5),
    bgr=True,
)


class _SqueezeNet(nn.Module):
    """Distance of pictures by the features of a SqueezeNet, each position's of unit length."""

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Path, layout: _Layout) -> None:
        super().__init__()
        self._layout = layout
        for key, value in _read(weights).items():
            self.register_buffer(key.replace(".", "_"), value)
        self.register_buffer("shift", torch.tensor(layout.shift).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(layout.scale).view(1, 3, 1, 1))
        blank = torch.zeros(1, 3, 32, 32)
        try:
            with torch.no_grad():
                self(blank, blank)
        except (AttributeError, RuntimeError) as error:
            raise PackError(f"{weights} does not hold the weights it should: {error}") from error

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance [n] of pictures `a` and `b` [n, 3, H, W] in -1..1, H, W >= 21."""
        return self.distance(self.features(a), self.features(b))

    def features(self, x: Tensor) -> list[Tensor]:
        """Return what `distance` compares: of pictures [n, 3, H, W] in -1..1, one of each layer."""
        x = (x - self.shift) / self.scale
        layout = self._layout
        x = F.relu(self._conv(x.flip(1) if layout.bgr else x, layout.first, stride=2))
        taps = [_unit(x)]
        for name in layout.fires:
            if name in layout.pool_before:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            s = F.relu(self._conv(x, f"{name}.squeeze"))
            left = self._conv(s, f"{name}.expand1x1")
            right = self._conv(s, f"{name}.expand3x3", padding=1)
            x = F.relu(torch.cat([left, right], 1))
            if name in layout.taps:
                taps.append(_unit(x))
        return taps

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Return the distance [n] of what `features` gave."""
        layers = enumerate(zip(a, b, strict=True))
        parts = [self._weighted(k, (fa - fb) ** 2).sum(1).mean((1, 2)) for k, (fa, fb) in layers]
        return torch.stack(parts).sum(0)

    def _weighted(self, layer: int, difference: Tensor) -> Tensor:
        """Return squared differences [n, c, h, w] of a layer, times what they count."""
        raise NotImplementedError

    def _conv(self, x: Tensor, name: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        name = name.replace(".", "_")
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)


class Lpips(_SqueezeNet):
    """LPIPS-squeeze distance of two batches of pictures; 0 is equal, about 0.5 is unlike.

    Args:
        weights: `.npz` with keys `features.N...` of torchvision's SqueezeNet 1.1 and `lpips.linK`.

    Raises:
        PackError: the weights are missing or incomplete.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__(weights, _SQUEEZENET_1_1)

    def layer_weights(self) -> list[Tensor]:
        """Return what each channel of each layer counts [c]."""
        return [self._weights(layer) for layer in range(1 + len(self._layout.taps))]

    def _weights(self, layer: int) -> Tensor:
        weights: Tensor = getattr(self, f"lpips_lin{layer}")
        return weights.flatten()

    def _weighted(self, layer: int, difference: Tensor) -> Tensor:
        return difference * self._weights(layer).view(1, -1, 1, 1)


class SqueezeNet10(_SqueezeNet):
    """Mean distance of the layers of the original SqueezeNet 1.0: a network apart from LPIPS's.

    Args:
        weights: `.npz` with keys `conv1...` and `fireN...`.

    Raises:
        PackError: the weights are missing or incomplete.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__(weights, _SQUEEZENET_1_0)

    def _weighted(self, layer: int, difference: Tensor) -> Tensor:
        return difference / (1 + len(_SQUEEZENET_1_0.taps))


def _read(weights: Path) -> dict[str, Tensor]:
    try:
        with np.load(weights, allow_pickle=False) as stored:
            return {key: torch.from_numpy(stored[key].astype(np.float32)) for key in stored.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise PackError(f"cannot read the weights {weights}: {error}") from error


def _unit(x: Tensor) -> Tensor:
    x = x.float()
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
