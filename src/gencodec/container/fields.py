"""The language in which `layout.py` describes bytes: a record is a dataclass, a field has a code.

Packing, parsing, range checks and the tables of the specification all derive from the description.

    code      bytes                                                       value
    b1..b16   bits; a run of such fields is one little-endian integer,    integer
              first field lowest, that fills whole bytes
    rest      ends a run of bits: they and this value, shifted above      integer
              them, are one var
    u8, u32   little-endian                                               integer
    var       LEB128, 7 bits a byte, low first, at most 9 bytes, shortest integer 0 .. 2^63 - 1
    svar      a var: 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ...             integer
    ratio     two vars, numerator and denominator, in lowest terms        Fraction
    hash      32 bytes                                                    SHA-256
    text      a var n, then n bytes of UTF-8                              string
    list X    a var n, then n times X (a code, or a record's name)        tuple

A number is stored less the lowest value of its range in `b` fields, and as it is in all others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from typing import Any, TypeVar

from gencodec.container.cursor import (
    BytesCursor,
    Cursor,
    pack_svar,
    pack_var,
    parse_svar,
    parse_var,
)
from gencodec.errors import FormatError

HASH_BYTES = 32
VARIABLE = "the rate varies"
"""A field with this `when` is present in files of variable frame rate only."""

_UNSIGNED = {"u8": 1, "u32": 4}
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One field on the wire.

    Attributes:
        name: of the dataclass field.
        code: see the module.
        low: lowest value; of a list: of an element; of a text: fewest bytes.
        high: highest value, likewise.
        unit: what the number counts.
        meaning: one line for the specification.
        step: distance between neighbouring values (`b` fields only).
        when: present if this field of the same record is true ("x"), is false ("not x"), or if the
            rate varies (`VARIABLE`); empty: always present.
        most: elements a list may have; it has at least one.
        item: record of a list.
        tail: may be left out, with all that follow, where it is 0.
    """

    name: str = ""
    code: str
    low: int = 0
    high: int = 0
    unit: str
    meaning: str
    step: int = 1
    when: str = ""
    most: int = 0
    item: type | None = None
    tail: bool = False

    @property
    def bits(self) -> int:
        """Width of a bit field, 0 for the others."""
        return int(self.code[1:]) if self.code[0] == "b" else 0

    @property
    def range(self) -> str:
        """The range as the specification prints it."""
        span = f"{_short(self.low)} .. {_short(self.high)}"
        if self.code in ("hash", "list") or self.item:
            span = ""
        if self.step != 1:
            span += f" step {self.step}"
        if self.most:
            span = f"1 .. {self.most} of {span}" if span else f"1 .. {self.most}"
        return span


def _short(number: int) -> str:
    """Return a number as people read it: 2^32 - 1 rather than 4294967295."""
    sign, size = "-" if number < 0 else "", abs(number)
    if size > 0xFFFF and size & size - 1 == 0:
        return f"{sign}2^{size.bit_length() - 1}"
    if size > 0xFFFF and size & size + 1 == 0:
        return f"2^{size.bit_length()} - 1"
    return str(number)


def wire(code: str, low: int, high: int, unit: str, meaning: str, **more: Any) -> Any:  # noqa: ANN401
    """Declare a dataclass field with its place on the wire; `default` is the dataclass's."""
    default = more.pop("default", dataclasses.MISSING)
    spec = Wire(code=code, low=low, high=high, unit=unit, meaning=meaning, **more)
    return dataclasses.field(default=default, metadata={"wire": spec})


_LAYOUTS: dict[type, tuple[Wire, ...]] = {}
_RUNS: dict[type, tuple[tuple[Wire, ...], ...]] = {}


def layout_of(record: type) -> tuple[Wire, ...]:
    """Return the wire fields of a record class in the order of their bytes."""
    if record not in _LAYOUTS:
        _LAYOUTS[record] = tuple(
            dataclasses.replace(field.metadata["wire"], name=field.name)
            for field in dataclasses.fields(record)
            if "wire" in field.metadata
        )
    return _LAYOUTS[record]


# -- one value ---------------------------------------------------------------------------------


