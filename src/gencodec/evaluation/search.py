"""Finds the setting of a dial that gives a size, in few tries. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from gencodec.peers import Dial
from gencodec.rate import TOLERANCE

_SLOPE = -math.log(2) / 6  # first guess of how the logarithm of the size falls with the setting
_FLATTEST = _SLOPE / 4  # of a measured slope; noise must not send a guess to the other end
_FARTHEST = 16.0  # of a guess from what was tried, where only one side is known
_MOST_TRIES = 12


class Search:
    """Searches by real sizes and remembers them, so that the next target needs fewer tries.

    Sizes fall as the setting rises, with exceptions between neighbours at most. Between two known
    settings the logarithm of the size is taken as straight.

    Args:
        size_at: bytes at a setting.
        dial: which settings there are.
    """

    def __init__(self, size_at: Callable[[float], int], dial: Dial) -> None:
        self._size_at, self._dial = size_at, dial
        self.tried: dict[float, int] = {}

    def near(self, target: float) -> float:
        """Return the setting whose size is within 3 % of `target` bytes, or else the nearest."""
        for _ in range(_MOST_TRIES):
            guess = self._guess(target)
            if guess is None:
                break
            self.tried[guess] = self._size_at(guess)
        return self._nearest(target)

    def _nearest(self, target: float) -> float:
        return min(self.tried, key=lambda setting: abs(_log(self.tried[setting], target)))

    def _guess(self, target: float) -> float | None:
        """Return what to try next; None if it is found or nothing is left to try."""
        if not self.tried:
            return self._dial.first
        if reached(self.tried[self._nearest(target)], target):
            return None
        settings = sorted(self.tried)
        above = [k for k, setting in enumerate(settings) if self.tried[setting] > target]
        low = settings[above[-1]] if above else None  # too many bytes
        after = above[-1] + 1 if above else 0
        high = settings[after] if after < len(settings) else None  # too few
        if low is not None and high is not None:
            return self._between(low, high, target)
        return self._beyond(low, high, target)

    def _between(self, low: float, high: float, target: float) -> float | None:
        step = self._dial.step
        if high - low < 2 * step:
            return None
        fall = _log(self.tried[low], max(self.tried[high], 1))
        share = _log(self.tried[low], target) / fall
        return min(max(self._rounded(low + share * (high - low)), low + step), high - step)

    def _beyond(self, low: float | None, high: float | None, target: float) -> float | None:
        """Return a guess on the side of which nothing is known, as far as the dial goes."""
        known = high if low is None else low
        if known is None:
            return None
        way = _log(target, max(self.tried[known], 1)) / self._slope()
        guess = self._rounded(known + min(max(way, -_FARTHEST), _FARTHEST))
        step = self._dial.step
        outward = min(guess, known - step) if low is None else max(guess, known + step)
        guess = min(max(outward, self._dial.best), self._dial.worst)
        return None if guess in self.tried else guess

    def _slope(self) -> float:
        """Return how the logarithm of the size changes with the setting, below 0."""
        if len(self.tried) < 2:
            return _SLOPE
        low, high = min(self.tried), max(self.tried)
        fall = _log(max(self.tried[high], 1), max(self.tried[low], 1))
        return min(fall / (high - low), _FLATTEST)

    def _rounded(self, setting: float) -> float:
        return round(setting / self._dial.step) * self._dial.step


def reached(size: int, target: float) -> bool:
    """Return whether a size is within 3 % of a target."""
    return abs(size - target) <= TOLERANCE * target


def _log(a: float, b: float) -> float:
    return math.log(max(a, 1) / max(b, 1))
