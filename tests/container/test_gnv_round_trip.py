"""What is written is what is read, for any values and in any number of reads."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO, RawIOBase
from itertools import accumulate
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from gencodec.errors import OutputError

BYTE = st.integers(0, 255)
TERM = st.integers(1, 2**32 - 1)
RATIO = st.builds(Fraction, TERM, TERM)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    constant = draw(st.booleans())
    return Header(
        rotation=draw(st.sampled_from((0, 90, 180, 270))),
        colour_range=draw(st.integers(0, 2)),
        field_order=draw(st.integers(0, 5)),
        constant_rate=constant,
        bit_depth=draw(st.integers(1, 32)),
        chroma_location=draw(st.integers(0, 6)),
        width=draw(st.integers(1, 4096)),
        height=draw(st.integers(1, 4096)),
        sample_aspect=draw(st.fractions(0, 100, max_denominator=655)),
        time_base=draw(RATIO),
        frame_ticks=draw(st.integers(1, 2**32 - 1)),
        nominal_rate=Fraction(0) if constant else draw(RATIO),
        start_tick=draw(st.integers(-(2**40), 2**40)),
        group_frames=draw(st.integers(1, 4096)),
        primaries=draw(BYTE),
        transfer=draw(BYTE),
        matrix=draw(BYTE),
        noise_seed=draw(st.integers(0, 2**32 - 1)),
        coder=draw(st.integers(1, 255)),
        refine_tile=draw(BYTE),
        refine_overlap=draw(BYTE),
        refine_window=draw(BYTE),
        vae_tile=draw(BYTE),
        vae_overlap=draw(BYTE),
        packs=tuple(
            Pack(role=draw(BYTE), sha256=draw(st.binary(min_size=32, max_size=32)))
            for _ in range(draw(st.integers(1, 4)))
        ),
    )


@st.composite
def videos(draw: st.DrawFn) -> tuple[Header, list[GroupRecord]]:
    header = draw(headers())
    records = []
    start = header.start_tick
    for number in range(draw(st.integers(0, 5))):
        count = draw(st.integers(1, 12))
        if header.constant_rate:
            durations = [header.frame_ticks] * count
        else:
            start += draw(st.integers(0, 1000))
            durations = draw(st.lists(st.integers(1, 2**33), min_size=count, max_size=count))
        ticks = tuple(accumulate(durations, initial=start))
        start = ticks[-1]
        records.append(
            GroupRecord(
                number=number,
                ticks=ticks[:-1],
                cut=draw(st.booleans()),
                dependencies=tuple(
                    draw(st.lists(st.integers(1, number), max_size=3)) if number else ()
                ),
                coder=draw(st.sampled_from((header.coder, 1, 2, 255))),
                coder_block=draw(st.binary(max_size=20)),
                payload=draw(st.binary(max_size=50)),
                digest=draw(st.integers(0, 2**32 - 1)),
            )
        )
    return header, records


@settings(max_examples=60, deadline=None)
@given(video=videos(), index=st.booleans())
def test_any_video_comes_back_with_every_field(
    video: tuple[Header, list[GroupRecord]], index: bool
) -> None:
    header, records = video
    stream = BytesIO()
    writer = Writer(stream, header)
    sizes = [writer.write_group(record) for record in records]
    totals = writer.close(index=index)
    reader = Reader(BytesIO(stream.getvalue()))
    found = list(reader.groups())

    assert reader.header == header
    assert found == records
    assert reader.complete
    assert [record.container_bytes + len(record.payload) for record in found] == sizes
    assert totals.bytes == len(stream.getvalue()) == totals.container_bytes + totals.payload_bytes
    assert (totals.groups, totals.frames) == (len(records), sum(r.frames for r in records))
    entries = reader.index()
    assert entries == reader.scan()
    assert [reader.read_group(entry) for entry in entries] == records


class OneByte(RawIOBase):
    """A pipe that gives a byte a read."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 1))


def test_reading_does_not_depend_on_how_the_stream_is_split(varied_file: bytes) -> None:
    whole = Reader(BytesIO(varied_file))
    pieces = Reader(cast(BytesIO, OneByte(varied_file)))

    assert list(pieces.records()) == list(whole.records())
    assert pieces.complete
    assert pieces.header == whole.header


def test_a_stream_that_writes_a_few_bytes_at_a_time_gets_all(
    constant_header: Header, constant_groups: list[GroupRecord], constant_file: bytes
) -> None:
    class Slow(BytesIO):
        def write(self, data: bytes, /) -> int:  # type: ignore[override]
            return super().write(data[:3])

    stream = Slow()
    with Writer(stream, constant_header) as writer:
        for record in constant_groups:
            writer.write_group(record)
    assert stream.getvalue() == constant_file


