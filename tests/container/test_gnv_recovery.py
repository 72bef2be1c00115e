"""Past damage: good groups are found, the rest is listed, a cut file never looks whole."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencodec.container import Damage, GroupRecord, Header, Reader, Unit, Writer
from gencodec.container.framing import pack_unit
from gencodec.errors import FormatError, GencodecError


def recover(data: bytes) -> tuple[Reader, list[GroupRecord]]:
    reader = Reader(BytesIO(data), recover=True)
    return reader, list(reader.groups())


def offsets(data: bytes) -> list[int]:
    return [entry.offset for entry in Reader(BytesIO(data)).index()]


def test_a_whole_file_has_no_damage(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    reader, groups = recover(constant_file)
    assert (groups, reader.damages, reader.complete) == (constant_groups, [], True)


def test_a_damaged_payload_costs_one_group(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = offsets(constant_file)
    data = bytearray(constant_file)
    data[at[1] + 40] ^= 0xFF
    reader, groups = recover(bytes(data))
    assert groups == [constant_groups[0], *constant_groups[2:]]
    assert [(d.offset, d.bytes) for d in reader.damages] == [(at[1], at[2] - at[1]), (at[2], 0)]
    assert "group 1 is damaged" in reader.damages[0].reason
    assert "groups 1 to 1 are missing" in reader.damages[1].reason
    assert not reader.complete


@pytest.mark.parametrize("group", range(4))
@pytest.mark.parametrize("byte", range(20))
def test_any_damaged_byte_of_a_group_costs_that_group_only(
    constant_file: bytes, constant_groups: list[GroupRecord], group: int, byte: int
) -> None:
    data = bytearray(constant_file)
    data[offsets(constant_file)[group] + byte] ^= 0x55
    _, groups = recover(bytes(data))
    assert groups == [record for record in constant_groups if record.number != group]


def test_a_reader_that_joins_late_starts_at_the_repeated_header(
    varied_file: bytes, varied_groups: list[GroupRecord], varied_header: Header
) -> None:
    reader, groups = recover(varied_file[150:])
    assert reader.header == varied_header
    assert groups == varied_groups[2:]
    assert not reader.complete
    assert reader.damages[0].offset == 0


def test_lost_bytes_between_groups_are_passed_over(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = offsets(constant_file)
    reader, groups = recover(constant_file[: at[1]] + b"noise\xc7\xd0" * 9 + constant_file[at[1] :])
    assert groups == constant_groups
    assert [(d.offset, d.bytes) for d in reader.damages if d.bytes] == [(at[1], 63)]


def test_a_cut_tail_is_listed(constant_file: bytes, constant_groups: list[GroupRecord]) -> None:
    end = offsets(constant_file)[3] + 30
    reader, groups = recover(constant_file[:end])
    assert groups == constant_groups[:3]
    assert reader.damages == [
        Damage(offset=end - 30, bytes=30, reason=reader.damages[0].reason),
    ]
    assert "early" in reader.damages[0].reason
    assert not reader.complete


def test_groups_that_are_gone_without_trace_are_noticed(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = offsets(constant_file)
    data = constant_file[: at[1]] + constant_file[at[3] :]
    with pytest.raises(FormatError, match="groups 1 to 2 are missing"):
        list(Reader(BytesIO(data)).groups())
    reader, groups = recover(data)
    assert groups == [constant_groups[0], constant_groups[3]]
    assert [(d.offset, d.bytes) for d in reader.damages] == [(at[1], 0)]
    last = constant_file[: at[3]] + constant_file[constant_file.index(b"END!") :]
    reader, groups = recover(last)
    assert groups == constant_groups[:3]
    assert "groups 3 to 3 are missing" in reader.damages[-1].reason


def test_a_group_that_comes_twice_is_dropped(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = offsets(constant_file)
    reader, groups = recover(constant_file[: at[2]] + constant_file[at[1] :])
    assert groups == constant_groups
    assert reader.damages[0] == Damage(
        offset=at[2], bytes=at[2] - at[1], reason=f"group 1 comes again (at byte {at[2]})"
    )


def test_a_mangled_signature_does_not_hide_the_groups(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    reader, groups = recover(constant_file.replace(b"\r\n\x1a", b"\n\x1a", 1))
    assert groups == constant_groups
    assert "CR LF was turned into LF" in reader.damages[0].reason


def test_without_any_header_there_is_an_error(constant_file: bytes) -> None:
    with pytest.raises(FormatError, match="no header"):
        recover(constant_file[offsets(constant_file)[0] :])
    with pytest.raises(FormatError, match="no header"):
        recover(b"nothing of use" * 100)
    with pytest.raises(FormatError, match="empty"):
        recover(b"")


def test_a_scan_of_a_damaged_file_finds_the_good_groups(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    data = bytearray(constant_file)
    data[offsets(constant_file)[2] + 30] ^= 1
    reader = Reader(BytesIO(bytes(data)), recover=True)
    entries = reader.index()
    assert [entry.number for entry in entries] == [0, 1, 3]
    assert [reader.read_group(entry) for entry in entries] == [
        record for record in constant_groups if record.number != 2
    ]
    listed = list(reader.damages)
    assert len(listed) == 2
    assert len(list(reader.groups())) == 3
    assert reader.damages == listed
    strict = Reader(BytesIO(bytes(data)))
    with pytest.raises(FormatError, match="group 2 is damaged"):
        strict.scan()


@settings(max_examples=80, deadline=None)
@given(start=st.integers(0, 360), size=st.integers(1, 60), junk=st.binary(max_size=60))
def test_what_is_recovered_was_written_and_every_byte_is_accounted_for(
    constant_file: bytes,
    constant_groups: list[GroupRecord],
    start: int,
    size: int,
    junk: bytes,
) -> None:
    data = constant_file[:start] + junk + constant_file[start + size :]
    try:
        reader = Reader(BytesIO(data), recover=True)
    except GencodecError:
        assert start < 95  # the only header is gone
        return
    groups = list(reader.groups())
    assert all(group in constant_groups for group in groups)
    untouched = [
        record
        for record, entry in zip(
            constant_groups, Reader(BytesIO(constant_file)).index(), strict=True
        )
        if entry.offset >= start + size
        or entry.offset + 24 + len(record.payload) + bool(record.dependencies) * 2 < start
    ]
    assert all(group in groups for group in untouched)
    ends = [damage.offset + damage.bytes for damage in reader.damages]
    assert all(b.offset >= end for b, end in zip(reader.damages[1:], ends, strict=False))
    assert max(ends, default=0) <= len(data)
    assert reader.complete == (data == constant_file)


def test_other_units_survive_recovery(constant_header: Header) -> None:
    stream = BytesIO()
    writer = Writer(stream, constant_header)
    writer.write_unit(b"mETa", b"one")
    data = stream.getvalue() + b"\xff" * 20 + pack_unit(b"mETa", b"two")
    reader = Reader(BytesIO(data), recover=True)
    assert list(reader.records()) == [
        Unit(type=b"mETa", payload=b"one"),
        Unit(type=b"mETa", payload=b"two"),
    ]
