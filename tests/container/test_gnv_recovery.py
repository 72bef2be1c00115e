"""Past damage: good groups are found, the rest is listed, a cut file never looks whole."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gencodec.container import META, Damage, GroupRecord, Header, Limits, Reader, Unit, Writer
from gencodec.container.framing import pack_unit
from gencodec.errors import FormatError


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
    assert "group 1 is missing" in reader.damages[1].reason
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


class Pipe(BytesIO):
    """A stream that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError(f"seek to {offset} from {whence}")


@pytest.mark.parametrize("name", ["constant", "varied"])
@pytest.mark.parametrize("stream", [BytesIO, Pipe])
def test_a_reader_that_joins_late_gives_what_came_before_the_header(
    name: str, stream: type[BytesIO], request: pytest.FixtureRequest
) -> None:
    data: bytes = request.getfixturevalue(f"{name}_file")
    written: list[GroupRecord] = request.getfixturevalue(f"{name}_groups")
    at = [*offsets(data), len(data)]
    for number in range(len(written)):
        for start in (at[number], at[number] + 3):
            reader = Reader(stream(data[start:]), recover=True)
            groups = list(reader.groups())
            assert groups == written[number + (start > at[number]) :]
            assert reader.header == request.getfixturevalue(f"{name}_header")
            assert not reader.complete
            assert reader.damages


@pytest.mark.parametrize("name", ["constant", "varied"])
@pytest.mark.parametrize("stream", [BytesIO, Pipe])
def test_a_damaged_header_costs_no_group(
    name: str, stream: type[BytesIO], request: pytest.FixtureRequest
) -> None:
    data: bytes = request.getfixturevalue(f"{name}_file")
    written: list[GroupRecord] = request.getfixturevalue(f"{name}_groups")
    head = Reader(BytesIO(data)).header.to_bytes()
    for at in range(8 + len(pack_unit(b"HEAD", head))):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        reader = Reader(stream(damaged), recover=True)
        assert list(reader.groups()) == written
        assert reader.header == request.getfixturevalue(f"{name}_header")
        assert len(reader.damages) == 1
        assert not reader.complete


def test_the_header_comes_again_every_24_groups_and_before_the_index(
    constant_header: Header,
) -> None:
    stream = BytesIO()
    writer = Writer(stream, constant_header)
    for number in range(50):
        ticks = tuple(range(5 * number, 5 * number + 5))
        writer.write_group(
            GroupRecord(number=number, ticks=ticks, coder=1, payload=b"", digest=number)
        )
        writer.write_unit(META, b"\xa0")
    writer.close()
    data, head = stream.getvalue(), pack_unit(b"HEAD", constant_header.to_bytes())
    found = [at for at in range(len(data)) if data.startswith(head, at)]
    at = offsets(data)
    assert found == [8, at[24] - len(head), at[48] - len(head), data.index(b"iNDX") - len(head)]
    reader = Reader(BytesIO(data))
    records = list(reader.groups())
    spans = [reader.read_span(entry) for entry in reader.index()]
    assert [record for record, _ in spans] == records
    assert all(units == [Unit(type=META, payload=b"\xa0")] for _, units in spans)


def test_files_in_a_row_each_have_their_own_header(
    constant_file: bytes,
    varied_file: bytes,
    constant_groups: list[GroupRecord],
    varied_groups: list[GroupRecord],
) -> None:
    both = constant_groups + varied_groups
    start = len(constant_file)
    first = offsets(varied_file)[0]
    for lost in (
        range(start + 8, start + 60),  # the second header
        range(start, start + first),  # with its signature
        range(start - 10, start + first),  # with the end of the first file
    ):
        data = bytearray(constant_file + varied_file)
        for at in lost:
            data[at] = 0
        reader, groups = recover(bytes(data))
        assert groups == both
        assert [group.part for group in groups] == [0] * 4 + [1] * 3
        assert not reader.complete
    head = Reader(BytesIO(constant_file)).header.to_bytes()
    without = constant_file.replace(pack_unit(b"HEAD", head), b"")
    reader, groups = recover(without + varied_file)
    assert groups == varied_groups  # and none of the first file under this header
    reasons = [damage.reason for damage in reader.damages]
    assert [reason.split(" (")[0] for reason in reasons] == ["GOP_ comes before HEAD"]
    assert reader.damages[0].offset == 8
    assert reader.damages[0].bytes == len(without) - 8


def test_units_wait_for_a_header_in_bounded_memory(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = offsets(constant_file)
    reader = Reader(
        BytesIO(constant_file[at[0] :]), recover=True, limits=Limits(waiting_bytes=2048)
    )
    assert list(reader.groups()) == constant_groups[2:]
    assert (reader.damages[0].offset, reader.damages[0].bytes) == (0, at[2] - at[0])


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
    assert "group 3 is missing" in reader.damages[-1].reason


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
    head = pack_unit(b"HEAD", Reader(BytesIO(constant_file)).header.to_bytes())
    with pytest.raises(FormatError, match="no header"):
        recover(constant_file.replace(head, b""))
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
@given(start=st.integers(0, 440), size=st.integers(1, 60), junk=st.binary(max_size=60))
def test_what_is_recovered_was_written_and_every_byte_is_accounted_for(
    constant_file: bytes,
    constant_groups: list[GroupRecord],
    start: int,
    size: int,
    junk: bytes,
) -> None:
    data = constant_file[:start] + junk + constant_file[start + size :]
    units = [8, *offsets(constant_file)]  # the header and the groups
    moved = [unit + len(junk) - size for unit in units if unit >= start + size]
    end = next((unit for unit in units if unit > start), None)
    assume(len(junk) == size or end not in moved)  # a unit seems to hold what lies up to its end
    reader = Reader(BytesIO(data), recover=True)
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
