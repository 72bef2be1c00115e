"""Where bytes come from one after the other, and the two numbers of variable size in them."""

from __future__ import annotations

from typing import Protocol

from gencodec.errors import FormatError

VAR_MAX = (1 << 63) - 1
VAR_MAX_BYTES = 9


class Cursor(Protocol):
    """Where bytes come from: `take` gives exactly that many or raises `FormatError`."""

    @property
    def offset(self) -> int:
        """Position of the next byte in the stream."""

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""


class BytesCursor:
    """A cursor over bytes in memory."""

    __slots__ = ("_base", "_data", "_pos")

    def __init__(self, data: bytes, *, offset: int = 0) -> None:
        self._data, self._pos, self._base = data, 0, offset

    @property
    def offset(self) -> int:
        """Position of the next byte in the stream."""
        return self._base + self._pos

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return len(self._data) - self._pos

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes.

        Raises:
            FormatError: there are fewer.
        """
        if size > self.left:
            raise FormatError(f"a unit ends {size - self.left} bytes early", offset=self.offset)
        self._pos += size
        return self._data[self._pos - size : self._pos]


def pack_var(value: int) -> bytes:
    """Return `value` (0 .. 2^63 - 1) as LEB128."""
    if not 0 <= value <= VAR_MAX:
        raise ValueError(f"{value} is outside 0 .. 2^63 - 1")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def parse_var(cursor: Cursor) -> int:
    """Return the LEB128 number at `cursor`.

    Raises:
        FormatError: it is longer than it need be, or than nine bytes.
    """
    start, value = cursor.offset, 0
    for index in range(VAR_MAX_BYTES):
        byte = cursor.take(1)[0]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise FormatError("a number has needless zero bytes", offset=start)
            return value
    raise FormatError(f"a number is longer than {VAR_MAX_BYTES} bytes", offset=start)


def pack_svar(value: int) -> bytes:
    """Return a signed number as a var: zigzag."""
    return pack_var(2 * value if value >= 0 else -2 * value - 1)


def parse_svar(cursor: Cursor) -> int:
    """Inverse of `pack_svar`."""
    value = parse_var(cursor)
    return -(value + 1 >> 1) if value & 1 else value >> 1
