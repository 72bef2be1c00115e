"""Frames to groups: at most so many frames each, and a new one where the scene changes. Pure.

Where much moves, what a group's anchor shows is soon worth little: groups are shorter there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gencodec.frames.video import Frame, FrameGroup, Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a frame is beside the one before it.

    Attributes:
        cut: it starts a scene.
        size: mean absolute difference of luma, 0..255.
    """

    cut: bool = False
    size: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLength:
    """When a group ends.

    Attributes:
        frames: at most.
        change: sum of the changes from frame to frame, see `groups`.
    """

    frames: int
    change: float = math.inf


Watch = Callable[[Pixels, Pixels | None], Change]
"""Asked once for every frame in order, with the frame that follows it (None at the end)."""

_SHORT = 17  # frames of a group that is still worth its anchor
_SHORTEST = 9  # the same where so much moves that the anchor is soon worth nothing


def unchanged(frame: Pixels, following: Pixels | None) -> Change:
    """See no change; for material that is known to be one scene."""
    del frame, following
    return Change()


def groups(
    frames: Iterable[Frame],
    *,
    length: int,
    watch: Watch = unchanged,
    most_change: float = math.inf,
) -> Iterator[FrameGroup]:
    """Collect frames into groups of at most `length`; a scene cut starts a new group.

    Where groups may be longer than 17 frames, a shorter one at the end of a scene, which would pay
    for a whole anchor, shares frames evenly with the group before it; that one has 4n + 1 then.

    Holds one group and at most 17 frames more at a time.

    Args:
        frames: in presentation order, all of one size.
        length: frames a group at most, at least 1.
        watch: says of each frame what changed, such as a `CutDetector`. What it says of the first
            frame is ignored: that frame starts a group anyway.
        most_change: sum of the changes inside a group after which it ends, once it has 9 frames.
    """
    if length < 1:
        raise ValueError(f"length is {length}, must be at least 1")
    wait = _SHORT if length > _SHORT else 1  # frames that must follow before a group is whole
    waiting = _Waiting(length, wait, most_change)
    for frame, following in _with_following(frames):
        change = watch(frame.rgb, None if following is None else following.rgb)
        if change.cut and waiting.count:
            yield from waiting.end(last=False)
            waiting.cut = True
        waiting.add(frame, following, change.size)
        due = waiting.length
        if waiting.count >= due + min(wait, due):
            yield waiting.group(due, last=False)
    yield from waiting.end(last=True)


class _Waiting:
    """Frames of one scene that are in no group yet, in an array that their group will keep."""

    def __init__(self, length: int, wait: int, most_change: float) -> None:
        self._length, self._most, self._most_change = length, length + wait, most_change
        self._rgb: Pixels = np.empty((0, 0, 0, 3), np.uint8)
        self._ticks: list[int] = []
        self._durations: list[int] = []
        self._changes: list[float] = []
        self._index = 0
        self.cut = False  # the first of them starts a scene

    @property
    def count(self) -> int:
        return len(self._ticks)

    @property
    def length(self) -> int:
        """Frames of the group to come, as far as is known."""
        changes = itertools.accumulate(self._changes[1:])
        for count, change in enumerate(changes, 2):
            if change > self._most_change:
                return min(self._length, max(_SHORTEST, count + (1 - count) % 4))
        return self._length

    def add(self, frame: Frame, following: Frame | None, change: float) -> None:
        if not self._index and not self.count:
            self._rgb = np.empty((self._most, *frame.rgb.shape), np.uint8)
        self._rgb[self.count] = frame.rgb
        lasts = frame.duration if following is None else following.ticks - frame.ticks
        self._ticks.append(frame.ticks)
        self._durations.append(lasts)
        self._changes.append(change)

    def end(self, *, last: bool) -> Iterator[FrameGroup]:
        """Take all frames out, as one group or as two that share them."""
        if self.count > self._length:
            yield self.group(4 * ((self.count + 2) // 8) + 1, last=False)
        if self.count:
            yield self.group(self.count, last=last)

    def group(self, count: int, *, last: bool) -> FrameGroup:
        """Take the first `count` frames out as a group."""
        rgb = self._rgb
        group = FrameGroup(
            index=self._index,
            rgb=rgb[:count],
            ticks=tuple(self._ticks[:count]),
            duration=self._durations[count - 1],
            cut=self.cut,
            last=last,
        )
        self._rgb = np.empty_like(rgb)
        self._rgb[: self.count - count] = rgb[count : self.count]
        del self._ticks[:count], self._durations[:count], self._changes[:count]
        self._index += 1
        self.cut = False
        return group


def _with_following(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    """Pair each frame with the next one, None for the last."""
    current: Frame | None = None
    for frame in frames:
        if current is not None:
            yield current, frame
        current = frame
    if current is not None:
        yield current, None
