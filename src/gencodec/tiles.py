"""Which windows of a latent a network sees at once, and how their results join. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """Windows over latents [c, t, h, w]; 0 means the whole axis.

    Attributes:
        frames: latent frames a window.
        size: latent positions a side of a window.
        overlap: positions (and latent frames, at most half a window) that neighbours share.
    """

    frames: int = 0
    size: int = 0
    overlap: int = 0

    def tiles(self, shape: tuple[int, int]) -> list[tuple[slice, slice]]:
        """Return the windows that cover a latent frame of `shape` (h, w)."""
        return [(rows, columns) for _, rows, columns in self.windows((1, *shape))]

    def windows(self, shape: tuple[int, int, int]) -> list[tuple[slice, slice, slice]]:
        """Return the windows that cover a latent of `shape` (t, h, w)."""
        t, h, w = shape
        frames = _spans(t, self.frames, self.overlap)
        rows, columns = (_spans(length, self.size, self.overlap) for length in (h, w))
        return list(product(frames, rows, columns))


def _spans(length: int, tile: int, overlap: int) -> list[slice]:
    """Cover 0 .. length with spans of `tile` that share at least `overlap`, evenly spread."""
    if tile == 0 or length <= tile:
        return [slice(0, length)]
    overlap = min(overlap, tile // 2)
    count = -(-(length - overlap) // (tile - overlap))
    starts = [round(k * (length - tile) / (count - 1)) for k in range(count)]
    return [slice(start, start + tile) for start in starts]


def ramp(window: tuple[slice, ...], overlap: int) -> NDArray[np.float32]:
    """Return blend weights of a window, as many axes: falling over `overlap` to its edges."""
    axes = [_ramp(span.stop - span.start, overlap) for span in window]
    weights: NDArray[np.float32] = reduce(np.multiply.outer, axes)
    return weights


def _ramp(length: int, overlap: int) -> NDArray[np.float32]:
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(distance / (overlap + 1), 1).astype(np.float32)
