"""LPIPS with the SqueezeNet 1.1 backbone, as a training loss.

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
CVPR 2018 (LPIPS v0.1); layer names as in torchvision's SqueezeNet 1.1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.errors import PackError

_FIRES = (3, 4, 6, 7, 9, 10, 11, 12)
_POOL_BEFORE = (3, 6, 9)
_TAPS = (4, 7, 9, 10, 11, 12)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Lpips(nn.Module):
    """LPIPS-squeeze distance of two batches of pictures; 0 is equal, about 0.5 is unlike.

    Args:
        weights: `.npz` with keys `features.N...` and `lpips.linK`.

    Raises:
        PackError: the weights are missing or incomplete.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            stored = np.load(weights, allow_pickle=False)
            arrays = {key: torch.from_numpy(stored[key].astype(np.float32)) for key in stored.files}
        except (OSError, ValueError) as error:
            raise PackError(f"cannot read LPIPS weights {weights}: {error}") from error
        for key, value in arrays.items():
            self.register_buffer(key.replace(".", "_"), value)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance [n] of pictures `a` and `b` [n, 3, H, W] in -1..1."""
        total = torch.zeros(len(a), device=a.device)
        for k, (fa, fb) in enumerate(zip(self._features(a), self._features(b), strict=True)):
            difference = (_unit(fa) - _unit(fb)) ** 2
            weight = getattr(self, f"lpips_lin{k}").reshape(1, -1, 1, 1)
            total = total + (difference * weight).sum(1).mean((1, 2))
        return total

    def _features(self, x: Tensor) -> list[Tensor]:
        x = (x - self.shift) / self.scale
        x = F.relu(self._conv(x, "features_0", stride=2))
        taps = [x]
        for n in _FIRES:
            if n in _POOL_BEFORE:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            s = F.relu(self._conv(x, f"features_{n}_squeeze"))
            left = self._conv(s, f"features_{n}_expand1x1")
            right = self._conv(s, f"features_{n}_expand3x3", padding=1)
            x = F.relu(torch.cat([left, right], 1))
            if n in _TAPS:
                taps.append(x)
        return taps

    def _conv(self, x: Tensor, name: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
