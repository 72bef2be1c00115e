"""Reads a .gnv stream that nobody vouches for: as a pipe, by its index, or past damage.

Reader(stream).groups()                   strict: the first broken rule ends it with an error; a cut
                                          file ends behind its last whole group, not `complete`
Reader(stream, recover=True).groups()     all good groups; `damages` lists the rest
Reader(stream).index(), .read_group(e)    random access, for streams that can seek
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from io import SEEK_END
from typing import BinaryIO

from gencodec.container.framing import GROUP, BodyError, RawUnit, read_unit
from gencodec.container.groups import decode_group
from gencodec.container.index import elsewhere, read_indices
from gencodec.container.layout import (
    END,
    HEAD,
    INDX,
    MARKER,
    META,
    PKT,
    PROV,
    SIGNATURE,
    STAT,
    TRAK,
    Header,
    is_critical,
)
from gencodec.container.limits import Limits
from gencodec.container.losses import HeadlessError, Losses
from gencodec.container.progress import Progress
from gencodec.container.records import Damage, GroupRecord, IndexEntry, Part, Unit
from gencodec.container.signature import PROBE_BYTES, SignatureError
from gencodec.container.window import Window
from gencodec.errors import (
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)

_BETWEEN = (META, PKT, PROV, STAT, TRAK)  # units that may stand between two groups
_KNOWN = (HEAD, END, INDX, *_BETWEEN)
_STARTS = re.compile(b"|".join(map(re.escape, (MARKER, SIGNATURE, *_KNOWN))))
_START_BYTES = len(SIGNATURE)
_PATIENCE = 8  # bytes that may be checked in vain for each byte of the stream
_NO_LIMITS_NAMED = Limits()


class Reader:
    """One .gnv stream, or several in a row.

    Making a reader reads up to the first header. `records` and `groups` go through the stream once.

    Attributes:
        limits: what it is willing to allocate.
        parts: the files in a row that were met so far.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        limits: Limits = _NO_LIMITS_NAMED,
        recover: bool = False,
        damaged: bool = False,
    ) -> None:
        """Read the first header.

        Args:
            stream: open for reading, at the start of the file; need not seek.
            limits: larger things give a `LimitError`.
            recover: go on behind damage and list it, instead of raising.
            damaged: when recovering, give also groups whose body is damaged, marked as such.

        Raises:
            FormatError: this is not a .gnv stream; when recovering: it has no header anywhere.
            UnsupportedError: it needs a newer version.
            LimitError: its pictures are too large.
            SourceError: the stream cannot be read.
        """
        self.limits = limits
        self.parts: list[Part] = []
        self._losses = Losses(limits)
        self._again: deque[RawUnit] = deque()  # units that waited for the header that came
        self._stream = stream
        self._recover, self._damaged = recover, damaged
        self._origin = stream.tell() if stream.seekable() else 0
        self._window = Window(stream, offset=self._origin)
        self._now: Progress | None = None
        self._signature_offset: int | None = None  # of a signature whose header is to come
        self._done = self._complete = False
        self._last_duration = 0
        self._wasted_bytes = 0
        self._whole = True  # no part was cut
        self._open()

    def _open(self) -> None:
        start = self._window.peek(PROBE_BYTES)
        if not start.startswith(SIGNATURE) and not (self._recover and _STARTS.match(start)):
            error = SignatureError(start, offset=self._origin)
            if not self._recover or not start:
                raise error
            self._resync(error)
        while not self.parts:
            if self._done:
                raise FormatError("the file has no header", offset=self._window.offset)
            self._step()

    @property
    def header(self) -> Header:
        """The header of the first part."""
        return self.parts[0].header

    @property
    def damages(self) -> list[Damage]:
        """What could not be used, when recovering, by its place."""
        return self._losses.damages

    @property
    def complete(self) -> bool:
        """Whether each part was read to its end unit and nothing was missing or damaged.

        False until `records` or `groups` is through, or `index` has found the end of all parts.
        """
        return self._complete

    @property
    def missing(self) -> tuple[int, int]:
        """Groups and frames that the last part lost behind its last group, as its end tells."""
        return (0, 0) if self._now is None else self._now.behind

    @property
    def last_duration(self) -> int:
        """Ticks that the last frame of the last part lasts; the usual ones until it is known."""
        return self._last_duration or self.parts[-1].header.frame_ticks

    def groups(self) -> Iterator[GroupRecord]:
        """Yield the groups of all parts in order; raise as `records`."""
        return (record for record in self.records() if isinstance(record, GroupRecord))

    def records(self) -> Iterator[GroupRecord | Unit]:
        """Yield groups and known ancillary units of all parts in order.

        Raises:
            FormatError: a rule is broken and this reader does not recover.
            TruncatedError: the same, and no group comes before the cut.
            UnsupportedError: a unit is needed that this version does not know.
            LimitError: a group is too large.
        """
        while not self._done:
            record = self._step()
            if record is not None:
                yield record

    # -- one unit ------------------------------------------------------------------------------

    def _step(self) -> GroupRecord | Unit | None:
        """Read one unit; return it if it is for the caller."""
        try:
            raw = self._again.popleft() if self._again else read_unit(self._window, self.limits)
            if raw is None:
                self._finish()
                return None
        except (FormatError, LimitError) as error:
            if isinstance(error, TruncatedError) and not self._recover:
                self._end_at_cut(error)
                return None
            self._raise_unless_recovering(error)
            self._resync(error)
            return self._damaged_group(error)
        try:
            return self._accept(raw)
        except (UnsupportedError, LimitError):
            self._done = True
            raise
        except FormatError as error:
            self._raise_unless_recovering(error)
            if isinstance(error, HeadlessError):
                self._losses.wait(raw, error)
            else:
                self._losses.note(raw.offset, raw.size, error)
            return None

    def _raise_unless_recovering(self, error: FormatError | LimitError) -> None:
        if not self._recover:
            self._done = True
            raise error

    def _accept(self, raw: RawUnit) -> GroupRecord | Unit | None:
        if raw.type == SIGNATURE:
            self._whole &= self._now is None or self._now.ended
            self._losses.lose()
            self._signature_offset = raw.offset
            return None
        if raw.type == HEAD:
            self._begin(raw)
            return None
        now = self._inside(raw)
        if raw.type == GROUP:
            return self._group(raw, now)
        if raw.type == END:
            self._gap(raw.offset, now.finish(raw, recovering=bool(self.damages)))
            return None
        if is_critical(raw.type):
            raise UnsupportedError(
                f"unit {raw.type.decode()} is needed and this version does not know it; "
                "upgrade gencodec",
                offset=raw.offset,
            )
        if raw.type == INDX:
            now.index_bytes = raw.size
        if raw.type == INDX or raw.type not in _KNOWN:
            return None
        return _unit(raw, now.number)

    def _begin(self, raw: RawUnit) -> None:
        """Start a part, or pass over a repeated header."""
        now, offset = self._now, self._signature_offset
        inside = now is not None and offset is None and not now.over
        if now and inside and now.head == raw.payload:
            return
        if offset is None and not self._recover:
            wrong = (
                "HEAD differs from the one before" if inside else "HEAD follows the index or end"
            )
            raise FormatError(wrong, offset=raw.offset)
        header = Header.from_bytes(raw.payload, offset=raw.offset)
        self.limits.check_frame(header.width, header.height)
        number = now.number + 1 if now else 0
        if number >= self.limits.parts:
            raise LimitError(f"the stream has more than {number} parts (Limits.parts)")
        self._again.extend(self._losses.take())
        first = self._again[0] if self._again else raw
        part = Part(header=header, offset=first.offset if offset is None else offset)
        self.parts[number : number + 1] = [part]
        self._now = Progress(part=part, number=number, head=raw.payload, end_tick=header.start_tick)
        self._signature_offset = None

    def _inside(self, raw: RawUnit) -> Progress:
        """Return the part that a unit belongs to."""
        name, now = raw.type.decode(), self._now
        if now is None or self._signature_offset is not None:
            raise HeadlessError(f"{name} comes before HEAD", offset=raw.offset)
        if now.ended:
            raise HeadlessError(f"{name} follows END!", offset=raw.offset)
        if now.index_bytes and raw.type != END:
            raise HeadlessError(f"{name} follows INDX, only END! may", offset=raw.offset)
        return now

    def _group(self, raw: RawUnit, now: Progress, *, damaged: bool = False) -> GroupRecord:
        header = now.part.header
        record = replace(decode_group(raw, header, part=now.number), damaged=damaged)
        self.limits.check_group(header.width, header.height, record.frames)
        self._gap(raw.offset, now.follow(record, raw.group.first if raw.group else 0))
        return record

    def _gap(self, offset: int, missing: str) -> None:
        if not missing:
            return
        error = FormatError(missing, offset=offset)
        self._raise_unless_recovering(error)
        self._losses.note(offset, 0, error)

    def _end_at_cut(self, error: TruncatedError) -> None:
        """Finish, if there are groups before the cut and it is one: END! is followed by nothing."""
        self._done = True
        now = self._now
        if now is not None and now.ended and self._signature_offset is None:
            raise FormatError("bytes follow END!", offset=self._window.mark) from error
        if now is None or not (now.groups or now.number):
            where = "header" if now is None else "first group"
            error.args = (f"{error}, inside its {where}: nothing can be decoded",)
            raise error
        self._finish()

    def _finish(self) -> None:
        self._done = True
        self._losses.lose()
        ended = self._now is not None and self._now.ended and self._signature_offset is None
        self._last_duration = self._now.last_duration if self._now else 0
        self._complete = ended and self._whole and not self.damages

    # -- past damage ---------------------------------------------------------------------------

    def _resync(self, error: FormatError | LimitError) -> None:
        """Move behind the damage at the window's mark to where a unit may start."""
        window = self._window
        start = window.mark
        window.rewind()
        size = error.size if isinstance(error, BodyError) else 0
        window.take(size if size and self._may_skip(size) else 1)
        window.search(_STARTS, longest=_START_BYTES)
        self._losses.note(start, window.offset - start, error)

    def _may_skip(self, size: int) -> bool:
        """Whether to believe the length of a unit whose body is damaged.

        Yes if a unit follows there, or if too many bytes were checked in vain already: a file full
        of false headers would otherwise take quadratic time.
        """
        follows = self._window.peek(size + _START_BYTES)[size:]
        if not follows or _STARTS.match(follows):
            return True
        self._wasted_bytes += size
        read = self._window.offset - self._origin
        return self._wasted_bytes > _PATIENCE * read + 2 * self.limits.body_bytes

    def _damaged_group(self, error: Exception) -> GroupRecord | None:
        """Return a group whose body alone is damaged, if it is wanted and fits its place."""
        raw = error.group if isinstance(error, BodyError) and self._damaged else None
        whole = raw is not None and self._window.offset >= raw.offset + raw.size
        if raw is None or not whole or self._now is None:
            return None
        with suppress(FormatError, LimitError):
            return self._group(raw, self._inside(raw), damaged=True)
        return None

    # -- random access -------------------------------------------------------------------------

    def index(self) -> list[IndexEntry]:
        """Return where the groups of all parts are: from the index, else (or recovering) by `scan`.

        Raises:
            SourceError: the stream cannot seek.
            FormatError: there is no usable index and the file is damaged.
        """
        if self._recover:
            return self.scan()
        with elsewhere(self._stream) as stream:
            end = stream.seek(0, SEEK_END)
            found = read_indices(stream, origin=self._origin, end=end, limits=self.limits)
        if found is None:
            return self.scan()
        self.parts[:] = [index.part for index in found]
        self._last_duration = found[-1].last_duration if found else 0
        self._complete = True
        return [entry for index in found for entry in index.entries]

    def scan(self) -> list[IndexEntry]:
        """Return where the groups are by reading and checking the whole file; raise as `index`."""
        with elsewhere(self._stream) as stream:
            stream.seek(self._origin)
            reader = Reader(stream, limits=self.limits, recover=self._recover)
            entries = []
            for record in reader.groups():
                entries.append(IndexEntry.of(record))
                if len(entries) > self.limits.groups:
                    raise LimitError(f"more than {self.limits.groups} groups (Limits.groups)")
        self.parts[:] = reader.parts
        self._losses.settle(reader.damages)
        self._last_duration = reader.last_duration
        self._complete = reader.complete
        return entries

    def read_group(self, entry: IndexEntry) -> GroupRecord:
        """Return the group of an entry of `index` or `scan`; raise as `read_span`."""
        return self.read_span(entry)[0]

    def read_span(self, entry: IndexEntry) -> tuple[GroupRecord, list[Unit]]:
        """Return the group of an entry and the units between it and the next one.

        Units behind one that cannot be read are left out, as are more than `Limits.unit_bytes`.

        Raises:
            SourceError: the stream cannot seek.
            FormatError: the group is damaged, or is not where the index says.
        """
        with elsewhere(self._stream) as stream:
            stream.seek(entry.offset)
            window = Window(stream, offset=entry.offset)
            record = self._found(read_unit(window, self.limits), entry)
            units: list[Unit] = []
            with suppress(FormatError, LimitError):
                while (raw := read_unit(window, self.limits)) and raw.type in (HEAD, *_BETWEEN):
                    units += [_unit(raw, entry.part)] if raw.type in _BETWEEN else []
                    if sum(len(unit.payload) for unit in units) > self.limits.unit_bytes:
                        break
        return record, units

    def _found(self, raw: RawUnit | None, entry: IndexEntry) -> GroupRecord:
        header = self.parts[entry.part].header
        if raw is None or raw.type != GROUP:
            raise FormatError(f"no group {entry.number} where the index says", offset=entry.offset)
        record = decode_group(raw, header, part=entry.part)
        self.limits.check_group(header.width, header.height, record.frames)
        if IndexEntry.of(record) != entry:
            raise FormatError(
                f"found group {record.number} of {record.frames} frames from tick "
                f"{record.ticks[0]}, the index says group {entry.number} of {entry.frames} from "
                f"{entry.first_tick}",
                offset=entry.offset,
            )
        return record


def _unit(raw: RawUnit, part: int) -> Unit:
    return Unit(type=raw.type, payload=raw.payload, offset=raw.offset, bytes=raw.size, part=part)
