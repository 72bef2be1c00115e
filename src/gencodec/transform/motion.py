"""Motion of blocks: how the picture before a block of four frames moves through it.

A motion field [b, 2, h, w] holds, for every 16 x 16 block, the displacement (x, y) in half pixels
from the fourth frame, the key picture, back to the one before; the frames between move at constant
speed. Vectors are whole numbers: they are symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 16
FRAMES = 4
PER_PIXEL = 2  # steps of a vector in a pixel
_BLEND = 8  # pixels across the border of two blocks in which one gives way to the other
REACH = (BLOCK + _BLEND) // 2  # pixels from its centre in which a block's vector counts
_HALFWAY = (-1, 4, -11, 40, 40, -11, 4, -1)  # 64ths of the pixels around a place between two
_REACH = 16  # of the full search, in pixels of the quarter-size picture
_ROUNDS = 3  # of trying the neighbours' vectors
_SMOOTHNESS = 0.02  # squared error a pixel that a vector's difference to its neighbours may cost
LUMA = (0.299, 0.587, 0.114)


def predict(last: Tensor, first: Tensor, motion: Tensor) -> Tensor:
    """Move two pictures [b, 3, H, W] along a motion field: the key picture they predict.

    Blocks overlap: near a border a pixel is the mean of what the blocks around it say, weighted by
    how near they are; wider overlaps predict no better and look softer. Where all are still the
    last picture comes back bit for bit: the rounding of weights would add up over a group.

    Args:
        last: the key picture before.
        first: the picture of the group's anchor.
        motion: vectors, and 1 where the anchor is meant, else 0 [b, 3, h, w].

    Source: overlapped block motion compensation, Orchard and Sullivan, 1994 (H.263, annex F);
    long-term reference pictures of H.264; interpolation of H.265, 8.5.3.3.3.
    """
    fine = _at_halves(last)
    fine_first = _at_halves(first) if motion[:, 2].any() else None

    def seen(field: Tensor) -> Tensor:
        moved = _sample(fine, field[:, :2], "nearest", PER_PIXEL)
        if fine_first is None:
            return moved
        long_term = _sample(fine_first, field[:, :2], "nearest", PER_PIXEL)
        return torch.where(field[:, 2:] == 0, moved, long_term)

    return _overlapped(motion, last, seen)


def move(picture: Tensor, motion: Tensor, share: float) -> Tensor:
    """Move a picture [b, 3, H, W] along a share of a motion field [b, 2, h, w], as in `predict`."""
    share /= PER_PIXEL
    return _overlapped(motion, picture, lambda field: _sample(picture, field * share, "bicubic"))


def weight(distance: Tensor) -> Tensor:
    """Return how much the vector of a block counts, in one axis, so many pixels from its centre."""
    return ((BLOCK / 2 - distance) / _BLEND + 0.5).clamp(0, 1)


def _overlapped(motion: Tensor, still: Tensor, seen: Callable[[Tensor], Tensor]) -> Tensor:
    """Blend what the vectors of the four blocks around each pixel show; `still` where all are 0."""
    rests = torch.ones_like(still[:, :1], dtype=torch.bool)
    blended = torch.zeros_like(still)
    for weight, field in _around(motion):
        rests &= (field == 0).all(1, keepdim=True)
        blended = blended + weight * seen(field)
    return torch.where(rests, still, blended)


def _around(motion: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for each of the four blocks around a pixel, weights [H, W] and its field [b, ., H, W].

    Beyond the edge the nearest block stands.
    """
    rows, columns = motion.shape[2:]
    padded, half = F.pad(motion, (1, 1, 1, 1), mode="replicate"), BLOCK // 2
    away = torch.arange(BLOCK, device=motion.device) + 0.5  # from the centre before
    share = weight(BLOCK - away)  # of the block that follows
    below, right = (share.repeat(n + 1)[half:-half] for n in (rows, columns))
    for down in (0, 1):
        for across in (0, 1):
            vectors = padded[:, :, down : down + rows + 1, across : across + columns + 1]
            wide = F.interpolate(vectors, scale_factor=BLOCK, mode="nearest")
            vertical, horizontal = below if down else 1 - below, right if across else 1 - right
            yield vertical[:, None] * horizontal, wide[:, :, half:-half, half:-half]


