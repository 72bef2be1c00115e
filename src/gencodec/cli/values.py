"""Numbers as people write them on a command line: 50k, 1.5Mbit/s, 2MiB, 1:02.5, 1920x1080.

Everything is exact: text becomes a `Fraction`, and only a rate ends as a float. A unit that counts
something else (bytes for a rate, bits for a size) is refused, not guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction

import click

_PREFIXES = {
    "": 1,
    "k": 1000,
    "K": 1000,
    "M": 1000**2,
    "G": 1000**3,
    "ki": 1024,
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}) ?([kKMG]i?|)([A-Za-z/]*)")
_CLOCK = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2}(?:\.[0-9]{0,15})?)")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{0,15}|/[0-9]{1,12})?|\.[0-9]{1,15}")
_FRAME = re.compile(r"([0-9]{1,9})x([0-9]{1,9})")
_BIT_UNITS = {"", "bit", "bit/s", "bits/s", "b/s", "bps"}
_BYTE_UNITS = {"", "B"}


def parse_bitrate(text: str) -> float:
    """Return bits per second: 50k, 1.5M, 800kbit/s, 64Ki.

    Raises:
        ValueError: the text is no positive rate.
    """
    amount, unit = _split(text, "50k or 1.5Mbit/s")
    if unit not in _BIT_UNITS:
        raise ValueError(f"{text!r}: a bit rate counts bits per second, as in 50k or 1.5Mbit/s")
    return float(_positive(amount, text))


def parse_size(text: str) -> int:
    """Return whole bytes: 150000, 100kB (100 000), 2MiB (2 097 152).

    Raises:
        ValueError: the text is no size of at least one byte.
    """
    amount, unit = _split(text, "100kB or 2MiB")
    if unit not in _BYTE_UNITS:
        raise ValueError(f"{text!r}: a size counts bytes, as in 100kB or 2MiB")
    return math.floor(_positive(amount, text, least=1))


def parse_pixels(text: str) -> int:
    """Return a number of pixels: 1920x1080, 8M, 2073600.

    Raises:
        ValueError: the text is no number of pixels of at least one.
    """
    if found := _FRAME.fullmatch(text):
        amount, unit = Fraction(int(found[1]) * int(found[2])), ""
    else:
        amount, unit = _split(text, "1920x1080 or 8M")
    if unit:
        raise ValueError(f"{text!r}: pixels have no unit, write 1920x1080 or 8M")
    return math.floor(_positive(amount, text, least=1))


def parse_seconds(text: str) -> Fraction:
    """Return exact seconds, at least 0: 62.5, 62.5s, 1:02.5, 1:00:00, 1001/30000.

    Raises:
        ValueError: the text is no time.
    """
    if found := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(found[1] or 0), int(found[2]), Fraction(found[3])
        if seconds < 60 and (minutes < 60 or found[1] is None):
            return 3600 * hours + 60 * minutes + seconds
    elif _SECONDS.fullmatch(text.removesuffix("s")):
        numerator, _, denominator = text.removesuffix("s").partition("/")
        if int(denominator or 1):
            return Fraction(numerator) / int(denominator or 1)
    raise ValueError(f"{text!r} is no time; write seconds as 62.5 or a clock as 1:02.5")


def parse_bits_per_pixel(text: str) -> float:
    """Return bits per pixel, finite and above 0.

    Raises:
        ValueError: the text is no such number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{text!r} is no number of bits per pixel above 0, such as 0.01")
    return value


def parse_sound(text: str) -> tuple[str, int | None]:
    """Return what becomes of the sound and kilobits a second: auto, copy, none, opus, opus:24.

    Raises:
        ValueError: the text is none of these.
    """
    mode, separator, rate = text.partition(":")
    if mode not in ("auto", "copy", "opus", "none") or (separator and mode != "opus"):
        raise ValueError(f"{text!r} is not understood; write copy, opus, opus:24, none or auto")
    if not separator:
        return mode, None
    kilobits = float(_split(rate.removesuffix("k"), "opus:24")[0])
    if not 6 <= kilobits <= 510:
        raise ValueError(f"{text!r}: Opus has 6 to 510 kbit/s")
    return mode, round(kilobits)


def _split(text: str, example: str) -> tuple[Fraction, str]:
    """Return the amount with its prefix applied, and what is left as the unit."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not understood; write it as {example}")
    return Fraction(found[1]) * _PREFIXES[found[2]], found[3]


def _positive(amount: Fraction, text: str, *, least: int = 0) -> Fraction:
    if amount <= 0 or amount < least:
        raise ValueError(f"{text!r} is too small")
    return amount


class Value(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.5
    """An option type that says in its own words why a text is refused.

    Args:
        name: what the help page calls the value.
        parse: text to value; raises ValueError.
    """

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Return the parsed value; a value that is no text is one already."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


BITRATE = Value("rate", parse_bitrate)
BITS_PER_PIXEL = Value("bits", parse_bits_per_pixel)
PIXELS = Value("pixels", parse_pixels)
SECONDS = Value("time", parse_seconds)
SIZE = Value("size", parse_size)
SOUND = Value("sound", parse_sound)
