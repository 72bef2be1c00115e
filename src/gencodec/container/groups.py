"""Group records <-> group units: which fields the header of the file makes needless, and the times.

    body = durations (only if the rate varies), payload

A duration is an svar for each frame but the last: ticks to the next frame less the usual ones.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

from gencodec.container.cursor import BytesCursor, pack_svar, parse_svar
from gencodec.container.framing import RawUnit, pack_group
from gencodec.container.layout import FRAMES_MAX, TICK_MAX, GroupHeader, Header
from gencodec.container.records import GroupRecord
from gencodec.errors import FormatError


def encode_group(record: GroupRecord, header: Header, *, frames_before: int) -> bytes:
    """Return the unit of a group.

    Args:
        record: the group.
        header: of the file.
        frames_before: frames of the groups before this one.

    Raises:
        ValueError: the times do not fit the header, or a field is out of its range.
    """
    _check_ticks(record, header, frames_before)
    ticks = record.ticks
    durations = b"" if header.constant_rate else _pack_durations(record, header)
    group = GroupHeader(
        cut=record.cut,
        dependent=bool(record.dependencies),
        own_length=len(ticks) != header.group_frames,
        own_coder=record.coder != header.coder,
        block_bytes=len(record.coder_block),
        number=record.number,
        first=frames_before if header.constant_rate else ticks[0] - header.start_tick,
        frames=len(ticks),
        coder=record.coder,
        dependencies=record.dependencies,
        body_bytes=len(durations) + len(record.payload),
        digest=record.digest,
    )
    return pack_group(group, record.coder_block, durations + record.payload)


def _check_ticks(record: GroupRecord, header: Header, frames_before: int) -> None:
    ticks = record.ticks
    if not 1 <= len(ticks) <= FRAMES_MAX:
        raise ValueError(
            f"group {record.number} has {len(ticks)} frames, must be 1 to {FRAMES_MAX}"
        )
    if header.constant_rate:
        start = header.start_tick + frames_before * header.frame_ticks
        expected = range(start, start + len(ticks) * header.frame_ticks, header.frame_ticks)
        if ticks != tuple(expected):
            raise ValueError(
                f"group {record.number} starts at tick {ticks[0]} and does not follow the constant "
                f"rate of {header.frame_ticks} ticks a frame from tick {expected[0]}"
            )
    elif any(b <= a for a, b in pairwise(ticks)):
        raise ValueError(f"the times of group {record.number} do not rise")
    elif ticks[0] < header.start_tick or max(map(abs, ticks)) >= TICK_MAX:
        raise ValueError(f"group {record.number} has times before the start or beyond 2^61 ticks")


def _pack_durations(record: GroupRecord, header: Header) -> bytes:
    usual = header.frame_ticks
    return b"".join(pack_svar(b - a - usual) for a, b in pairwise(record.ticks))


def decode_group(raw: RawUnit, header: Header, *, part: int) -> GroupRecord:
    """Inverse of `encode_group`.

    Raises:
        FormatError: the times are impossible.
    """
    group = raw.group
    if group is None:
        raise TypeError("not a group unit")
    frames = group.frames if group.own_length else header.group_frames
    body = BytesCursor(raw.payload, offset=raw.offset)
    durations = _durations(body, frames, header)
    start = header.start_tick + group.first * (header.frame_ticks if header.constant_rate else 1)
    ticks = tuple(accumulate(durations, initial=start))
    if abs(start) >= TICK_MAX or abs(ticks[-1]) >= TICK_MAX:
        raise FormatError(f"group {group.number} has times beyond 2^61 ticks", offset=raw.offset)
    payload = body.take(body.left)
    return GroupRecord(
        number=group.number,
        ticks=ticks,
        cut=group.cut,
        dependencies=group.dependencies,
        coder=group.coder if group.own_coder else header.coder,
        coder_block=raw.block,
        payload=payload,
        digest=group.digest,
        offset=raw.offset,
        container_bytes=raw.size - len(payload),
        part=part,
    )


def _durations(body: BytesCursor, frames: int, header: Header) -> list[int]:
    """Return the ticks from each of a group's frames to the next."""
    if header.constant_rate:
        return [header.frame_ticks] * (frames - 1)
    start = body.offset
    durations = [header.frame_ticks + parse_svar(body) for _ in range(frames - 1)]
    if min(durations, default=1) < 1:
        raise FormatError("the times of a group do not rise", offset=start)
    return durations
