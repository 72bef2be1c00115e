"""What is shown where groups are lost: every frame that is left keeps its time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from gencodec.container import Damage, GroupRecord, Reader
from gencodec.errors import FormatError
from gencodec.frames import Frame

Conceal = Literal["freeze", "base", "skip"]
"""What takes the place of a lost group.

    freeze    the last frame before it (at the start: the first behind it; where none is left: grey)
    base      what its damaged bytes decode to, without refinement, where they do; else freeze
    skip      nothing; in a file with times the frame before it is shown longer
"""

_FILLED_SECONDS = 600  # of one gap at most: a damaged time may claim years
_LISTED_GROUPS = 1 << 16
_GREY = 128

Decode = Callable[[GroupRecord], Iterator[Frame]]


class Concealer:
    """Decodes what is left of a stream and fills the time between.

    Attributes:
        groups: (part, number) of lost groups.
        frames: shown in their place.
        spans: ticks at which they would begin and end, one after the other.
        damages: groups that were read, but do not decode.
    """

    def __init__(self, reader: Reader, conceal: Conceal) -> None:
        self._reader = reader
        self._conceal = conceal
        self._due = reader.header.start_tick  # at which the next frame should be shown
        self._last: Frame | None = None
        self._waiting: list[int] = []  # ticks to fill once there is a frame
        self._part, self._number = 0, 0  # of the group to come
        self.groups: list[tuple[int, int]] = []
        self.frames = 0
        self.spans: list[tuple[int, int]] = []
        self.damages: list[Damage] = []

    def begin(self, tick: int) -> int:
        """Return from when on a group that begins at a tick, and what is lost before it, is due."""
        return min(tick, self._due)

    def passed(self, record: GroupRecord, ticks: Sequence[int]) -> list[int]:
        """Note a group that is there; return the ticks of frames lost before it."""
        known = self._number if record.part == self._part else 0
        lost = range(known, record.number)[:_LISTED_GROUPS]
        self.groups += [(record.part, number) for number in lost]
        self._part, self._number = record.part, record.number + 1
        begin = self._due
        self._due = round(ticks[-1] + self._step(record.part))
        if not lost:
            return []
        self._lose(begin, ticks[0])
        return self._steps(begin, ticks[0], record.part)

    def _step(self, part: int) -> Fraction:
        """Return how long a frame of a part is shown, in ticks of the first part."""
        header = self._reader.parts[part].header
        return header.frame_ticks * header.time_base / self._reader.header.time_base

    def _lose(self, begin: int, end: int) -> None:
        """Note a time of which nothing is left; one that follows another joins it."""
        if begin >= end:
            return
        if self.spans and self.spans[-1][1] >= begin:
            begin = self.spans.pop()[0]
        self.spans.append((begin, end))

    def group(self, record: GroupRecord, ticks: Sequence[int], decode: Decode) -> Iterator[Frame]:
        """Yield what takes the place of groups lost before this one, then the group.

        Args:
            record: a group that is there; it may be damaged.
            ticks: when its frames are shown.
            decode: makes frames of it; raises FormatError if that fails.
        """
        yield from self._frozen(self.passed(record, ticks))
        if record.damaged:
            self.groups.append((record.part, record.number))
            self._lose(ticks[0], self._due)
        frames = decode(record)
        try:
            first = next(frames)
        except FormatError as error:
            if not record.damaged:
                self._fail(record, error)
                self._lose(ticks[0], self._due)
            yield from self._frozen(ticks)
            return
        self._last = first
        yield from self._frozen(())
        yield first
        for frame in frames:
            self._last = frame
            yield frame
        self.frames += record.frames if record.damaged else 0

    def _fail(self, record: GroupRecord, error: FormatError) -> None:
        size = record.container_bytes + len(record.payload)
        name, reason = f"group {record.number}", str(error)
        reason = reason if reason.startswith(name) else f"{name}: {reason}"
        self.groups.append((record.part, record.number))
        self.damages.append(Damage(offset=record.offset, bytes=size, reason=reason))

    def end(self) -> Iterator[Frame]:
        """Yield what takes the place of groups lost behind the last one."""
        groups, frames = self._reader.missing
        part = len(self._reader.parts) - 1
        known = self._number if part == self._part else 0
        self.groups += [(part, known + n) for n in range(min(groups, _LISTED_GROUPS))]
        end = round(self._due + frames * self._step(part))
        self._lose(self._due, end)
        ticks = self._steps(self._due, end, part)
        if self._last is None and (ticks or self._waiting):
            self._last = self._grey()
        yield from self._frozen(ticks)

    def _grey(self) -> Frame:
        """Return what is shown where not one group is left."""
        header = self._reader.header
        rgb = np.full((header.height, header.width, 3), _GREY, np.uint8)
        return Frame(rgb=rgb, ticks=header.start_tick)

    def _steps(self, begin: int, end: int, part: int) -> list[int]:
        """Return when frames of a part would be shown between two ticks."""
        step = self._step(part)
        most = int(_FILLED_SECONDS / (step * self._reader.header.time_base)) + 1
        count = min(max(math.ceil((end - begin) / step), 0), most)
        return [round(begin + n * step) for n in range(count)]

    def _frozen(self, ticks: Sequence[int]) -> Iterator[Frame]:
        if self._conceal == "skip":
            return
        self._waiting += ticks
        if self._last is None:
            return
        waiting, self._waiting = self._waiting, []
        for tick in waiting:
            self.frames += 1
            yield Frame(rgb=self._last.rgb, ticks=tick)
