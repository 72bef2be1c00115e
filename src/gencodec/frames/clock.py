"""Presentation times as they should be, from times as files have them. Pure."""

from __future__ import annotations

from fractions import Fraction

_STANDARD_SHARE = Fraction(1, 200)  # an average this near the base rate is the base rate


def nominal_rate(
    average: Fraction | None, base: Fraction | None, guessed: Fraction | None
) -> Fraction:
    """Return frames per second from what a container tells and FFmpeg measured.

    The base rate is exact where a video has one rate; the average is what a video of varying rate
    has. Without either, the guess, and 25 if nothing is known.
    """
    if average and base and abs(average - base) <= base * _STANDARD_SHARE:
        return base
    return average or guessed or base or Fraction(25)


class Clock:
    """Makes the times of a video strictly increasing, changing as few as possible.

    * A time that is told is kept.
    * A missing one continues with the nominal frame duration, without drift.
    * One that repeats or falls back by less than a second is one tick after its predecessor.
    * One that falls back by a second or more starts a joined recording: it continues with the
      nominal duration, and all later times are shifted with it.
    """

    def __init__(self, frame_rate: Fraction, time_base: Fraction) -> None:
        self._step = 1 / (frame_rate * time_base)  # ticks a frame
        self._second = 1 / time_base  # ticks a second
        self._shift = 0
        self._last: int | None = None
        self._anchor = 0  # the last told time; missing ones are counted from it
        self._missing = -1

    def ticks(self, told: int | None) -> int:
        """Return the presentation time of the next frame."""
        if told is None:
            self._missing += 1
            ticks = self._anchor + round(self._step * self._missing)
        else:
            ticks = told + self._shift
            if self._last is not None and ticks <= self._last - self._second:
                self._shift += self._last + max(1, round(self._step)) - ticks
                ticks = told + self._shift
            self._anchor, self._missing = ticks, 0
        if self._last is not None:
            ticks = max(ticks, self._last + 1)
        self._last = ticks
        return ticks
