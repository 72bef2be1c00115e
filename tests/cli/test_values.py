from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.cli.values import (
    parse_bitrate,
    parse_bits_per_pixel,
    parse_pixels,
    parse_seconds,
    parse_size,
    parse_sound,
)

PARSERS = (parse_bitrate, parse_bits_per_pixel, parse_pixels, parse_seconds, parse_size)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_bitrate, "800", 800.0),
        (parse_bitrate, "50k", 50_000.0),
        (parse_bitrate, "50K", 50_000.0),
        (parse_bitrate, "1.5M", 1_500_000.0),
        (parse_bitrate, "1.5Mbit/s", 1_500_000.0),
        (parse_bitrate, "20kbps", 20_000.0),
        (parse_bitrate, "64Ki", 65_536.0),
        (parse_bitrate, "64kibit/s", 65_536.0),
        (parse_bitrate, ".5k", 500.0),
        (parse_size, "150000", 150_000),
        (parse_size, "100kB", 100_000),
        (parse_size, "100 kB", 100_000),
        (parse_size, "2MiB", 2_097_152),
        (parse_size, "1.5k", 1500),
        (parse_size, "7B", 7),
        (parse_pixels, "1920x1080", 2_073_600),
        (parse_pixels, "8M", 8_000_000),
        (parse_seconds, "62.5", Fraction(125, 2)),
        (parse_seconds, "62.5s", Fraction(125, 2)),
        (parse_seconds, ".25", Fraction(1, 4)),
        (parse_seconds, "1:02.5", Fraction(125, 2)),
        (parse_seconds, "90:00", Fraction(5400)),
        (parse_seconds, "1:00:00.25", Fraction(14_401, 4)),
        (parse_seconds, "1001/30000", Fraction(1001, 30_000)),
        (parse_seconds, "0", Fraction(0)),
        (parse_bits_per_pixel, "0.01", 0.01),
        (parse_bits_per_pixel, "1e-3", 0.001),
        (parse_sound, "copy", ("copy", None)),
        (parse_sound, "opus:24", ("opus", 24)),
    ],
)
def test_values_mean_what_people_write(
    parse: Callable[[str], object], text: str, value: object
) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (parse_bitrate, "50kB", "bits per second"),
        (parse_bitrate, "50m", "bits per second"),
        (parse_bitrate, "0", "too small"),
        (parse_bitrate, "-5k", "not understood"),
        (parse_bitrate, "1e5", "not understood"),
        (parse_size, "100kbit", "counts bytes"),
        (parse_size, "100kb", "counts bytes"),
        (parse_size, "0.5", "too small"),
        (parse_sound, "mp3", "not understood"),
        (parse_sound, "copy:5", "not understood"),
        (parse_sound, "opus:5", "6 to 510"),
        (parse_size, "", "not understood"),
        (parse_pixels, "8MB", "no unit"),
        (parse_pixels, "0x10", "too small"),
        (parse_seconds, "1:75", "no time"),
        (parse_seconds, "1:60:00", "no time"),
        (parse_seconds, "1/0", "no time"),
        (parse_seconds, "-1", "no time"),
        (parse_seconds, "1e9", "no time"),
        (parse_bits_per_pixel, "nan", "above 0"),
        (parse_bits_per_pixel, "inf", "above 0"),
        (parse_bits_per_pixel, "0", "above 0"),
        (parse_bits_per_pixel, "1%", "above 0"),
    ],
)
def test_other_values_are_refused_with_the_reason(
    parse: Callable[[str], object], text: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        parse(text)


@given(
    text=st.text(alphabet="0123456789.:/xkMGiBbits -", max_size=40), parser=st.sampled_from(PARSERS)
)
def test_any_text_is_a_value_or_refused(text: str, parser: Callable[[str], object]) -> None:
    try:
        value = parser(text)
    except ValueError:
        return
    assert isinstance(value, (int, float, Fraction))
    assert value >= 0
