"""How many more bytes one codec needs than another for the same quality (Bjøntegaard delta rate).

Both curves are log10(rate) over quality, interpolated by PCHIP, which keeps their monotony, and
averaged where both have values. Nothing is extrapolated: curves that do not meet have no number.

Source: G. Bjøntegaard, VCEG-M33, 2001; interpolation as in the package `bjontegaard`, method
"pchip", with which the tests compare. The package itself asserts on curves that fall, warns where
we must say why, and imports a plotting library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

_FAIR_SHARE = 0.5  # a smaller share of the range in common is worth a word

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDifference:
    """Result of a comparison: a number, or the reason why there is none.

    Attributes:
        percent: bytes of the codec over those of the anchor, minus 100 %; None without a number.
        range: (lowest, highest) quality that both curves reach; None where they do not meet.
        reason: why there is no number, or what to know about the one there is; else empty.
    """

    percent: float | None
    range: tuple[float, float] | None = None
    reason: str = ""


def bd_rate(anchor: Curve, codec: Curve, *, higher_is_better: bool) -> RateDifference:
    """Compare a codec with an anchor over the quality that both reach.

    Args:
        anchor: (rate, quality) of each point, in any order; rates above 0, in one unit.
        codec: the same of the codec.
        higher_is_better: whether quality rises with the rate.
    """
    curves = [_ordered(curve, higher_is_better=higher_is_better) for curve in (anchor, codec)]
    for name, curve in zip(("the anchor", "the codec"), curves, strict=True):
        if len(curve) < 2:
            return RateDifference(percent=None, reason=f"{name} has {len(curve)} of 2 points")
        if any(b <= a for (_, a), (_, b) in pairwise(curve)):
            reason = f"more bytes do not always make {name} better"
            return RateDifference(percent=None, reason=reason)
    low = max(curve[0][1] for curve in curves)
    high = min(curve[-1][1] for curve in curves)
    if low >= high:
        return RateDifference(percent=None, reason=_gap(curves[0], curves[1]))
    means = [_mean_log_rate(curve, low, high) for curve in curves]
    percent = float(100 * (10 ** (means[1] - means[0]) - 1))
    whole = max(curve[-1][1] for curve in curves) - min(curve[0][1] for curve in curves)
    share = (high - low) / whole
    note = "" if share >= _FAIR_SHARE else f"the curves share {share:.0%} of their range only"
    common = (low, high) if higher_is_better else (-high, -low)
    return RateDifference(percent=percent, range=common, reason=note)


def _ordered(curve: Curve, *, higher_is_better: bool) -> list[tuple[float, float]]:
    """Return the distinct points by rising rate, quality turned so that more is better."""
    sign = 1 if higher_is_better else -1
    return sorted({(rate, sign * quality) for rate, quality in curve})


def _gap(anchor: list[tuple[float, float]], codec: list[tuple[float, float]]) -> str:
    better = "better" if codec[0][1] >= anchor[-1][1] else "worse"
    return f"no overlap: the codec is {better} at every rate measured"


def _mean_log_rate(curve: list[tuple[float, float]], low: float, high: float) -> float:
    """Return the mean of log10(rate) over quality `low` .. `high`."""
    rates: NDArray[np.float64] = np.log10([rate for rate, _ in curve])
    quality = np.array([quality for _, quality in curve])
    return float(PchipInterpolator(quality, rates).integrate(low, high)) / (high - low)
