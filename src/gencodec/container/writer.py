"""Writes a .gnv file strictly forward: signature, header, units as they come, index, end."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

from gencodec.container.fields import pack
from gencodec.container.framing import pack_unit
from gencodec.container.groups import encode_group
from gencodec.container.index import IndexBuilder
from gencodec.container.layout import (
    END,
    HEAD,
    INDX,
    OTHER_MAX_BYTES,
    SIGNATURE,
    UNIT_MAX_BYTES,
    Header,
    Trailer,
    crc,
    is_critical,
    is_type,
)
from gencodec.container.records import GroupRecord, Totals
from gencodec.errors import OutputError

_HEADER_EVERY = 24  # groups from one header to the next, four bytes of each


class Writer:
    """One .gnv file on a stream that need not seek, for instance a pipe.

    The bytes depend on the arguments alone. Nothing is buffered; the stream stays the caller's.
    As a context manager it closes on success and leaves the file cut on an exception.

        with Writer(stream, header) as writer:
            for record in records:
                writer.write_group(record)
        print(writer.totals)
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        """Write signature and header.

        Raises:
            OutputError: the stream cannot be written.
        """
        self.header = header
        self._stream = stream
        self._bytes = self._payload_bytes = self._carried_bytes = 0
        self._groups = self._frames = self._digest = 0
        self._end_tick = header.start_tick
        self._index = IndexBuilder(header)
        self._closed = False
        self._head = pack_unit(HEAD, header.to_bytes())
        self._write(SIGNATURE + self._head)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()

    @property
    def totals(self) -> Totals:
        """What was written so far."""
        return Totals(
            bytes=self._bytes,
            container_bytes=self._bytes - self._payload_bytes - self._carried_bytes,
            payload_bytes=self._payload_bytes,
            carried_bytes=self._carried_bytes,
            groups=self._groups,
            frames=self._frames,
        )

    def write_group(self, record: GroupRecord) -> int:
        """Write the next group and return the bytes of its unit.

        In front of each 24th the header comes again, for readers that join late.

        Raises:
            ValueError: it is not the next group, or its times do not follow the ones before.
            OutputError: the stream cannot be written.
        """
        if record.number != self._groups:
            raise ValueError(f"group {record.number} cannot follow {self._groups} groups")
        data = encode_group(record, self.header, frames_before=self._frames)
        if record.ticks[0] < self._end_tick:
            raise ValueError(
                f"group {record.number} starts at tick {record.ticks[0]}, before the end of the "
                f"group before it"
            )
        if self._groups and self._groups % _HEADER_EVERY == 0:
            self.repeat_header()
        offset = self._bytes
        self._write(data)
        self._index.add(replace(record, offset=offset))
        self._groups += 1
        self._frames += record.frames
        self._end_tick = record.ticks[-1] + 1
        self._payload_bytes += len(record.payload)
        self._digest = crc(record.digest.to_bytes(4, "little"), self._digest)
        return len(data)

    def write_unit(self, code: bytes, payload: bytes) -> int:
        """Write a unit that is not needed for the picture and return its bytes.

        Args:
            code: its type, for instance `META`.
            payload: its bytes.

        Raises:
            ValueError: no such type, one that the writer writes by itself, or too many bytes.
            OutputError: the stream cannot be written.
        """
        if not is_type(code) or is_critical(code) or code == INDX:
            raise ValueError(f"{code!r} is not the type of an ancillary unit")
        most = UNIT_MAX_BYTES.get(code, OTHER_MAX_BYTES)
        if len(payload) > most:
            raise ValueError(f"{code.decode()} has {len(payload)} bytes, must be at most {most}")
        size = self._write(pack_unit(code, payload))
        self._carried_bytes += size
        return size

    def repeat_header(self) -> int:
        """Write the header again and return its bytes; `write_group` and `close` do so anyway."""
        return self._write(self._head)

    def close(self, *, index: bool = True, last_duration: int = 0) -> Totals:
        """Write index and end; the stream stays open. Closing again does nothing.

        Behind several groups the header comes again: what saves one group is not worth its bytes.

        Args:
            index: whether to write the index; one that is too long is left out.
            last_duration: ticks the last frame lasts; 0: as long as usual.

        Raises:
            OutputError: the stream cannot be written.
        """
        if self._closed:
            return self.totals
        if self._groups > 1:
            self.repeat_header()
        items = self._index.finish(self._bytes)
        index_bytes = 0
        if index and len(items) <= UNIT_MAX_BYTES[INDX]:
            index_bytes = self._write(pack_unit(INDX, items))
        trailer = Trailer(
            groups=self._groups,
            frames=self._frames,
            part_bytes=self._bytes,
            index_bytes=index_bytes,
            last_duration=0 if self.header.constant_rate else last_duration,
            digest=self._digest,
        )
        self._write(pack_unit(END, pack(trailer)))
        self._closed = True
        return self.totals

    def _write(self, data: bytes) -> int:
        if self._closed:
            raise ValueError("the file is closed")
        left = memoryview(data)
        try:
            while left:
                written = self._stream.write(left)
                if not written:  # a raw stream that does not block
                    raise OutputError("the stream takes no bytes; open it in blocking mode")
                left = left[written:]
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(
                f"cannot write at byte {self._bytes}: {reason}; free space or choose another place"
            ) from error
        self._bytes += len(data)
        return len(data)