def test_known_ancillary_units_are_yielded_and_unknown_ones_skipped(
    varied_file: bytes, varied_groups: list[GroupRecord]
) -> None:
    records = list(Reader(BytesIO(varied_file)).records())
    assert records == [Unit(type=META, payload=b"\xa1\x65title\x63cat"), *varied_groups]


def test_the_writer_needs_no_seek_and_leaves_the_stream_open(constant_header: Header) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise AssertionError

        tell = seek

    stream = Pipe()
    Writer(stream, constant_header).close()
    assert not stream.closed
    assert Reader(Pipe(stream.getvalue())).header == constant_header


def test_an_exception_leaves_the_file_cut(
    constant_header: Header, constant_groups: list[GroupRecord]
) -> None:
    stream = BytesIO()

    def fail() -> None:
        with Writer(stream, constant_header) as writer:
            writer.write_group(constant_groups[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    reader = Reader(BytesIO(stream.getvalue()))
    assert list(reader.groups()) == constant_groups[:1]
    assert not reader.complete


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": 1}, "cannot follow 0 groups"),
        ({"ticks": ()}, "has 0 frames"),
        ({"ticks": (1, 2, 3)}, "does not follow the constant rate"),
        ({"ticks": (0, 1, 3)}, "does not follow the constant rate"),
        ({"dependencies": (1,)}, "before the first one"),
        ({"digest": 2**32}, r"digest is 4294967296, must be 0 .. 2\^32 - 1"),
        ({"coder_block": bytes(256)}, "block_bytes is 256"),
        ({"coder": 0}, "coder is 0, must be 1 .. 255"),
    ],
)
def test_the_writer_refuses_what_the_format_cannot_say(
    constant_header: Header,
    constant_groups: list[GroupRecord],
    change: dict[str, object],
    message: str,
) -> None:
    values = {name: getattr(constant_groups[0], name) for name in GroupRecord.__slots__}
    record = GroupRecord(**(values | change))
    stream = BytesIO()
    writer = Writer(stream, constant_header)
    before = stream.getvalue()
    with pytest.raises(ValueError, match=message):
        writer.write_group(record)
    assert stream.getvalue() == before


@pytest.mark.parametrize("code", [b"HEAD", b"END!", b"iNDX", b"XXXX", b"abc", b"me\xffa", b"meta"])
def test_the_writer_refuses_units_that_are_not_the_callers(
    constant_header: Header, code: bytes
) -> None:
    writer = Writer(BytesIO(), constant_header)
    with pytest.raises(ValueError, match="not the type of an ancillary unit"):
        writer.write_unit(code, b"")


def test_a_full_disk_is_an_output_error_and_a_closed_pipe_is_itself(
    constant_header: Header,
) -> None:
    class Full(BytesIO):
        def write(self, data: bytes, /) -> int:  # type: ignore[override]
            raise OSError(28, "No space left on device")

    class Closed(BytesIO):
        def write(self, data: bytes, /) -> int:  # type: ignore[override]
            raise BrokenPipeError

    with pytest.raises(OutputError, match="No space left"):
        Writer(Full(), constant_header)
    with pytest.raises(BrokenPipeError):
        Writer(Closed(), constant_header)


@given(
    quality=st.integers(0, 63),
    anchor=st.integers(-2, 13),
    steps=st.integers(0, 15),
    level=st.integers(1, 1000),
    flags=st.integers(0, 3),
    place=st.integers(0, 63),
)
def test_the_coder_block_of_gnvc_vd_takes_three_bytes_and_one_for_flags_and_place(
    quality: int, anchor: int, steps: int, level: int, flags: int, place: int
) -> None:
    block = GnvcVdBlock(
        quality=quality,
        anchor_offset=anchor,
        steps=steps,
        start_level=level,
        flags=flags,
        anchor_place=place,
    )
    assert len(block.to_bytes()) == (4 if flags or place else 3)
    assert GnvcVdBlock.from_bytes(block.to_bytes()) == block


def test_times_and_rates_are_exact() -> None:
    header = Header(
        width=2,
        height=2,
        time_base=Fraction(1, 90_000),
        frame_ticks=3003,
        group_frames=33,
        packs=(Pack(sha256=bytes(32)),),
    )
    assert header.frame_rate == Fraction(30_000, 1001)


def test_the_last_frame_keeps_its_duration(varied_file: bytes, constant_file: bytes) -> None:
    reader = Reader(BytesIO(varied_file))
    assert reader.last_duration == 3003
    list(reader.groups())
    assert reader.last_duration == 1501
    reader = Reader(BytesIO(varied_file))
    reader.index()
    assert reader.last_duration == 1501
    reader = Reader(BytesIO(constant_file))
    list(reader.groups())
    assert reader.last_duration == reader.header.frame_ticks


def test_limits_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="groups is 0"):
        Limits(groups=0)
