"""Rate control: which quality index every group gets so that the file has the size asked for.

All sizes are real bytes of coded groups, framing included; nothing is estimated from probabilities.
A file is looked at first and then gets one quality, or two neighbouring ones spread evenly. A pipe
gets a controller that keeps the running total inside a band around the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

QUALITIES = 64  # quality indices of the format
TOLERANCE = 0.03  # share of the target a file may miss it by and still count as reached
_BAND = 0.015  # share of the bytes due so far that a pipe may be ahead or behind
_LAST_BAND = 0.028  # by which it may be ahead after the last group, just inside the tolerance
_STEP_GROWTH = 0.057  # first guess of how the logarithm of the size grows with the quality index
_LEAST_GROWTH = 0.02  # a smaller one that was seen between two indices is chance

SizeAt = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the encoder aims at: exactly one of the four.

    Attributes:
        bpp: bits per pixel of width x height x frames, the whole file.
        bitrate: bits per second, the whole file.
        size: bytes, the whole file.
        quality: quality index, fixed; larger is better and costs more.
    """

    bpp: float | None = None
    bitrate: float | None = None
    size: int | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        given = {
            name: value
            for name in ("bpp", "bitrate", "size", "quality")
            if (value := getattr(self, name)) is not None
        }
        if len(given) != 1:
            raise ValueError(f"give exactly one of bpp, bitrate, size, quality; got {given}")
        (name, value), *_ = given.items()
        if not math.isfinite(value) or value < 0 or (name != "quality" and value == 0):
            raise ValueError(f"{name} is {value}, must be a positive number")
        if self.quality is not None and self.quality >= QUALITIES:
            raise ValueError(f"quality is {self.quality}, must be 0 .. {QUALITIES - 1}")

    def file_bytes(self, pixels: int, seconds: Fraction) -> float | None:
        """Return the bytes a file should have.

        Args:
            pixels: width x height x frames.
            seconds: duration.

        Returns:
            Bytes, or None if the target is a fixed quality.
        """
        if self.bpp is not None:
            return self.bpp * pixels / 8
        if self.bitrate is not None:
            return self.bitrate * float(seconds) / 8
        return None if self.size is None else float(self.size)


def find_quality(size_at: SizeAt, wanted: float, qualities: int, start: int) -> int:
    """Return the largest quality index whose size is at most `wanted`, or 0 if none is.

    Args:
        size_at: bytes at a quality index; assumed to grow with it over longer stretches.
        wanted: bytes.
        qualities: number of quality indices.
        start: first guess.
    """
    low, high = -1, qualities  # size_at(low) <= wanted < size_at(high), by definition at the ends
    guess = min(max(start, 0), qualities - 1)
    logs: dict[int, float] = {}  # of the sizes known
    growth = _STEP_GROWTH
    while high - low > 1:
        size = size_at(guess)
        low, high = (guess, high) if size <= wanted else (low, guess)
        logs[guess] = math.log(max(size, 1))
        near = sorted(logs, key=lambda known: abs(known - guess))[:2]
        if len(near) == 2:
            one, other = near
            growth = max((logs[one] - logs[other]) / (one - other), _LEAST_GROWTH)
        jump = math.floor((math.log(max(wanted, 1)) - logs[guess]) / growth)
        guess = min(max(guess + jump, low + 1), high - 1)
    return max(low, 0)


class FilePlan:
    """Spreads two neighbouring quality indices over the groups of a file.

    Attributes:
        quality: the lower of the two.

    Args:
        quality: the lower of the two.
        low, high: bytes expected of every group at `quality` and `quality` + 1.
        budget: bytes all groups may use together.
    """

    def __init__(
        self, quality: int, low: Sequence[float], high: Sequence[float], budget: float
    ) -> None:
        self.quality = quality
        self._low, self._high = list(low), list(high)
        self._budget = budget
        self._owed = 0.0  # bytes by which the groups so far stayed below an even share

    def next_quality(self, group: int) -> int:
        """Return the quality index of a group; call once a group, in order."""
        low = sum(self._low[group:])
        room = sum(self._high[group:]) - low
        share = (self._budget - self._owed - low) / room if room > 0 else 0.0
        step = self._high[group] - self._low[group]
        self._owed += min(max(share, 0.0), 1.0) * step
        if step > 0 and self._owed >= step / 2:
            self._owed -= step
            return self.quality + 1
        return self.quality

    def spent(self, size: int) -> None:
        """Take the real bytes of the group just coded off the budget."""
        self._budget -= size


class PipeController:
    """Chooses the quality of one group after the other without knowing how many will come.

    Keeps the quality of the group before as long as the bytes used stay inside a band around the
    bytes due; outside of it, moves to the quality that comes back to the band's edge. Coming back
    to its middle would make one group pay for all the drift before it. The last group, which may be
    short and needs an anchor all the same, gets worse only beyond nearly all of the tolerance.

    Attributes:
        quality: index chosen last; None before the first.

    Args:
        bytes_per_frame: the target.
        overhead: bytes of the file that belong to no group.
        qualities: number of quality indices.
    """

    def __init__(self, bytes_per_frame: float, overhead: int, qualities: int) -> None:
        self._rate = bytes_per_frame
        self._qualities = qualities
        self._due = 0.0
        self._used = float(overhead)
        self.quality: int | None = None

    def choose(
        self, size_at: SizeAt, frames: int, *, last: bool = False, near: SizeAt | None = None
    ) -> int:
        """Return the quality of the next group and account for its bytes.

        Args:
            size_at: bytes of the group at a quality index.
            frames: in the group.
            last: no group follows.
            near: about the same as `size_at`, but faster.
        """
        self._due += self._rate * frames
        middle = self._due - self._used  # bytes that would bring the total to what is due
        least = middle - _BAND * self._due
        most = middle + (_LAST_BAND if last else _BAND) * self._due
        quality = self.quality
        if quality is None:
            guess = find_quality(near or size_at, middle, self._qualities, self._qualities // 3)
            quality = self._nearest(size_at, middle, guess)
        elif size_at(quality) < least:
            quality = self._nearest(size_at, least, quality)
        elif size_at(quality) > most:
            quality = find_quality(size_at, most, self._qualities, quality)
        self._used += size_at(quality)
        self.quality = quality
        return quality

    def _nearest(self, size_at: SizeAt, wanted: float, start: int) -> int:
        quality = find_quality(size_at, wanted, self._qualities, start)
        above = quality + 1
        if above < self._qualities and size_at(above) - wanted < wanted - size_at(quality):
            return above
        return quality
