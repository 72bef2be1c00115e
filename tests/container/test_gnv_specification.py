"""formats/gnv-1.md says what the code does; its worked example decodes without the code."""

from __future__ import annotations

import re
import zlib
from dataclasses import fields
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import pytest

from gencodec import errors
from gencodec.container import (
    META,
    GnvcVdBlock,
    GroupRecord,
    Header,
    Limits,
    Pack,
    Reader,
    Unit,
    Writer,
)
from gencodec.container.fields import describe
from gencodec.container.layout import (
    END,
    HEAD,
    MARKER,
    OTHER_MAX_BYTES,
    RECORDS,
    SIGNATURE,
    UNIT_MAX_BYTES,
    is_critical,
    is_private,
    is_safe_to_copy,
    is_type,
)

SPECIFICATION = Path(__file__).parents[2] / "formats" / "gnv-1.md"
TEXT = SPECIFICATION.read_text(encoding="utf-8")


def rows_after(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the table behind a line, without its head."""
    lines = TEXT[TEXT.index(f"\n{heading}\n") :].splitlines()[2:]
    start = next(at for at, line in enumerate(lines) if line.startswith("|"))
    table = lines[start + 2 :]
    end = next(at for at, line in enumerate([*table, ""]) if not line.startswith("|"))
    return [tuple(cell.strip() for cell in row[1:-1].split("|")) for row in table[:end]]


def number(text: str) -> int:
    base, _, power = text.partition("^")
    return int(int(base) ** int(power or 1))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_field_tables_are_those_of_the_code(record: type) -> None:
    assert rows_after(f"**{record.__name__}**") == describe(record)


def test_there_is_a_table_for_every_record_and_no_other() -> None:
    named = re.findall(r"^\*\*([A-Z]\w+[a-z])\*\*$", TEXT, flags=re.MULTILINE)
    assert sorted(named) == sorted(record.__name__ for record in RECORDS)


def test_the_unit_table_is_that_of_the_code() -> None:
    rows = rows_after("## 2. Units")
    assert rows[-1][0] == "any other"
    assert number(rows[-1][2]) == OTHER_MAX_BYTES
    sizes = {code.strip("`").encode(): number(most) for _, code, most, _ in rows[:-1]}
    assert sizes == UNIT_MAX_BYTES
    assert all(name == code.strip("`").upper() for name, code, _, _ in rows[:-1])


def test_the_limits_are_those_of_the_code() -> None:
    stated = {name: number(default) for name, default, _ in rows_after("## 5. Limits and attacks")}
    assert stated == {field.name: getattr(Limits(), field.name) for field in fields(Limits)}


def test_rules_are_numbered_and_name_an_error_that_exists() -> None:
    rules = re.findall(r"^\*\*G(\d+)\.\*\*(.*?)(?=^\*\*G|^#|^\n)", TEXT, flags=re.M | re.S)
    assert [int(at) for at, _ in rules] == list(range(1, len(rules) + 1))
    for at, rule in rules:
        named = re.findall(r"\b(\w+Error)\b", rule)
        assert all(hasattr(errors, name) for name in named), at
        # G14, G15, G20, G23: sentences that also define; G27 tells where to look instead.
        assert named or "damages" in rule, at


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (SPECIFICATION.parent / target).exists(), target


def test_type_letters_mean_what_the_table_says() -> None:
    assert {code for code in UNIT_MAX_BYTES if is_critical(code)} == {HEAD, END}
    assert not any(is_private(code) for code in UNIT_MAX_BYTES)
    assert [c for c in UNIT_MAX_BYTES if is_safe_to_copy(c) and not is_critical(c)] == [META]
    assert is_private(b"axXx")
    assert all(map(is_type, UNIT_MAX_BYTES))
    for code in (MARKER + b"xx", SIGNATURE[:4], b"1ABC", b"ABcD", b"AB D", b"A\xc4BC", b"AB"):
        assert not is_type(code), code


# -- the worked example ------------------------------------------------------------------------

LINES = re.findall(
    r"^    ((?:[0-9a-f]{2} )*[0-9a-f]{2})  +(\S.*)$",
    TEXT[TEXT.index("\n## 6. Worked example") :],
    flags=re.M,
)
EXAMPLE = b"".join(bytes.fromhex(line) for line, _ in LINES)


def example() -> tuple[Header, list[Unit | GroupRecord]]:
    header = Header(
        width=352,
        height=288,
        time_base=Fraction(1, 90_000),
        frame_ticks=3003,
        start_tick=126_000,
        group_frames=5,
        sample_aspect=Fraction(1),
        primaries=1,
        transfer=1,
        matrix=1,
        colour_range=1,
        field_order=1,
        chroma_location=1,
        noise_seed=305_419_896,
        packs=(Pack(sha256=bytes(range(32))),),
    )
    settings = GnvcVdBlock(quality=20, anchor_offset=8, steps=2, start_level=350)
    second = GnvcVdBlock(quality=21, anchor_offset=8, steps=2, start_level=350)
    return header, [
        Unit(type=META, payload=b"\xa1\x65title\x63cat"),
        GroupRecord(
            number=0,
            ticks=tuple(range(126_000, 126_000 + 5 * 3003, 3003)),
            cut=True,
            coder=1,
            coder_block=settings.to_bytes(),
            payload=b"first payload",
            digest=287_454_020,
        ),
        GroupRecord(
            number=1,
            ticks=tuple(range(126_000 + 5 * 3003, 126_000 + 8 * 3003, 3003)),
            dependencies=(1,),
            coder=1,
            coder_block=second.to_bytes(),
            payload=b"second",
            digest=2_864_434_397,
        ),
    ]


def test_the_worked_example_is_what_the_writer_writes() -> None:
    header, records = example()
    stream = BytesIO()
    with Writer(stream, header) as writer:
        for record in records:
            if isinstance(record, Unit):
                writer.write_unit(record.type, record.payload)
            else:
                writer.write_group(record)
    assert stream.getvalue().hex(" ") == EXAMPLE.hex(" ")


def test_the_worked_example_is_what_the_reader_reads() -> None:
    header, records = example()
    reader = Reader(BytesIO(EXAMPLE))
    assert reader.header == header
    assert list(reader.records()) == records
    assert reader.complete


def test_the_comments_of_the_worked_example_are_right() -> None:
    """Every `name value` in a comment is the value of a field, or the count of something."""
    header, records = example()
    words = " ".join(comment for _, comment in LINES)
    for name in ("width", "height", "frame_ticks", "start_tick", "group_frames", "noise_seed"):
        assert f"{name} {getattr(header, name)}" in words
    for record in records:
        if isinstance(record, GroupRecord):
            block = GnvcVdBlock.from_bytes(record.coder_block)
            assert f"digest {record.digest}" in words
            assert f"quality {block.quality}, anchor_offset {block.anchor_offset}" in words
            assert f"steps {block.steps}, start_level {block.start_level}" in words


class Plain:
    """A second reader, from the text of the specification alone; constant rate only."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        assert self.at <= len(self.data)
        return self.data[self.at - size : self.at]

    def u(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def var(self) -> int:
        value = shift = 0
        while True:
            byte = self.u(1)
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def checked(self, start: int) -> None:
        assert zlib.crc32(self.data[start : self.at]) & 0xFFFF == self.u(2)

    def closed(self, start: int) -> None:
        assert zlib.crc32(self.data[start : self.at]) == self.u(4)

    def unit(self) -> tuple[bytes, bytes]:
        start = self.at
        code, size = self.take(4), self.var()
        self.checked(start)
        payload = self.take(size)
        self.closed(start)
        return code, payload

    def header(self) -> dict[str, int]:
        code, payload = self.unit()
        assert code == b"HEAD"
        head = Plain(payload)
        assert head.take(4) == b"\1\0\0\0"
        bits = head.u(2)
        assert bits >> 7 & 1  # constant rate
        found = {"rotation": (bits & 3) * 90, "bit_depth": (bits >> 8 & 31) + 1}
        found |= {"width": head.var(), "height": head.var()}
        head.var(), head.var(), head.var(), head.var()  # aspect, time base
        found["frame_ticks"] = head.var()
        start = head.var()
        found["start_tick"] = start // 2 if start % 2 == 0 else -(start + 1) // 2
        found["group_frames"] = head.var()
        head.take(3 + 4 + 1 + 5)
        assert head.var() * 33 == len(payload) - head.at
        return found

    def group(self, usual_frames: int) -> dict[str, object]:
        start = self.at
        assert self.take(2) == b"\xc7\xd0"
        shape = self.var()
        found: dict[str, object] = {"cut": bool(shape & 1), "number": self.var()}
        found["first"] = self.var()
        found["frames"] = self.var() if shape & 4 else usual_frames
        if shape & 8:
            self.u(1)
        found["needs"] = [self.var() for _ in range(self.var())] if shape & 2 else []
        size, found["digest"] = self.var(), self.u(4)
        block = int.from_bytes(self.take(shape >> 4), "little")
        found["quality"], found["anchor_offset"] = block & 63, (block >> 6 & 15) - 2
        found["steps"], found["level"] = block >> 10 & 15, block >> 14 & 1023
        self.checked(start)
        found["payload"] = self.take(size)
        self.closed(start)
        return found


def test_a_reader_written_from_the_text_decodes_the_worked_example() -> None:
    plain = Plain(EXAMPLE)
    assert plain.take(8) == b"\x8bGNV\r\n\x1a\n"
    assert plain.header() == {
        "rotation": 0,
        "bit_depth": 8,
        "width": 352,
        "height": 288,
        "frame_ticks": 3003,
        "start_tick": 126_000,
        "group_frames": 5,
    }
    assert plain.unit() == (b"mETa", b"\xa1\x65title\x63cat")
    usual = {"anchor_offset": 8, "steps": 2, "level": 350}
    assert plain.group(5) == usual | {
        "cut": True,
        "number": 0,
        "first": 0,
        "frames": 5,
        "needs": [],
        "digest": 287_454_020,
        "quality": 20,
        "payload": b"first payload",
    }
    assert plain.group(5) == usual | {
        "cut": False,
        "number": 1,
        "first": 5,
        "frames": 3,
        "needs": [1],
        "digest": 2_864_434_397,
        "quality": 21,
        "payload": b"second",
    }
    assert plain.header()["width"] == 352
    assert plain.unit()[0] == b"iNDX"
    assert plain.unit()[0] == b"END!"
    assert plain.at == len(EXAMPLE)
