"""Frames to groups: at most so many frames each, and a new one where the scene changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from gencodec.frames.video import Frame, FrameGroup, Pixels

IsCut = Callable[[Pixels, Pixels | None], bool]
"""Asked once for every frame in order, with the frame that follows it (None at the end)."""


def never(frame: Pixels, following: Pixels | None) -> bool:
    """Find no cut; for material that is known to be one scene."""
    del frame, following
    return False


def groups(frames: Iterable[Frame], *, length: int, is_cut: IsCut = never) -> Iterator[FrameGroup]:
    """Collect frames into groups of at most `length`; a scene cut starts a new group.

    Holds one group and one frame at a time.

    Args:
        frames: in presentation order, all of one size.
        length: frames a group at most, at least 1.
        is_cut: says of each frame whether a scene starts with it, such as a `CutDetector`. Its
            answer for the first frame is ignored: that frame starts a group anyway.
    """
    if length < 1:
        raise ValueError(f"length is {length}, must be at least 1")
    building: _Building | None = None
    index = 0
    for frame, following in _with_following(frames):
        cut = is_cut(frame.rgb, None if following is None else following.rgb)
        if building is None:
            building = _Building(frame, length, cut=False)
        elif cut or building.count == length:
            yield building.group(index, last=False)
            index += 1
            building = _Building(frame, length, cut=cut)
        building.add(frame, following)
    if building is not None:
        yield building.group(index, last=True)


class _Building:
    """A group that is being filled, in one array of its final size."""

    def __init__(self, first: Frame, length: int, *, cut: bool) -> None:
        self._rgb = np.empty((length, *first.rgb.shape), np.uint8)
        self._ticks: list[int] = []
        self._duration = 0
        self._cut = cut

    @property
    def count(self) -> int:
        return len(self._ticks)

    def add(self, frame: Frame, following: Frame | None) -> None:
        self._rgb[self.count] = frame.rgb
        self._ticks.append(frame.ticks)
        self._duration = frame.duration if following is None else following.ticks - frame.ticks

    def group(self, index: int, *, last: bool) -> FrameGroup:
        return FrameGroup(
            index=index,
            rgb=self._rgb[: self.count],
            ticks=tuple(self._ticks),
            duration=self._duration,
            cut=self._cut,
            last=last,
        )


def _with_following(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    """Pair each frame with the next one, None for the last."""
    current: Frame | None = None
    for frame in frames:
        if current is not None:
            yield current, frame
        current = frame
    if current is not None:
        yield current, None