def _pack_value(field: Wire, value: Any) -> bytes:  # noqa: ANN401
    match field.code.split()[0]:
        case "var":
            return pack_var(value)
        case "svar":
            return pack_svar(value)
        case "ratio":
            return pack_var(value.numerator) + pack_var(value.denominator)
        case "hash":
            return bytes(value)
        case "text":
            data: bytes = value.encode()
            return pack_var(len(data)) + data
        case "list":
            element = _element(field)
            parts = [pack(v) if field.item else _pack_value(element, v) for v in value]
            return pack_var(len(value)) + b"".join(parts)
        case code:
            return int(value).to_bytes(_UNSIGNED[code], "little")


def _parse_value(field: Wire, cursor: Cursor) -> Any:  # noqa: ANN401
    match field.code.split()[0]:
        case "var":
            return parse_var(cursor)
        case "svar":
            return parse_svar(cursor)
        case "ratio":
            return _parse_ratio(field, cursor)
        case "hash":
            return cursor.take(HASH_BYTES)
        case "text":
            return _parse_text(field, cursor)
        case "list":
            return _parse_list(field, cursor)
        case code:
            return int.from_bytes(cursor.take(_UNSIGNED[code]), "little")


def _element(field: Wire) -> Wire:
    """Return the field of one element of a list of numbers."""
    return dataclasses.replace(field, code=field.code.removeprefix("list "), most=0, when="")


def _parse_ratio(field: Wire, cursor: Cursor) -> Fraction:
    start = cursor.offset
    numerator, denominator = parse_var(cursor), parse_var(cursor)
    if denominator == 0 or gcd(numerator, denominator) != 1:
        raise FormatError(
            f"{field.name} is {numerator}/{denominator}, must be in lowest terms", offset=start
        )
    return Fraction(numerator, denominator)


def _parse_text(field: Wire, cursor: Cursor) -> str:
    start, size = cursor.offset, parse_var(cursor)
    if size > field.high:
        raise FormatError(f"{field.name} has {size} bytes, at most {field.high}", offset=start)
    try:
        return cursor.take(size).decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"{field.name} is not UTF-8", offset=start) from error


def _parse_list(field: Wire, cursor: Cursor) -> tuple[Any, ...]:
    start, count = cursor.offset, parse_var(cursor)
    if not 1 <= count <= field.most:
        raise FormatError(
            f"{field.name} has {count} elements, must be 1 to {field.most}", offset=start
        )
    if field.item:
        return tuple(parse(field.item, cursor) for _ in range(count))
    element = _element(field)
    return tuple(_parse_value(element, cursor) for _ in range(count))


# -- ranges ------------------------------------------------------------------------------------


def complaint(field: Wire, value: Any) -> str:  # noqa: ANN401
    """Return what is wrong with a value, or an empty string."""
    code = field.code.split()[0]
    if code == "list":
        return _list_complaint(field, value)
    if code == "hash":
        good = len(value) == HASH_BYTES
        return "" if good else f"{field.name} has {len(value)} bytes, must be {HASH_BYTES}"
    if code == "ratio":
        good = all(field.low <= n <= field.high for n in (value.numerator, value.denominator))
        return "" if good else f"{field.name} is {value}, its terms must be {field.range}"
    number = len(value.encode()) if code == "text" else int(value)
    if field.low <= number <= field.high and (number - field.low) % field.step == 0:
        return ""
    what = f"has {number} bytes" if code == "text" else f"is {number}"
    return f"{field.name} {what}, must be {field.range}"


def _list_complaint(field: Wire, values: tuple[Any, ...]) -> str:
    if field.most and not 1 <= len(values) <= field.most:
        return f"{field.name} has {len(values)} elements, must be 1 to {field.most}"
    if field.item:
        return ""
    element = _element(field)
    return next((text for value in values if (text := complaint(element, value))), "")


def check(record: Any) -> None:  # noqa: ANN401
    """Refuse a record with a present field outside its range; for `__post_init__`.

    Raises:
        ValueError: names the field, its value and the range.
    """
    values = {field.name: getattr(record, field.name) for field in layout_of(type(record))}
    for field in layout_of(type(record)):
        if _is_present(field, values, variable=True) and (
            text := complaint(field, values[field.name])
        ):
            raise ValueError(text)


