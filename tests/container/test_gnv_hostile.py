"""Any bytes give a value or a GencodecError, in bounded time and memory."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
from contextlib import suppress
from fractions import Fraction
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencodec.container import GroupRecord, Header, Limits, Pack, Reader, Writer
from gencodec.container.cursor import pack_var
from gencodec.container.fields import pack
from gencodec.container.framing import pack_group, pack_unit
from gencodec.container.layout import MARKER, SIGNATURE, GroupHeader, Trailer, crc, header_check
from gencodec.errors import (
    FormatError,
    GencodecError,
    LimitError,
    SourceError,
    TruncatedError,
    UnsupportedError,
)


def read_all(data: bytes, *, recover: bool = False) -> tuple[Reader, list[object]]:
    reader = Reader(BytesIO(data), recover=recover)
    return reader, list(reader.records())


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("name", ["constant_file", "varied_file"])
def test_any_damaged_byte_is_reported(name: str, flip: int, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(name)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= flip
        with pytest.raises(GencodecError):
            read_all(bytes(damaged))


@pytest.mark.parametrize("name", ["constant_file", "varied_file"])
def test_a_file_cut_anywhere_is_an_error_or_known_to_be_cut(
    name: str, request: pytest.FixtureRequest
) -> None:
    data: bytes = request.getfixturevalue(name)
    whole = list(Reader(BytesIO(data)).groups())
    ends = [group.offset + group.container_bytes + len(group.payload) for group in whole]
    for size in range(len(data)):
        before = sum(end <= size for end in ends)
        if before:
            reader = Reader(BytesIO(data[:size]))
            assert list(reader.groups()) == whole[:before]
            assert not reader.complete
        elif size > len(SIGNATURE):
            with suppress(TruncatedError):  # unless a unit ends here
                assert not read_all(data[:size])[0].complete
        else:
            with pytest.raises(FormatError):
                read_all(data[:size])


def test_a_file_cut_before_its_first_group_names_the_missing_bytes(constant_file: bytes) -> None:
    entry = Reader(BytesIO(constant_file)).index()[1]
    with pytest.raises(TruncatedError, match=rf"ends 3 bytes early \(at byte {entry.offset - 3}"):
        read_all(constant_file[: entry.offset - 3])


def test_a_cut_in_a_second_part_leaves_the_first(constant_file: bytes) -> None:
    groups = list(Reader(BytesIO(constant_file)).groups())
    at = len(constant_file)
    for size in (at + len(SIGNATURE), at + 30, 2 * at - 3):
        reader, records = read_all((2 * constant_file)[:size])
        assert records[: len(groups)] == groups
        assert not reader.complete
    for size in (at + 1, at + 7):  # behind END!, where nothing but a signature may be
        with pytest.raises(FormatError, match="bytes follow END!") as caught:
            read_all((2 * constant_file)[:size])
        assert caught.value.exit_code == FormatError.exit_code


@pytest.mark.parametrize("name", ["constant_file", "varied_file"])
@pytest.mark.parametrize("recover", [False, True])
@settings(max_examples=60, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_edited_files_give_records_or_a_typed_error(
    name: str, recover: bool, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    data = bytearray(request.getfixturevalue(name))
    for _ in range(chance.randint(1, 4)):
        a, b = sorted(chance.choices(range(len(data) + 1), k=2))
        match chance.randrange(4):
            case 0:
                del data[a:b]
            case 1:
                data[a:b] = chance.randbytes(min(b - a, 40))
            case 2:
                data[a:a] = data[a:b]
            case _:
                data[a:b] = reversed(data[a:b])
    try:
        reader, _ = read_all(bytes(data), recover=recover)
    except GencodecError:
        return
    assert reader.complete <= (not reader.damages)
    try:
        for entry in reader.index():
            reader.read_group(entry)
    except GencodecError:
        pass


@pytest.mark.parametrize("recover", [False, True])
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300), signed=st.booleans())
def test_random_bytes_give_a_typed_error(recover: bool, data: bytes, signed: bool) -> None:
    with pytest.raises(GencodecError):
        read_all((SIGNATURE if signed else b"") + data, recover=recover)


@settings(max_examples=100, deadline=None)
@given(head=st.binary(max_size=80), body=st.binary(max_size=60), end=st.binary(max_size=30))
def test_units_with_right_checks_and_random_fields_give_a_typed_error(
    head: bytes, body: bytes, end: bytes
) -> None:
    start = SIGNATURE + pack_unit(b"HEAD", head)
    units = pack_unit(b"iNDX", body) + pack_unit(b"END!", end)
    with pytest.raises(GencodecError):
        read_all(start + units)


@settings(max_examples=100, deadline=None)
@given(
    body=st.binary(max_size=40),
    frames=st.integers(1, 4096),
    first=st.integers(0, 1 << 61),
    number=st.integers(0, 3),
)
def test_groups_with_random_times_give_records_or_a_typed_error(
    varied_header: Header, body: bytes, frames: int, first: int, number: int
) -> None:
    group = GroupHeader(
        own_length=True, number=number, first=first, frames=frames, body_bytes=len(body), digest=0
    )
    start = SIGNATURE + pack_unit(b"HEAD", varied_header.to_bytes())
    data = start + pack_group(group, b"", body)
    try:
        _, records = read_all(data)
    except GencodecError:
        return
    assert isinstance(records[0], GroupRecord)
    assert records[0].frames == frames


def test_a_declared_size_allocates_nothing(constant_header: Header) -> None:
    head = SIGNATURE + pack_unit(b"HEAD", constant_header.to_bytes())
    claim = b"mETa" + pack_var(1 << 24)
    data = head + claim + header_check(crc(claim)) + b"little"
    tracemalloc.start()
    with pytest.raises(FormatError, match="early"):
        read_all(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_sizes_above_the_limits_are_named(constant_file: bytes) -> None:
    for limits, text in (
        (Limits(pixels_per_frame=352 * 288 - 1), "--max-pixels"),
        (Limits(pixels_per_group=352 * 288 * 5 - 1), "pixels_per_group"),
        (Limits(body_bytes=39), "body_bytes"),
        (Limits(unit_bytes=20), "unit_bytes"),
    ):
        with pytest.raises(LimitError, match=text):
            list(Reader(BytesIO(constant_file), limits=limits).groups())


def test_more_parts_or_groups_than_allowed_are_refused(constant_file: bytes) -> None:
    limits = Limits(parts=2)
    with pytest.raises(LimitError, match="more than 2 parts"):
        list(Reader(BytesIO(constant_file * 3), limits=limits).groups())
    with pytest.raises(LimitError, match="more than 2 parts"):
        Reader(BytesIO(constant_file * 3), limits=limits).index()
    with pytest.raises(LimitError, match="3 groups"):
        Reader(BytesIO(constant_file), limits=Limits(groups=3)).index()
    with pytest.raises(LimitError, match="3 groups"):
        Reader(BytesIO(constant_file), limits=Limits(groups=3)).scan()


def test_a_unit_longer_than_the_format_allows_is_refused(constant_header: Header) -> None:
    head = SIGNATURE + pack_unit(b"HEAD", constant_header.to_bytes())
    with pytest.raises(FormatError, match="END! has 257 bytes, must be at most 256"):
        read_all(head + pack_unit(b"END!", bytes(257)))


def test_false_headers_cost_linear_time(constant_header: Header) -> None:
    """Each of many headers claims all bytes that follow; believing none would be quadratic."""
    fakes, count = [], 4000
    for left in range(count, 0, -1):
        group = GroupHeader(number=1, first=0, body_bytes=30 * left, digest=0)
        fake = MARKER + pack(group)
        fakes.append((fake + header_check(crc(fake))).ljust(30, b"\0"))
    data = SIGNATURE + pack_unit(b"HEAD", constant_header.to_bytes()) + b"".join(fakes)
    limits = Limits(body_bytes=1 << 17)
    started = time.process_time()
    reader = Reader(BytesIO(data + bytes(40)), limits=limits, recover=True)
    assert list(reader.groups()) == []
    assert reader.damages
    assert time.process_time() - started < 5


def test_many_damages_are_listed_up_to_the_limit(constant_header: Header) -> None:
    data = SIGNATURE + pack_unit(b"HEAD", constant_header.to_bytes())
    data += (b"\xff" * 5 + pack_unit(b"mETa", b"")) * 50
    reader = Reader(BytesIO(data), limits=Limits(damages=10), recover=True)
    list(reader.groups())
    assert len(reader.damages) == 10
    assert reader.damages[-1].offset + reader.damages[-1].bytes <= len(data)


def test_a_reader_that_failed_yields_nothing_more(constant_file: bytes) -> None:
    damaged = bytearray(constant_file)
    damaged[150] ^= 1
    reader = Reader(BytesIO(bytes(damaged)))
    with pytest.raises(FormatError):
        list(reader.groups())
    assert list(reader.groups()) == []
    assert not reader.complete


def test_read_errors_are_source_errors(constant_file: bytes) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    class NotReady(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return None  # type: ignore[return-value]

    with pytest.raises(SourceError, match="Input/output error"):
        Reader(Broken(constant_file))
    with pytest.raises(SourceError, match="blocking mode"):
        Reader(NotReady(constant_file))


def _head(header: Header) -> bytes:
    return SIGNATURE + pack_unit(b"HEAD", header.to_bytes())


def _group(number: int = 0, first: int = 0, **more: object) -> bytes:
    header = GroupHeader(number=number, first=first, body_bytes=0, digest=0, **more)  # type: ignore[arg-type]
    return pack_group(header, b"", b"")


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (_group(1), "group 0 is missing"),
        (_group() + _group(), "group 0 comes again"),
        (_group() + _group(1, 4), "does not follow the group before"),
        (_group() + _group(1, 6), "does not follow the group before"),
        (_group(first=1), "does not follow the group before"),
        (_group() + pack_unit(b"iNDX", b"") + _group(1, 5), "GOP_ follows INDX"),
        (pack_unit(b"iNDX", b"") + pack_unit(b"mETa", b""), "mETa follows INDX"),
        (pack_unit(b"xx_x", b"")[:-4] + b"0000", "xx_x is damaged"),
        (b"x\0\0\0", "no unit starts here: found 78 00 00 00"),
        (b"xxxx\0", "no unit starts here"),
        (b"\x8bGNV\r\n\x1a\r", "a damaged signature"),
        (SIGNATURE + _group(), "GOP_ comes before HEAD"),
        (pack_unit(b"mETa", b"").replace(b"\0", b"\x80\0"), "needless zero bytes"),
        (b"mETa" + b"\xff" * 12, "longer than 9 bytes"),
    ],
)
def test_each_broken_rule_has_its_message(
    constant_header: Header, rest: bytes, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        read_all(_head(constant_header) + rest)


def test_totals_that_do_not_fit_are_refused(constant_header: Header, constant_file: bytes) -> None:
    body = constant_file[: constant_file.index(b"END!")]
    index = body.index(b"iNDX")
    right = {"groups": 4, "frames": 18, "part_bytes": len(body)}
    right |= {"index_bytes": len(body) - index}
    digest = _digest_of(constant_file)
    good = Trailer(**right, digest=digest)
    assert body + pack_unit(b"END!", pack(good)) == constant_file
    for name in right:
        bad = Trailer(**(right | {name: right[name] - 1}), digest=digest)
        with pytest.raises(FormatError, match="END! says"):
            read_all(body + pack_unit(b"END!", pack(bad)))
    with pytest.raises(FormatError, match="END! says"):
        read_all(body + pack_unit(b"END!", pack(Trailer(**right, digest=digest ^ 1))))
    with pytest.raises(FormatError, match="group 4 is missing"):
        read_all(body + pack_unit(b"END!", pack(Trailer(**(right | {"groups": 5}), digest=0))))


def _digest_of(data: bytes) -> int:
    value = 0
    for record in Reader(BytesIO(data)).groups():
        value = crc(record.digest.to_bytes(4, "little"), value)
    return value


def test_bytes_after_the_end_are_refused(constant_file: bytes) -> None:
    with pytest.raises(FormatError, match="no unit starts here"):
        read_all(constant_file + bytes(512))
    with pytest.raises(FormatError, match="GOP_ follows END!"):
        read_all(constant_file + _group(4, 18))


def test_a_header_may_be_repeated_but_not_changed(
    constant_header: Header, constant_file: bytes
) -> None:
    head = pack_unit(b"HEAD", constant_header.to_bytes())
    at = len(SIGNATURE) + len(head)
    reader, records = read_all(constant_file[:at] + head)
    assert not records
    assert len(reader.parts) == 1
    other = Header(
        width=16,
        height=16,
        time_base=Fraction(1, 25),
        frame_ticks=1,
        group_frames=5,
        packs=(Pack(sha256=bytes(32)),),
    )
    with pytest.raises(FormatError, match="HEAD differs"):
        read_all(constant_file[:at] + pack_unit(b"HEAD", other.to_bytes()))
    end = constant_file.index(b"END!")
    for place in (end, len(constant_file)):
        with pytest.raises(FormatError, match="HEAD follows the index or end"):
            read_all(constant_file[:place] + head + constant_file[place:])


def test_unknown_needed_units_are_refused_and_others_skipped(constant_header: Header) -> None:
    head = _head(constant_header)
    with pytest.raises(UnsupportedError, match="ZZZZ is needed"):
        read_all(head + pack_unit(b"ZZZZ", b"x"))
    with pytest.raises(UnsupportedError, match="ZZZZ is needed"):
        read_all(head + pack_unit(b"ZZZZ", b"x"), recover=True)
    assert read_all(head + pack_unit(b"zZZZ", b"x"))[1] == []


def test_a_writer_on_a_closed_file_refuses(constant_header: Header) -> None:
    writer = Writer(io.BytesIO(), constant_header)
    assert writer.close() == writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.repeat_header()
