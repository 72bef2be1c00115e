"""The index at the end of a part: built while groups pass, packed, parsed, found from the end.

It is a cache: everything in it stands in the group units too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from gencodec.container.cursor import BytesCursor
from gencodec.container.fields import pack, parse
from gencodec.container.framing import RawUnit, read_unit
from gencodec.container.layout import (
    END,
    HEAD,
    INDX,
    MINOR,
    SIGNATURE,
    UNIT_MAX_BYTES,
    Header,
    IndexItem,
    Trailer,
)
from gencodec.container.limits import Limits
from gencodec.container.records import GroupRecord, IndexEntry, Part
from gencodec.container.window import Window
from gencodec.errors import FormatError, LimitError, SourceError

_END_SEARCH_BYTES = UNIT_MAX_BYTES[END] + 16


class IndexBuilder:
    """Collects the index of one part while its groups are written."""

    __slots__ = ("_header", "_items", "_last", "_last_tick")

    def __init__(self, header: Header) -> None:
        self._header = header
        self._items = bytearray()
        self._last: GroupRecord | None = None
        self._last_tick = header.start_tick

    def add(self, record: GroupRecord) -> None:
        """Note a group that starts at `record.offset`."""
        self._flush(record.offset)
        self._last = record

    def finish(self, offset: int) -> bytes:
        """Return the payload of an INDX unit that starts at `offset`."""
        self._flush(offset)
        return bytes(self._items)

    def _flush(self, offset: int) -> None:
        """Write the group before `offset`, whose span is known now."""
        if (last := self._last) is None:
            return
        item = IndexItem(
            cut=last.cut,
            dependent=not last.closed,
            own_length=last.frames != self._header.group_frames,
            span=offset - last.offset,
            frames=last.frames,
            ticks=last.ticks[0] - self._last_tick,
        )
        self._last_tick = last.ticks[0]
        self._items += pack(item, variable=not self._header.constant_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartIndex:
    """One part with its index, found from the end of the stream."""

    part: Part
    last_duration: int  # ticks the last frame lasts; 0: as usual
    entries: list[IndexEntry]


def read_indices(
    stream: BinaryIO, *, origin: int, end: int, limits: Limits
) -> list[PartIndex] | None:
    """Return the parts of a seekable stream by their indices alone, from the first to the last.

    Args:
        stream: moved to any place.
        origin: where the first part starts.
        end: where the last part ends.
        limits: bounds on parts and entries.

    Returns:
        None if a part has no index, is cut, or the index does not fit the file.

    Raises:
        LimitError: there are more parts or groups than allowed.
    """
    try:
        spans = _find_parts(stream, origin=origin, end=end, limits=limits)
        indices = []
        for number, (part_offset, trailer) in enumerate(reversed(spans)):
            indices.append(_read_part(stream, part_offset, trailer, number, limits))
    except FormatError:
        return None
    return indices


def _find_parts(
    stream: BinaryIO, *, origin: int, end: int, limits: Limits
) -> list[tuple[int, Trailer]]:
    """Return start and totals of all parts, the last one first."""
    found: list[tuple[int, Trailer]] = []
    groups = 0
    while end > origin:
        trailer, at = _read_trailer(stream, origin=origin, end=end, limits=limits)
        end = at - trailer.part_bytes
        groups += trailer.groups
        if end < origin or trailer.index_bytes > trailer.part_bytes or not trailer.index_bytes:
            raise FormatError("the file has no usable index", offset=at)
        found.append((end, trailer))
        if len(found) > limits.parts or groups > limits.groups:
            raise LimitError(
                f"the stream has more than {limits.parts} parts or {limits.groups} groups "
                "(Limits.parts, Limits.groups)"
            )
    return found


def _read_trailer(
    stream: BinaryIO, *, origin: int, end: int, limits: Limits
) -> tuple[Trailer, int]:
    """Return the totals of the part that ends at `end`, and where their unit starts."""
    start = max(origin, end - _END_SEARCH_BYTES)
    stream.seek(start)
    tail = Window(stream, offset=start).peek(end - start)
    at = tail.rfind(END)
    if at < 0:
        raise FormatError("the file has no end unit", offset=end)
    unit = _expect(Window(BytesIO(tail[at:]), offset=start + at), END, limits)
    if unit.offset + unit.size != end:
        raise FormatError("bytes follow the end unit", offset=unit.offset + unit.size)
    return parse(Trailer, BytesCursor(unit.payload, offset=unit.offset)), unit.offset


def _read_part(
    stream: BinaryIO, offset: int, trailer: Trailer, number: int, limits: Limits
) -> PartIndex:
    header = read_header(stream, offset, limits)
    index_offset = offset + trailer.part_bytes - trailer.index_bytes
    stream.seek(index_offset)
    unit = _expect(Window(stream, offset=index_offset), INDX, limits)
    items = _parse_items(unit, trailer, header)
    entries = []
    at, tick = index_offset - sum(item.span for item in items), header.start_tick
    if at <= offset:
        raise FormatError("the index does not fit the file", offset=index_offset)
    for group, item in enumerate(items):
        tick += item.ticks
        frames = item.frames if item.own_length else header.group_frames
        entries.append(
            IndexEntry(
                part=number,
                number=group,
                offset=at,
                frames=frames,
                first_tick=tick,
                cut=item.cut,
                closed=not item.dependent,
            )
        )
        at += item.span
        tick += frames * header.frame_ticks if header.constant_rate else 0
    if sum(entry.frames for entry in entries) != trailer.frames:
        raise FormatError("the index does not fit the totals", offset=index_offset)
    return PartIndex(
        part=Part(header=header, offset=offset),
        last_duration=trailer.last_duration,
        entries=entries,
    )


def _parse_items(unit: RawUnit, trailer: Trailer, header: Header) -> list[IndexItem]:
    cursor = BytesCursor(unit.payload, offset=unit.offset)
    variable = not header.constant_rate
    items = [parse(IndexItem, cursor, variable=variable) for _ in range(trailer.groups)]
    if unit.size != trailer.index_bytes or (cursor.left and header.version.minor <= MINOR):
        raise FormatError("the index does not fit the totals", offset=unit.offset)
    return items


def read_header(stream: BinaryIO, offset: int, limits: Limits) -> Header:
    """Return the header of the part that starts at `offset` of a seekable stream.

    Raises:
        FormatError: no part starts there.
        LimitError: its pictures are too large.
    """
    stream.seek(offset)
    window = Window(stream, offset=offset)
    _expect(window, SIGNATURE, limits)
    unit = _expect(window, HEAD, limits)
    header = Header.from_bytes(unit.payload, offset=unit.offset)
    limits.check_frame(header.width, header.height)
    return header


@contextmanager
def elsewhere(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Lend a stream for seeking; it is where it was when the block ends.

    Raises:
        SourceError: it cannot seek.
    """
    if not stream.seekable():
        raise SourceError("a pipe cannot seek; save it as a file first")
    place = stream.tell()
    try:
        yield stream
    finally:
        stream.seek(place)


def _expect(window: Window, code: bytes, limits: Limits) -> RawUnit:
    unit = read_unit(window, limits)
    if unit is None or unit.type != code:
        raise FormatError(f"no {code.decode('latin-1')} unit", offset=window.mark)
    return unit


def seek(entries: Sequence[IndexEntry], tick: int) -> int:
    """Return the position in `entries` (of one part) of the group to start decoding with.

    It is the last closed group that starts at or before `tick`, or the first group.
    """
    found = 0
    for position, entry in enumerate(entries):
        if entry.first_tick > tick:
            break
        if entry.closed:
            found = position
    return found
