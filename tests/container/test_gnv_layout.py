"""The language of records, versions in both directions, and the first bytes of other files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.container import GnvcVdBlock, Header, Reader, Version
from gencodec.container.cursor import (
    VAR_MAX,
    BytesCursor,
    pack_svar,
    pack_var,
    parse_svar,
    parse_var,
)
from gencodec.container.fields import pack, parse, wire
from gencodec.container.framing import pack_unit
from gencodec.container.layout import MAJOR, MINOR, SIGNATURE, IndexItem, PacketHead, TrackHead
from gencodec.errors import FormatError, UnsupportedError


@given(value=st.integers(0, VAR_MAX))
def test_a_var_comes_back_and_has_one_form(value: int) -> None:
    data = pack_var(value)
    assert parse_var(BytesCursor(data)) == value
    assert len(data) == max(1, -(-value.bit_length() // 7))


@given(value=st.integers(-(1 << 62), (1 << 62) - 1))
def test_an_svar_comes_back_and_small_ones_are_short(value: int) -> None:
    data = pack_svar(value)
    assert parse_svar(BytesCursor(data)) == value
    assert (len(data) == 1) == (-64 <= value < 64)


@pytest.mark.parametrize("value", [-1, VAR_MAX + 1])
def test_a_var_out_of_range_is_misuse(value: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        pack_var(value)


@pytest.mark.parametrize(
    "data", [b"\x80\x00", b"\xff\x80\x00", b"\xff" * 9 + b"\x01", b"\xff", b""]
)
def test_other_forms_of_a_var_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_var(BytesCursor(data, offset=7))


def test_bits_fill_from_the_lowest_and_ranges_shift() -> None:
    block = GnvcVdBlock(quality=1, anchor_offset=-1, steps=1, start_level=1)
    assert pack(block) == (1 | 1 << 6 | 1 << 10 | 1 << 14).to_bytes(3, "little")
    assert parse(GnvcVdBlock, BytesCursor(pack(block))) == block


def test_bits_before_a_rest_share_its_var() -> None:
    item = IndexItem(cut=True, own_length=True, span=1000, frames=7)
    assert pack(item) == pack_var(1000 << 3 | 0b101) + b"\x07"
    assert pack(item, variable=True) == pack(item) + b"\0"


@given(
    track=st.builds(
        TrackHead,
        track=st.integers(1, 255),
        kind=st.integers(1, 2),
        time_base=st.just(Fraction(1, 48_000)),
        codec=st.sampled_from(("opus", "aac", "mov_text")),
        language=st.sampled_from(("", "de", "pt-BR", "日本")),
        sample_rate=st.integers(0, 2**32 - 1),
        channels=st.integers(0, 255),
        delay=st.integers(0, 2**32 - 1),
    ),
    packet=st.builds(
        PacketHead,
        track=st.integers(1, 255),
        key=st.booleans(),
        more=st.integers(0, 127),
        tick=st.integers(-(2**40), 2**40),
        duration=st.integers(0, 2**32 - 1),
    ),
)
def test_records_of_later_units_come_back(track: TrackHead, packet: PacketHead) -> None:
    assert parse(TrackHead, BytesCursor(pack(track))) == track
    assert parse(PacketHead, BytesCursor(pack(packet))) == packet


def test_text_is_bounded_and_utf8() -> None:
    track = TrackHead(track=1, kind=1, time_base=Fraction(1, 8000), codec="opus")
    data = pack(track)
    at = data.index(b"opus")
    with pytest.raises(FormatError, match="codec is not UTF-8"):
        parse(TrackHead, BytesCursor(data[:at] + b"\xff" * 4 + data[at + 4 :]))
    with pytest.raises(FormatError, match="codec has 33 bytes"):
        parse(TrackHead, BytesCursor(data[: at - 1] + bytes([33]) + data[at:]))
    with pytest.raises(ValueError, match=r"codec has 0 bytes, must be 1 \.\. 32"):
        replace(track, codec="")


def test_bits_that_do_not_fill_a_byte_are_a_mistake_in_the_layout() -> None:
    @dataclass(frozen=True)
    class Loose:
        a: int = wire("b3", 0, 7, "", "")
        b: int = wire("u8", 0, 255, "", "")

    with pytest.raises(TypeError, match="Loose do not fill"):
        pack(Loose(a=1, b=2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, r"width is 0, must be 1 \.\. 65535"),
        ({"rotation": 45}, r"rotation is 45, must be 0 \.\. 270 step 90"),
        ({"packs": ()}, "packs has 0 elements, must be 1 to 4"),
        ({"time_base": Fraction(0)}, "time_base is 0, its terms must be"),
        ({"nominal_rate": Fraction(25)}, "a constant rate follows from"),
        ({"constant_rate": False}, "nominal_rate is 0"),
        ({"sample_aspect": Fraction(-1, 2)}, "sample_aspect is -1/2"),
    ],
)
def test_a_header_says_what_is_wrong_with_it(
    constant_header: Header, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(constant_header, **change)  # type: ignore[arg-type]


# -- versions ----------------------------------------------------------------------------------


def file_of(header: Header, *, appended: bytes = b"") -> BytesIO:
    return BytesIO(SIGNATURE + pack_unit(b"HEAD", header.to_bytes() + appended))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"major": MAJOR + 1}, r"format version 2\.0 needs .* upgrade gencodec"),
        ({"major": 0}, r"format version 0\.0"),
        (
            {"minor": 3, "needs": MINOR + 1},
            rf"format version 1\.3 needs a reader of 1\.{MINOR + 1}",
        ),
        ({"incompatible": 0x10}, "features 0x10"),
        ({"reserved": 1}, "reserved bits 0x1"),
    ],
)
def test_files_that_need_a_newer_reader_are_refused(
    constant_header: Header, change: dict[str, int], message: str
) -> None:
    newer = replace(constant_header, version=Version(**change))
    for recover in (False, True):
        with pytest.raises(UnsupportedError, match=message):
            Reader(file_of(newer, appended=b"new fields"), recover=recover)


def test_a_newer_minor_version_that_needs_nothing_new_is_read(constant_header: Header) -> None:
    newer = replace(constant_header, version=Version(minor=MINOR + 1, compatible=0x7F))
    no_prompt = b"\0"  # which is left out only where nothing follows
    assert Reader(file_of(newer, appended=no_prompt + b"new fields")).header == newer


def test_this_version_has_no_appended_fields(constant_header: Header) -> None:
    with pytest.raises(FormatError, match="10 needless bytes in HEAD"):
        Reader(file_of(constant_header, appended=b"\0new fields"))


def test_a_header_may_hold_a_prompt(constant_header: Header) -> None:
    for prompt in ("", "a cat in the snow", "é" * 500):
        header = replace(constant_header, prompt=prompt)
        assert Reader(file_of(header)).header == header
    with pytest.raises(ValueError, match=r"prompt has 1001 bytes, must be 0 \.\. 1000"):
        replace(constant_header, prompt="a" * 1001)
    with pytest.raises(FormatError, match="prompt has 1001 bytes, at most 1000"):
        Reader(file_of(constant_header, appended=b"\xe9\x07" + b"a" * 1001))


def test_a_longer_coder_block_needs_a_newer_reader() -> None:
    block = GnvcVdBlock(quality=1, flags=1).to_bytes()
    with pytest.raises(UnsupportedError, match="1 bytes this version does not know"):
        GnvcVdBlock.from_bytes(block + b"\0")
    with pytest.raises(FormatError, match="start_level is 1023"):
        GnvcVdBlock.from_bytes(b"\xff" * 3)
    with pytest.raises(FormatError, match="early"):
        GnvcVdBlock.from_bytes(block[:2])


# -- not a .gnv file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"", "the file is empty"),
        (SIGNATURE[:5], "cut after 5 bytes"),
        (SIGNATURE.replace(b"\r\n", b"\n") + b"HEAD", "CR LF was turned into LF"),
        (SIGNATURE.replace(b"\r\n", b"\r") + b"HEAD", "CR LF was turned into CR"),
        (SIGNATURE[:-1] + b"\r\nHEAD", "LF was turned into CR LF"),
        (SIGNATURE.replace(b"\n", b"\r\n") + b"HEAD", "LF was turned into CR LF"),
        (bytes(b & 0x7F for b in SIGNATURE), "bit 7 of every byte was dropped"),
        (SIGNATURE.decode("latin-1").encode(), "Latin-1 to UTF-8"),
        (SIGNATURE.decode("utf-8", "replace").encode(), "lossy UTF-8"),
        (b"\x8bGNV\r\n\n", "end-of-text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8), "a PNG picture"),
        (b"\x00\x00\x00\x20ftypisom", "an MP4 or MOV video"),
        (b"\x1a\x45\xdf\xa3" + bytes(12), "a Matroska or WebM video"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "an AVI video"),
        (b"YUV4MPEG2 W2 H2", "a y4m video"),
        (b"<!DOCTYPE html>", "an HTML or XML page"),
        (bytes(100), "a file of zeros"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"hello world, this is text", "it starts with 68 65 6c 6c 6f 20 77 6f"),
    ],
)
def test_the_first_bytes_of_other_files_are_explained(start: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Reader(BytesIO(start))
