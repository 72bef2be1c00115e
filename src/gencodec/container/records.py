"""The values that cross the container's door: groups, other units, what is known about a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gencodec.container.layout import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One coded group. The last three fields are the reader's remarks and no part of its value."""

    number: int  # of the group in its part, 0 for the first
    ticks: tuple[int, ...]  # presentation times of its frames, strictly increasing
    cut: bool = False  # starts at a scene cut
    dependencies: tuple[int, ...] = ()  # distances back to the groups needed; empty: closed
    coder: int  # 1 gnvc-vd, 2 gvc
    coder_block: bytes = b""  # settings of the coder, as the coder says
    payload: bytes  # coded symbols
    digest: int  # CRC-32 of the decoded integers, as the coder says
    damaged: bool = False  # its bytes are not those that were written; see `Reader`
    offset: int = field(default=-1, compare=False)  # of the unit in the stream
    container_bytes: int = field(default=0, compare=False)  # of the unit besides the payload
    part: int = field(default=0, compare=False)  # of a chained stream

    @property
    def frames(self) -> int:
        """Frames in the group."""
        return len(self.ticks)

    @property
    def closed(self) -> bool:
        """Whether the group can be decoded alone."""
        return not self.dependencies


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit that is not needed for the picture, as it is in the file."""

    type: bytes  # four characters; the case of the letters is a rule
    payload: bytes
    offset: int = field(default=-1, compare=False)
    bytes: int = field(default=0, compare=False)  # of the unit in the stream
    part: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """Where a group is and what it shows."""

    part: int  # of a chained stream
    number: int  # of the group in its part
    offset: int  # of the unit in the stream
    frames: int
    first_tick: int  # presentation time of its first frame
    cut: bool
    closed: bool  # can be decoded alone

    @classmethod
    def of(cls, record: GroupRecord) -> IndexEntry:
        """Return the entry of a group that was read."""
        return cls(
            part=record.part,
            number=record.number,
            offset=record.offset,
            frames=record.frames,
            first_tick=record.ticks[0],
            cut=record.cut,
            closed=record.closed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of several files in a row."""

    header: Header
    offset: int  # of its signature, or of the first unit that was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A stretch of the stream that could not be used, or (with 0 bytes) where something is gone."""

    offset: int
    bytes: int
    reason: str

    def __str__(self) -> str:
        return f"{self.bytes} bytes at {self.offset} cannot be used: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was written: the payloads, the units that `write_unit` got, and container, the rest."""

    bytes: int
    container_bytes: int
    payload_bytes: int
    carried_bytes: int
    groups: int
    frames: int


def named_groups(groups: Sequence[tuple[int, int]], most: int = 20) -> str:
    """Return lost groups as people read them: groups 3, 5 to 8."""
    runs: list[list[int]] = []
    for part, number in sorted(set(groups)):
        if runs and runs[-1][0] == part and runs[-1][2] == number - 1:
            runs[-1][2] = number
        else:
            runs.append([part, number, number])
    words = [
        (f"{low}" if low == high else f"{low} to {high}") + (f" of part {part}" if part else "")
        for part, low, high in runs[:most]
    ]
    noun = "group" if len(groups) == 1 else "groups"
    return f"{noun} {', '.join(words)}{' and more' if len(runs) > most else ''}"
