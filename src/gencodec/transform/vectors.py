"""Vectors as symbols: differences from what their neighbours predict, and cheap ones chosen.

A vector is predicted by the median of the vectors to its left, above and above to the right: blocks
that move together cost next to nothing. The encoder chooses vectors one after another with their
price in mind: below 0.01 bpp most bits of a moving scene would be vectors otherwise. With each it
chooses one of two references, the key picture before or the anchor, which still shows what
something passed in front of.

Source: median prediction of H.264 (ITU-T H.264, 8.4.1.3); rate-distortion choice after Sullivan and
Wiegand, "Rate-distortion optimization for video compression", 1998.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gencodec.transform.motion import BLOCK, LUMA, REACH, half_planes, weight

_EVERY = 4  # pixel a side is compared
_MARGIN = 96  # pixels beyond the edge that a vector may point to
_SAME, _LIKE = 0.3, 3.0  # bits: as predicted, as a neighbour
_OTHER, _DOUBLING = 3.0, 1.5  # bits: any other vector, and each doubling of its difference
_NAMED = 7  # candidates at the start that are as predicted, like a neighbour, or zero
_TURN = 2.5  # bits: another reference than the block to the left


def differences(motion: Tensor, typical: Tensor) -> Tensor:
    """Return a motion field [b, 2, h, w] less its prediction.

    Args:
        motion: whole-number vectors.
        typical: [b, 2, 1, 1], stands for neighbours beyond the edge.
    """
    padded = _padded(motion, typical)
    left, up = padded[:, :, 1:, :-2], padded[:, :, :-1, 1:-1]
    predicted = _median(left, up, padded[:, :, :-1, 2:])
    predicted[:, :, 0] = left[:, :, 0]
    return motion - predicted


def vectors(symbols: Tensor, typical: Tensor) -> Tensor:
    """Return the motion field [b, 2, h, w] of its differences: the inverse of `differences`."""
    device = symbols.device
    symbols, typical = symbols.cpu(), typical.cpu()  # a GPU is slow at many small steps
    padded = _padded(symbols, typical)
    for y, x in _waves(symbols):
        padded[:, :, y + 1, x + 1] = symbols[:, :, y, x] + _predicted(padded, y, x)[0]
    return padded[:, :, 1:, 1:-1].contiguous().to(device)


@torch.no_grad()
def choose_vectors(
    references: Tensor,
    frames: Tensor,
    found: Tensor,
    previous: Tensor | None,
    typical: Tensor,
    worth: Tensor,
) -> Tensor:
    """Choose a motion field [b, 3, h, w] whose squared error and bits together are small.

    Args:
        references: the decoded key picture before the frames, and the first of the group, in -1..1
            [b, 2, 3, H, W].
        frames: [b, 3, 4, H, W].
        found: what moved where, from `search_motion` [b, 2, h, w].
        previous: the motion field before this one [b, 3, h, w], or None.
        typical: [b, 2, 1, 1], see `differences`.
        worth: the squared error (pixels in -1..1, summed) that one bit is worth [b].

    Returns:
        Vectors, and 1 where they point to the anchor.
    """
    found, typical = (F.pad(x, (0, 0, 0, 0, 0, 1)) for x in (found, typical))
    padded = _padded(found, typical)
    beside = F.pad(found, (0, 1, 0, 1), mode="replicate")
    right, below = beside[..., :-1, 1:], beside[..., 1:, :-1]
    still = torch.zeros_like(found)
    uncovered = F.pad(still[:, :2], (0, 0, 0, 0, 0, 1), value=1)
    others = still if previous is None else previous
    fields = torch.stack([others, still, uncovered, found, right, below])
    blocks, price = _Blocks(references, frames), worth[:, None]
    for y, x in _waves(found):
        predicted, neighbours = _predicted(padded, y, x)
        predicted[:, 2] = neighbours[0, :, 2]
        candidates = torch.cat([predicted[None], neighbours, fields[..., y, x]])  # [n, b, 3, k]
        cost = blocks.errors(y, x, candidates) + price * _bits(candidates - predicted, _NAMED)
        best = cost.argmin(0)[None, :, None].expand(1, -1, 3, -1)
        padded[:, :, y + 1, x + 1] = candidates.gather(0, best)[0]
    return padded[:, :, 1:, 1:-1].contiguous()


class _Blocks:
    """The second and fourth of four frames around blocks, and where they came from.

    Colour counts: a red shirt may be as bright as a grey wall. A block is judged by all pixels that
    `move` makes with its vector, as much as they depend on it. They are means of 3 x 3: without the
    finest detail vectors follow what moves instead of noise, which costs squared error and gains
    more of what is seen.
    """

    def __init__(self, references: Tensor, frames: Tensor) -> None:
        planes = _planes().to(references)
        pad, half = _MARGIN + 1, BLOCK // 2
        whole = _soft(torch.einsum("brchw,pc->bprhw", references, planes).flatten(0, 1), pad)
        halves = _woven(half_planes(whole))  # [3 b, 2, ., .] at half pixels
        self._halves = halves.unflatten(0, (-1, len(planes)))
        targets = torch.einsum("bcthw,pc->bpthw", frames[:, :, 1::2], planes)
        self._targets = _soft(targets.flatten(0, 1), half).unflatten(0, (-1, len(planes)))
        start, stop = BLOCK - REACH + _EVERY // 2, BLOCK + REACH
        self._inside = torch.arange(start, stop, _EVERY, device=references.device)
        near = weight((self._inside - BLOCK).abs())
        weights = near[:, None] * near
        self._weights = 6 * BLOCK**2 * weights / weights.sum()  # of two lumas, for 4 x 3 channels
        self._limits = references.shape[-2:]

    def errors(self, y: Tensor, x: Tensor, candidates: Tensor) -> Tensor:
        """Return the squared error [n, b, k] of fields [n, b, 3, k] at blocks y, x [k]."""
        rows, columns = ((BLOCK * at)[:, None] + self._inside for at in (y, x))
        targets = self._targets[..., rows[:, :, None], columns[:, None]]  # [b, 3, 2, k, ., .]
        clip = torch.arange(len(targets), device=y.device)[:, None, None, None]
        which = candidates[:, :, 2, :, None, None].long()
        total = torch.zeros_like(candidates[:, :, 0])
        for target, share in zip(targets.unbind(2), (0.5, 1), strict=True):
            rows = self._at(y, candidates[:, :, 1] * share, 0)
            columns = self._at(x, candidates[:, :, 0] * share, 1)
            for plane, wanted in enumerate(target.unbind(1)):
                moved = self._halves[clip, plane, which, rows[..., :, None], columns[..., None, :]]
                total = total + ((moved - wanted).square() * self._weights).sum((3, 4))
        return total

    def _at(self, block: Tensor, shift: Tensor, axis: int) -> Tensor:
        """Return positions at half pixels, shifted by half pixels, around blocks."""
        limit = 2 * (self._limits[axis] + 2 * _MARGIN) - 1
        start = (2 * (block * BLOCK - BLOCK // 2 + _MARGIN + 1) + shift.round().long())[..., None]
        return (start + 2 * self._inside).clamp(0, limit)


def _planes() -> Tensor:
    """Return what is made of red, green and blue [3, 3] so that squares sum to an error.

    Half of it is of luma, half of the colours as they are; of grey it is the error of luma.
    """
    luma = torch.tensor(LUMA)
    return torch.linalg.cholesky((luma.outer(luma) + torch.eye(3) / 3) / 2).T


def _woven(planes: list[Tensor]) -> Tensor:
    """Join four planes [b, n, H, W] to one of twice the size, each a pixel of 2 x 2."""
    b, n, height, width = planes[0].shape
    whole = planes[0].new_empty(b, n, 2 * height, 2 * width)
    for index, plane in enumerate(planes):
        whole[..., index // 2 :: 2, index % 2 :: 2] = plane
    return whole


def _soft(planes: Tensor, margin: int) -> Tensor:
    """Return the means of 3 x 3 pixels of planes [b, n, H, W], with a margin around them."""
    means = F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return F.pad(means, (margin, margin, margin, margin), mode="replicate")


def _bits(difference: Tensor, named: int) -> Tensor:
    """Return about how many bits vectors and references [n, ..., 3, k] cost [n, ..., k].

    Args:
        difference: from what is predicted.
        named: so many at the start need not be spelt out.
    """
    size = torch.log2(1 + difference[..., :2, :].abs()).sum(-2)
    vector = _OTHER + _DOUBLING * size
    vector[:named].clamp_(max=_LIKE)
    return vector.masked_fill_(size == 0, _SAME) + _TURN * difference[..., 2, :].abs()


def _padded(motion: Tensor, typical: Tensor) -> Tensor:
    """Put the typical vector above, left and right of a field: [b, ., h + 1, w + 2]."""
    b, parts, height, width = motion.shape
    padded = typical.expand(b, parts, height + 1, width + 2).clone()
    padded[:, :, 1:, 1:-1] = motion
    return padded


def _predicted(padded: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return predictions [b, ., k] at positions [k], and the three vectors before [3, b, ., k]."""
    left, up, right = padded[:, :, y + 1, x], padded[:, :, y, x + 1], padded[:, :, y, x + 2]
    predicted = torch.where(y == 0, left, _median(left, up, right))
    return predicted, torch.stack([left, up, right])


def _median(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def _waves(field: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and columns of a field's positions that need only earlier ones, all at once."""
    height, width = field.shape[-2:]
    for wave in range(width + 2 * (height - 1)):
        first, last = max(0, (wave - width + 2) // 2), min(height - 1, wave // 2)
        rows = torch.arange(first, last + 1, device=field.device)
        yield rows, wave - 2 * rows
