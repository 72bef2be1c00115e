"""Frames to groups: at most so many frames each, and a new one where the scene changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from gencodec.frames.video import Frame, FrameGroup, Pixels

IsCut = Callable[[Pixels, Pixels | None], bool]
"""Asked once for every frame in order, with the frame that follows it (None at the end)."""

_SHORT = 17  # frames of a group that is still worth its anchor


def never(frame: Pixels, following: Pixels | None) -> bool:
    """Find no cut; for material that is known to be one scene."""
    del frame, following
    return False


def groups(frames: Iterable[Frame], *, length: int, is_cut: IsCut = never) -> Iterator[FrameGroup]:
    """Collect frames into groups of at most `length`; a scene cut starts a new group.

    Where groups may be longer than 17 frames, a shorter one at the end of a scene, which would pay
    for a whole anchor, shares frames evenly with the group before it; that one has 4n + 1 then.

    Holds one group and at most 17 frames more at a time.

    Args:
        frames: in presentation order, all of one size.
        length: frames a group at most, at least 1.
        is_cut: says of each frame whether a scene starts with it, such as a `CutDetector`. Its
            answer for the first frame is ignored: that frame starts a group anyway.
    """
    if length < 1:
        raise ValueError(f"length is {length}, must be at least 1")
    most = length + (_SHORT if length > _SHORT else 1)  # frames that wait for their group
    waiting = _Waiting(most)
    for frame, following in _with_following(frames):
        cut = is_cut(frame.rgb, None if following is None else following.rgb)
        if cut and waiting.count:
            yield from waiting.end(length, last=False)
            waiting.cut = True
        waiting.add(frame, following)
        if waiting.count == most:
            yield waiting.group(length, last=False)
    yield from waiting.end(length, last=True)


class _Waiting:
    """Frames of one scene that are in no group yet, in an array that their group will keep."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rgb: Pixels = np.empty((0, 0, 0, 3), np.uint8)
        self._ticks: list[int] = []
        self._durations: list[int] = []
        self._index = 0
        self.cut = False  # the first of them starts a scene

    @property
    def count(self) -> int:
        return len(self._ticks)

    def add(self, frame: Frame, following: Frame | None) -> None:
        if not self._index and not self.count:
            self._rgb = np.empty((self._most, *frame.rgb.shape), np.uint8)
        self._rgb[self.count] = frame.rgb
        lasts = frame.duration if following is None else following.ticks - frame.ticks
        self._ticks.append(frame.ticks)
        self._durations.append(lasts)

    def end(self, length: int, *, last: bool) -> Iterator[FrameGroup]:
        """Take all frames out, as one group or as two that share them."""
        if self.count > length:
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
        del self._ticks[:count], self._durations[:count]
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