class Record:
    """Base of the records: what is outside its range is refused when one is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        check(self)


# -- records -----------------------------------------------------------------------------------


def _runs(record: type) -> tuple[tuple[Wire, ...], ...]:
    """Split a layout into runs: bits that share an integer, or one field alone."""
    if record in _RUNS:
        return _RUNS[record]
    runs: list[tuple[Wire, ...]] = []
    run: list[Wire] = []
    for field in layout_of(record):
        run.append(field)
        if field.code == "rest" or sum(member.bits for member in run) % 8 == 0:
            runs.append(tuple(run))
            run = []
        elif not field.bits:
            break
    if run:
        raise TypeError(f"the bit fields of {record.__name__} do not fill their bytes")
    _RUNS[record] = tuple(runs)
    return _RUNS[record]


def _is_present(field: Wire, values: dict[str, Any], *, variable: bool) -> bool:
    if field.when in ("", VARIABLE):
        return variable or not field.when
    return bool(values[field.when.removeprefix("not ")]) != field.when.startswith("not ")


def _pack_run(run: tuple[Wire, ...], values: dict[str, Any]) -> bytes:
    if run[0].code != "rest" and not run[0].bits:
        return _pack_value(run[0], values[run[0].name])
    number = shift = 0
    for field in run:
        low = field.low if field.bits else 0
        number |= (int(values[field.name]) - low) // field.step << shift
        shift += field.bits
    return pack_var(number) if run[-1].code == "rest" else number.to_bytes(shift // 8, "little")


def _parse_run(run: tuple[Wire, ...], cursor: Cursor) -> dict[str, Any]:
    if run[0].code != "rest" and not run[0].bits:
        return {run[0].name: _parse_value(run[0], cursor)}
    if run[-1].code == "rest":
        number = parse_var(cursor)
    else:
        number = int.from_bytes(cursor.take(sum(field.bits for field in run) // 8), "little")
    values: dict[str, Any] = {}
    for field in run:
        stored = number & ((1 << field.bits) - 1) if field.bits else number
        number >>= field.bits
        value = stored * field.step + (field.low if field.bits else 0)
        values[field.name] = bool(value) if field.code == "b1" else value
    return values


def pack(record: Any, *, variable: bool = False) -> bytes:  # noqa: ANN401
    """Return the bytes of a record; `variable` tells whether the file's frame rate varies."""
    values = {field.name: getattr(record, field.name) for field in layout_of(type(record))}
    runs = list(_runs(type(record)))
    while runs and runs[-1][0].tail and not any(values[field.name] for field in runs[-1]):
        runs.pop()
    return b"".join(
        _pack_run(run, values) for run in runs if _is_present(run[0], values, variable=variable)
    )


def parse(record: type[R], cursor: Cursor, *, variable: bool = False) -> R:
    """Return the record at `cursor`; inverse of `pack`.

    Raises:
        FormatError: the bytes end early, or a field breaks its rule; carries the offset.
    """
    values: dict[str, Any] = {}
    for run in _runs(record):
        if run[0].tail and isinstance(cursor, BytesCursor) and not cursor.left:
            break
        if not _is_present(run[0], values, variable=variable):
            continue
        start = cursor.offset
        found = _parse_run(run, cursor)
        for field in run:
            if text := complaint(field, found[field.name]):
                raise FormatError(text, offset=start)
        values |= found
    try:
        return record(**values)
    except ValueError as error:
        raise FormatError(str(error), offset=cursor.offset) from error


def describe(record: type) -> list[tuple[str, ...]]:
    """Return a record's rows in the specification: field, at, code, range, unit, meaning.

    `at` is the offset in bytes (and bit), or `+` behind a field of variable size.
    """
    rows: list[tuple[str, ...]] = []
    bit: int | None = 0
    for field in layout_of(record):
        at = "+" if bit is None else f"{bit // 8}" if bit % 8 == 0 else f"{bit // 8}.{bit % 8}"
        condition = f"if {field.when}: " if field.when else ""
        condition += "may be left out where 0: " if field.tail else ""
        meaning = condition + field.meaning
        rows.append((field.name, at, field.code, field.range, field.unit, meaning))
        size = field.bits or 8 * _UNSIGNED.get(field.code, HASH_BYTES * (field.code == "hash"))
        bit = bit + size if bit is not None and size and not field.when else None
    return rows
