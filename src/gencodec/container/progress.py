"""What a reader knows of the part it is in, and the rules that tie the units of a part together."""

from __future__ import annotations

from dataclasses import dataclass

from gencodec.container.cursor import BytesCursor
from gencodec.container.fields import parse
from gencodec.container.framing import RawUnit
from gencodec.container.layout import MINOR, Trailer, crc
from gencodec.container.records import GroupRecord, Part
from gencodec.errors import FormatError


@dataclass(slots=True, kw_only=True)
class Progress:
    """Counts of one part, moved on by each unit."""

    part: Part
    number: int  # of the part
    head: bytes  # payload of HEAD
    end_tick: int  # no frame may come before
    groups: int = 0
    frames: int = 0
    digest: int = 0
    index_bytes: int = 0  # of INDX, once it was there
    last_duration: int = 0  # ticks, once END! told it
    told_groups: int = 0  # of the part, once END! told it
    told_frames: int = 0  # likewise
    ended: bool = False
    between: int = 0  # groups that are missing before others
    gaps: bool = False  # groups are missing, so that the totals cannot be compared

    @property
    def over(self) -> bool:
        """Whether no group can come any more."""
        return self.ended or self.index_bytes > 0

    @property
    def behind(self) -> tuple[int, int]:
        """Groups and frames that are missing behind the last group, as END! tells.

        Without a constant rate nothing tells how many frames were in groups missing before others:
        all that are missing count alike.
        """
        if not self.ended:
            return 0, 0
        groups = max(0, self.told_groups - self.groups)
        frames = max(0, self.told_frames - self.frames)
        if self.between and not self.part.header.constant_rate:
            frames = frames * groups // (groups + self.between)
        return groups, frames

    def follow(self, record: GroupRecord, first: int) -> str:
        """Move on by a group; return what is missing before it, or nothing.

        Args:
            record: the group.
            first: frames before it as its unit says, if the rate is constant.

        Raises:
            FormatError: it came before, or its times do.
        """
        constant = self.part.header.constant_rate
        missing = record.number - self.groups
        late = first < self.frames or (first != self.frames and not missing)
        if missing < 0:
            raise FormatError(f"group {record.number} comes again", offset=record.offset)
        if (constant and late) or record.ticks[0] < self.end_tick:
            raise FormatError(
                f"group {record.number} starts at tick {record.ticks[0]}, which does not follow "
                "the group before it",
                offset=record.offset,
            )
        last = self.groups
        self.groups = record.number + 1
        self.frames = (first if constant else self.frames) + record.frames
        self.end_tick = record.ticks[-1] + 1
        self.digest = crc(record.digest.to_bytes(4, "little"), self.digest)
        self.between += missing
        self.gaps |= missing > 0 or record.damaged
        return _missing(last, record.number - 1) if missing else ""

    def finish(self, unit: RawUnit, *, recovering: bool) -> str:
        """End the part; return what is missing, or nothing.

        Args:
            unit: END!.
            recovering: bytes were lost or added elsewhere; sizes need not fit.

        Raises:
            FormatError: the totals in END! are not those of the part.
        """
        cursor = BytesCursor(unit.payload, offset=unit.offset)
        trailer = parse(Trailer, cursor)
        if cursor.left and self.part.header.version.minor <= MINOR:
            raise FormatError(f"{cursor.left} needless bytes in END!", offset=cursor.offset)
        self.ended = True
        self.last_duration = trailer.last_duration
        self.told_groups, self.told_frames = trailer.groups, trailer.frames
        if trailer.groups > self.groups:
            self.gaps = True
            return _missing(self.groups, trailer.groups - 1)
        found = Trailer(
            groups=self.groups,
            frames=self.frames,
            part_bytes=trailer.part_bytes if recovering else unit.offset - self.part.offset,
            index_bytes=trailer.index_bytes if recovering else self.index_bytes,
            last_duration=trailer.last_duration,
            digest=self.digest,
        )
        if found != trailer and not self.gaps:
            raise FormatError(f"END! says {trailer}, the file has {found}", offset=unit.offset)
        return ""


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"group {first} is missing"
    return f"groups {first} to {last} are missing"