def _at_halves(picture: Tensor) -> Tensor:
    """Return a picture [b, c, H, W] with what is between its pixels, too: [b, c, 2 H, 2 W]."""
    b, c, height, width = picture.shape
    wide = picture.new_empty(b, c, height, 2 * width)
    wide[..., ::2], wide[..., 1::2] = picture, _halfway(picture, -1)
    return torch.stack([wide, _halfway(wide, -2)], -2).flatten(-3, -2)


def _halfway(picture: Tensor, axis: int) -> Tensor:
    """Interpolate, for every pixel of [b, c, H, W], between it and the next one along an axis.

    Pairs of pixels with the same share are added, which is ten times as fast as a convolution.
    """
    length, taps = picture.shape[axis], len(_HALFWAY)
    margin = (taps // 2 - 1, taps // 2)
    padded = F.pad(picture, (*margin, 0, 0) if axis == -1 else (0, 0, *margin), mode="replicate")
    total = torch.zeros_like(picture)
    for k, tap in enumerate(_HALFWAY[: taps // 2]):
        before, after = (padded.narrow(axis, start, length) for start in (k, taps - 1 - k))
        total = total.add(before + after, alpha=tap / 64)
    return total


def _sample(picture: Tensor, field: Tensor, mode: str, spacing: int = 1) -> Tensor:
    """Sample a picture [b, c, H, W] every few pixels, each plus its displacement [b, 2, ., .]."""
    _, _, height, width = picture.shape
    x = torch.arange(0, width, spacing, device=picture.device) + field[:, 0]
    y = torch.arange(0, height, spacing, device=picture.device)[:, None] + field[:, 1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 1)  # fast, as -1 is not
    grid = grid.movedim(1, -1)
    return F.grid_sample(picture, grid, mode=mode, padding_mode="border", align_corners=False)


@torch.no_grad()
def search_motion(reference: Tensor, frames: Tensor) -> Tensor:
    """Find the motion field [b, 2, h, w] of four frames.

    A full search at a quarter of the size, finer steps around its result at half and full size and
    of half a pixel, and rounds in which every block tries its neighbours' vectors.

    Args:
        reference: the picture before the frames [b, 3, H, W] in -1..1.
        frames: [b, 3, 4, H, W].
    """
    pyramid = [_level(reference, frames)]
    for _ in range(2):
        pyramid.append(pyramid[-1].half())
    motion = _full_search(pyramid[2])
    for level in reversed(pyramid):
        if level is not pyramid[2]:
            motion = motion * 2
        motion = _closer(level, _smoother(level, motion))
    return PER_PIXEL * _closer(pyramid[0], motion, 1 / PER_PIXEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Luma of a reference [b, 1, H, W] and of two of four frames [b, 2, H, W] at some size.

    Attributes:
        reference, frames: pictures.
        block: side of a block in pixels of this size.
    """

    reference: Tensor
    frames: Tensor
    block: int = BLOCK

    def half(self) -> _Level:
        """Return the level at half the size."""
        pictures = (F.avg_pool2d(x, 2) for x in (self.reference, self.frames))
        reference, frames = pictures
        return replace(self, reference=reference, frames=frames, block=self.block // 2)

    def cost(self, motion: Tensor, field: Tensor) -> Tensor:
        """Squared error a pixel [b, 1, h, w] of vectors, plus the price of leaving `field`."""
        wide = F.interpolate(motion, scale_factor=self.block, mode="nearest")
        moved = [_sample(self.reference, wide * share, "bilinear") for share in (0.5, 1.0)]
        error = (torch.cat(moved, 1) - self.frames).square().mean(1, keepdim=True)
        rough = [(motion - n).abs().clamp(max=4).sum(1, keepdim=True) for n in _neighbours(field)]
        return F.avg_pool2d(error, self.block) + _SMOOTHNESS / 16 * torch.stack(rough).sum(0)


def _level(reference: Tensor, frames: Tensor) -> _Level:
    """Return the luma of a picture [b, 3, H, W] and of the second and fourth of its followers."""
    weights = reference.new_tensor(LUMA).view(1, 3, 1, 1)
    return _Level(
        reference=(reference * weights).sum(1, keepdim=True),
        frames=(frames[:, :, 1::2] * weights[..., None]).sum(1),
    )


def _full_search(level: _Level) -> Tensor:
    """Try every whole displacement of the small picture on every block."""
    reference, block = level.reference, level.block
    middle, last = level.frames.split(1, 1)
    b, _, height, width = reference.shape
    best = reference.new_full((b, 1, height // block, width // block), torch.inf)
    chosen = torch.zeros_like(best, dtype=torch.int64)
    pad = _REACH + 1
    planes = half_planes(F.pad(reference, (pad, pad, pad, pad), mode="replicate"))
    reach = range(-_REACH, _REACH + 1)
    vectors = sorted(((x, y) for x in reach for y in reach), key=lambda v: v[0] ** 2 + v[1] ** 2)
    for index, (dx, dy) in enumerate(vectors):
        half, full = _shift(planes, dx, dy), _shift(planes, 2 * dx, 2 * dy)
        error = (half - middle).square_().add_((full - last).square_()).mul_(0.5)
        error = F.avg_pool2d(error, block) + _SMOOTHNESS / 4 * (abs(dx) + abs(dy))
        chosen = torch.where(error < best, index, chosen)
        best = torch.minimum(error, best)
    return reference.new_tensor(vectors)[chosen[:, 0]].movedim(-1, 1).contiguous()


def half_planes(picture: Tensor) -> list[Tensor]:
    """Return a picture [b, c, H, W], and it half a pixel to the right, below, and both."""
    right = (picture + picture.roll(-1, 3)) / 2
    return [picture, right, *((x + x.roll(-1, 2)) / 2 for x in (picture, right))]


def _shift(planes: list[Tensor], dx: int, dy: int) -> Tensor:
    """Return a picture at a displacement in half pixels, from its padded `half_planes`."""
    (x, right), (y, below) = divmod(dx, 2), divmod(dy, 2)
    plane, pad = planes[2 * below + right], _REACH + 1
    height, width = (n - 2 * pad for n in plane.shape[2:])
    return plane[:, :, pad + y : pad + y + height, pad + x : pad + x + width]


def _smoother(level: _Level, motion: Tensor) -> Tensor:
    """Let every block try its neighbours' vectors, and none."""
    best = level.cost(motion, motion)
    for _ in range(_ROUNDS):
        for candidate in [*_neighbours(motion), torch.zeros_like(motion)]:
            motion, best = _better(level, candidate, motion, best)
    return motion


def _closer(level: _Level, motion: Tensor, size: float = 1) -> Tensor:
    """Let every block try steps of a size in pixels of this level."""
    best = level.cost(motion, motion)
    for step in [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]:
        candidate = motion + size * motion.new_tensor(step).view(1, 2, 1, 1)
        motion, best = _better(level, candidate, motion, best)
    return motion


def _better(
    level: _Level, candidate: Tensor, motion: Tensor, best: Tensor
) -> tuple[Tensor, Tensor]:
    error = level.cost(candidate, motion)
    return torch.where(error < best, candidate, motion), torch.minimum(error, best)


def _neighbours(motion: Tensor) -> list[Tensor]:
    """Return the vectors to the left, right, above and below of every block."""
    padded = F.pad(motion, (1, 1, 1, 1), mode="replicate")
    return [
        padded[:, :, 1:-1, :-2],
        padded[:, :, 1:-1, 2:],
        padded[:, :, :-2, 1:-1],
        padded[:, :, 2:, 1:-1],
    ]
