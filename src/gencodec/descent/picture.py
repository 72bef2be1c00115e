"""Gradient descent on an anchor's coefficients: bytes go where they are seen.

    coefficients y  ->  rounded  ->  bits by the prior, picture by the codec  ->  judge  ->  dy

What a network of the encoder makes of a picture is good for all pictures, not the best for this
one. A few steps of descent turn some symbols to the other side; the decoder knows nothing of it.

Source: content-adaptive encoding, Campos et al., arXiv 1906.01223; rounding with gradients straight
through rather than annealed, Yang et al., arXiv 2006.04240.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gencodec.descent.judge import SMALLEST, Judge
from gencodec.execution import memory_errors
from gencodec.symbols import Prior, sigma_bank
from gencodec.symbols.gaussian import TAIL
from gencodec.symbols.range_coder import PRECISION
from gencodec.transform import (
    ANCHOR,
    DEAD_ZONES,
    MotionCodec,
    MotionState,
    Rounded,
    dead_zone_round,
    integers,
)
from gencodec.transform.motion import LUMA

_RATE = 0.03  # of Adam, in symbols; falls to 0
_PERCEIVED = 0.9  # distance by the judge in squared error a pixel, at a worth of one
_COLOUR = 2.0  # squared error of colour counts more: the judge hardly sees it
_SCALES = (1.0, 0.66, 0.8)  # at which the judge sees a picture, one each step
_WINDOW = 512  # pixels a side that the judge sees at a time at most, which bounds memory


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """What the prior says of symbols [1, c, h, w]: Gaussians; a deviation of 0 is no choice."""

    deviation: Tensor
    mean: Tensor


class PictureDescent:
    """Improves what is coded of anchors.

    Args:
        codec: of the pack.
        judge: of the pack.
        prior: of the pack.

    Attributes:
        judge: as it was given.
    """

    def __init__(self, codec: MotionCodec, judge: Judge, prior: Prior) -> None:
        self._codec, self._prior, self.judge = codec, prior, judge
        codec.requires_grad_(requires_grad=False)
        judge.eval().requires_grad_(requires_grad=False)
        judge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        deviations = sigma_bank(self._prior.config)
        self._deviations = np.concatenate([[0.0], deviations]).astype(np.float32)

    def improve(self, raw: Tensor, picture: Tensor, quality: Tensor, steps: int) -> Tensor:
        """Return better coefficients before rounding.

        Args:
            raw: coefficients from the codec's analysis [1, c, h, w], in symbols.
            picture: [1, 3, H, W] in -1..1, H and W multiples of 16.
            quality: index [1].
            steps: of descent; none are made on pictures too small for the judge.
        """
        if steps < 1 or min(picture.shape[2:]) * min(_SCALES) < SMALLEST:
            return raw
        with torch.inference_mode(mode=False), torch.enable_grad(), memory_errors():
            raw, picture, quality = (x.clone() for x in (raw, picture, quality))
            expected = self._expect(raw, quality)
            values = raw.clone().requires_grad_()
            optimiser = torch.optim.Adam([values], _RATE)
            for step in range(steps):
                optimiser.param_groups[0]["lr"] = _RATE * (1 - step / steps)
                values.grad = self._slope(values, picture, quality, expected, step)
                optimiser.step()
            found = values.detach()
        return torch.where(torch.isfinite(found), found, raw)

    def _expect(self, raw: Tensor, quality: Tensor) -> _Expected:
        """Return what the prior says before descent; it hardly changes on the way."""
        with torch.no_grad():
            symbols = integers(raw, DEAD_ZONES[ANCHOR])
            hyper = integers(self._codec.hyper_analyse(raw, ANCHOR), 0.0)
        scale, mean = self._prior.indices(symbols[None], hyper[None], [int(quality)])
        means = mean.astype(np.float32) / self._prior.config.fractions
        return _Expected(
            deviation=torch.from_numpy(self._deviations[scale]).to(raw.device),
            mean=torch.from_numpy(means).to(raw.device),
        )

    def _slope(
        self, values: Tensor, picture: Tensor, quality: Tensor, expected: _Expected, step: int
    ) -> Tensor:
        """Return the gradient of bits and distortion, in bits."""
        rounded = dead_zone_round(values, DEAD_ZONES[ANCHOR])
        fixed = (expected.mean + 0.5).floor()
        symbols = torch.where(expected.deviation > 0, rounded.symbols, fixed)
        made = self._codec.synthesise(symbols, MotionState(), quality)[0][:, :, 0]
        seen = self._distortion_slope(made.detach(), picture, quality, step)
        (through,) = torch.autograd.grad(made, values, seen)
        return through + _bits_slope(rounded, expected)

    def _distortion_slope(self, made: Tensor, true: Tensor, quality: Tensor, step: int) -> Tensor:
        """Return the gradient [1, 3, H, W] of what a picture misses, window by window."""
        worth = float(self._codec.worth(quality, ANCHOR))
        slope = torch.zeros_like(made)
        for part in _windows(*made.shape[2:]):
            seen = made[part].clone().requires_grad_()
            distance = self.judge(*(_view(x, step) for x in (seen.clamp(-1, 1), true[part])))
            error = _squared_error(seen, true[part]) / worth
            perceived = _PERCEIVED * seen[0, 0].numel() * distance.sum() / math.sqrt(worth)
            (slope[part],) = torch.autograd.grad(error + perceived, seen)
        return slope


def _squared_error(made: Tensor, true: Tensor) -> Tensor:
    """Return the squared error of pictures [1, 3, H, W], summed; colour counts more."""
    error = made - true
    luma = (error * error.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return error.square().sum() + _COLOUR * (error - luma).square().sum()


def _bits_slope(rounded: Rounded, expected: _Expected) -> Tensor:
    """Return how bits change towards the other symbol; 0 where there is no choice."""
    chosen, other = rounded.symbols.detach(), rounded.others
    change = (_bits(other, expected) - _bits(chosen, expected)) / (other - chosen)
    return torch.where(expected.deviation > 0, change, 0.0)


def _bits(symbols: Tensor, expected: _Expected) -> Tensor:
    """Return the bits of symbols under Gaussians with the tail that tables have."""
    spread = expected.deviation.clamp(min=1e-6)
    below = -(symbols - expected.mean).abs()  # small shares are exact on this side
    upper, lower = (_cumulative((below + side) / spread) for side in (0.5, -0.5))
    return -(upper - lower).clamp(min=2.0**-PRECISION).log2()


def _cumulative(x: Tensor) -> Tensor:
    """Return the share below x deviations, as in `symbols.gaussian`."""
    decay = 0.5 * torch.exp(-math.sqrt(2) * x.abs())
    return torch.lerp(torch.special.ndtr(x), torch.where(x < 0, decay, 1 - decay), TAIL)


def _windows(height: int, width: int) -> Iterator[tuple[slice, ...]]:
    """Yield windows that cover a picture [1, 3, H, W], all about as large."""
    for rows in _parts(height):
        for columns in _parts(width):
            yield slice(None), slice(None), rows, columns


def _parts(length: int) -> Iterator[slice]:
    count = -(-length // _WINDOW)
    edges = [length * k // count for k in range(count + 1)]
    for start, stop in pairwise(edges):
        yield slice(start, stop)


def _view(picture: Tensor, step: int) -> Tensor:
    """Return a picture as the judge sees it in a step: turned and scaled, always otherwise.

    What pleases a network in one position alone is not there for anybody else.
    """
    turned = picture.transpose(2, 3) if step % 2 else picture
    axes = [axis for bit, axis in enumerate((2, 3), start=1) if step >> bit & 1]
    turned = turned.flip(axes) if axes else turned
    scale = _SCALES[step % len(_SCALES)]
    if scale == 1:
        return turned
    return F.interpolate(turned, scale_factor=scale, mode="bilinear", antialias=True)
