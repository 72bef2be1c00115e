"""A cursor over an untrusted stream: exact reads in bounded steps, a mark to go back to, a search.

It works on pipes: nothing seeks. Bytes behind the mark are dropped, so that memory holds one unit.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from gencodec.container.layout import crc
from gencodec.errors import SourceError, TruncatedError

_STEP_BYTES = 1 << 16  # a declared size allocates nothing; bytes that came do
_SEARCH_BYTES = 1 << 12


class Window:
    """Bytes of a stream from the mark on; the position is at or after the mark."""

    __slots__ = ("_buffer", "_ended", "_pos", "_stream", "mark")

    def __init__(self, stream: BinaryIO, *, offset: int = 0) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._pos = 0
        self._ended = False
        self.mark = offset  # offset in the stream of the first byte kept

    @property
    def offset(self) -> int:
        """Position of the next byte in the stream."""
        return self.mark + self._pos

    @property
    def read_ahead(self) -> int:
        """Bytes that were taken from the stream but not from the window."""
        return len(self._buffer) - self._pos

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes.

        Raises:
            TruncatedError: the stream ends before.
            SourceError: the stream cannot be read.
        """
        self._require(size)
        self._pos += size
        return bytes(self._buffer[self._pos - size : self._pos])

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end of the stream, without moving."""
        self._fill(size)
        return bytes(self._buffer[self._pos : self._pos + size])

    def commit(self) -> None:
        """Set the mark to the position."""
        self.mark += self._pos
        del self._buffer[: self._pos]
        self._pos = 0

    def rewind(self) -> None:
        """Return to the mark."""
        self._pos = 0

    def crc(self) -> int:
        """Return the CRC-32 of the bytes from the mark to the position."""
        with memoryview(self._buffer) as view, view[: self._pos] as head:
            return crc(head)

    def search(self, pattern: re.Pattern[bytes], *, longest: int) -> bool:
        """Move to the next match at or after the position, or to the end of the stream.

        Args:
            pattern: matches at most `longest` bytes.
            longest: bytes kept when the search goes on behind them.
        """
        while not (found := pattern.search(self._buffer, self._pos)):
            self._pos = max(self._pos, len(self._buffer) - longest + 1)
            self.commit()
            kept = len(self._buffer)
            self._fill(kept + _SEARCH_BYTES)
            if len(self._buffer) == kept:
                self._pos = kept
                return False
        self._pos = found.start()
        return True

    def _require(self, size: int) -> None:
        if not self._fill(size):
            end = self.mark + len(self._buffer)
            missing = self.offset + size - end
            raise TruncatedError(f"the file ends {missing} bytes early", offset=end)

    def _fill(self, size: int) -> bool:
        """Buffer `size` bytes from the position on; tell whether there are as many."""
        while (missing := size - self.read_ahead) > 0 and not self._ended:
            try:
                part = self._stream.read(min(missing, _STEP_BYTES))
            except OSError as error:
                reason = error.strerror or error
                raise SourceError(f"cannot read at byte {self.offset}: {reason}") from error
            if part is None:  # a raw stream that does not block
                raise SourceError("the stream has no bytes yet; open it in blocking mode")
            self._buffer += part
            self._ended = not part
        return self.read_ahead >= size
