"""Units as bytes: type or marker, header, check, body, CRC-32. What they mean is not known here.

    type(4)   length(var)          check(2)  payload  crc(4)      any unit but groups
    marker(2) GroupHeader  block   check(2)  body     crc(4)      a group

The check is over the bytes before it, so that a seek or a search can trust a header; the CRC-32 is
over all bytes before it, so that 32 bits guard every byte before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

from gencodec.container.cursor import pack_var, parse_var
from gencodec.container.fields import pack, parse
from gencodec.container.layout import (
    CHECK_BYTES,
    CRC_BYTES,
    MARKER,
    OTHER_MAX_BYTES,
    SIGNATURE,
    UNIT_MAX_BYTES,
    GroupHeader,
    crc,
    header_check,
    is_type,
)
from gencodec.container.limits import Limits
from gencodec.container.window import Window
from gencodec.errors import FormatError, LimitError

GROUP = b"GOP_"  # the name of group units; their bytes start with the marker instead


@dataclass(frozen=True, slots=True, kw_only=True)
class RawUnit:
    """One unit whose checks are right. A signature counts as a unit without payload."""

    type: bytes  # four characters, or the signature
    offset: int
    size: int  # bytes in all
    payload: bytes = b""  # of a group: the body
    group: GroupHeader | None = None
    block: bytes = b""  # coder block of a group


class BodyError(FormatError):
    """A unit with a good header whose CRC-32 is wrong.

    Attributes:
        size: bytes of the unit as its header tells.
        group: the unit if it is a group, with a body that is not what was written.
    """

    def __init__(self, message: str, *, offset: int, size: int) -> None:
        super().__init__(message, offset=offset)
        self.size = size
        self.group: RawUnit | None = None


def pack_unit(code: bytes, payload: bytes) -> bytes:
    """Return the bytes of a unit that is not a group."""
    header = code + pack_var(len(payload))
    return _seal(header, payload)


def pack_group(group: GroupHeader, block: bytes, body: bytes) -> bytes:
    """Return the bytes of a group unit."""
    return _seal(MARKER + pack(group) + block, body)


def _seal(header: bytes, body: bytes) -> bytes:
    head = header + header_check(crc(header))
    return head + body + crc(body, crc(head)).to_bytes(CRC_BYTES, "little")


def read_unit(window: Window, limits: Limits) -> RawUnit | None:
    """Return the unit at the window's position and move behind it; None at the end of the stream.

    The window's mark stays at the start of the unit, so that it can be rewound.

    Raises:
        FormatError: no unit starts here, or a check is wrong.
        TruncatedError: the stream ends inside the unit.
        LimitError: it is larger than `limits` allow.
    """
    window.commit()
    if not window.peek(1):
        return None
    start = window.take(2)
    if start == MARKER:
        return _read_group(window, limits)
    if start == SIGNATURE[:2]:
        return _read_signature(window, start)
    return _read_general(window, start, limits)


def _read_signature(window: Window, start: bytes) -> RawUnit:
    found = start + window.take(len(SIGNATURE) - len(start))
    if found != SIGNATURE:
        raise FormatError(f"a damaged signature: {found.hex(' ')}", offset=window.mark)
    return RawUnit(type=SIGNATURE, offset=window.mark, size=len(SIGNATURE))


def _read_general(window: Window, start: bytes, limits: Limits) -> RawUnit:
    code = start + window.take(2)
    if not is_type(code):
        raise FormatError(f"no unit starts here: found {code.hex(' ')}", offset=window.mark)
    name = code.decode()
    size = parse_var(window)
    _require_check(window, name)
    most = UNIT_MAX_BYTES.get(code, OTHER_MAX_BYTES)
    if size > most:
        raise FormatError(f"{name} has {size} bytes, must be at most {most}", offset=window.mark)
    if size > limits.unit_bytes:
        raise LimitError(
            f"{name} at byte {window.mark} has {size} bytes, the limit is {limits.unit_bytes} "
            "(Limits.unit_bytes)"
        )
    payload = window.take(size)
    _require_crc(window, name)
    return RawUnit(type=code, offset=window.mark, size=window.offset - window.mark, payload=payload)


def _read_group(window: Window, limits: Limits) -> RawUnit:
    group = parse(GroupHeader, window)
    block = window.take(group.block_bytes)
    _require_check(window, f"group {group.number}")
    if group.body_bytes > limits.body_bytes:
        raise LimitError(
            f"group {group.number} at byte {window.mark} has {group.body_bytes} bytes, the limit "
            f"is {limits.body_bytes} (Limits.body_bytes)"
        )
    body = window.take(group.body_bytes)
    damage = _crc_error(window, f"group {group.number}")
    raw = RawUnit(
        type=GROUP,
        offset=window.mark,
        size=window.offset - window.mark,
        payload=body,
        group=group,
        block=block,
    )
    if damage is not None:
        damage.group = raw
        raise damage
    return raw


def _require_check(window: Window, name: str) -> None:
    expected = header_check(window.crc())
    if window.take(CHECK_BYTES) != expected:
        raise FormatError(f"the header of {name} is damaged", offset=window.mark)


def _require_crc(window: Window, name: str) -> None:
    if (error := _crc_error(window, name)) is not None:
        raise error


def _crc_error(window: Window, name: str) -> BodyError | None:
    """Take the crc of a unit and return what is wrong with it."""
    expected = window.crc()
    stored = int.from_bytes(window.take(CRC_BYTES), "little")
    if stored == expected:
        return None
    return BodyError(
        f"{name} is damaged: its bytes have CRC-32 {expected:08x}, the file says {stored:08x}",
        offset=window.mark,
        size=window.offset - window.mark,
    )
