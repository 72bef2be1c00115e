"""Numbers as people read them."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol


class Picture(Protocol):
    """What the results of encoding and decoding have in common."""

    @property
    def frames(self) -> int:
        """Number of frames."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def seconds(self) -> Fraction:
        """Duration."""


def name(path: str) -> str:
    """Return how an output is called."""
    return "stdout" if path == "-" else path


def picture(result: Picture) -> str:
    """Return frames, size and duration: 300 frames, 640x360, 0:10.01."""
    size = f"{result.width}x{result.height}"
    return f"{count(result.frames, 'frame')}, {size}, {duration(result.seconds)}"


def count(number: int, noun: str) -> str:
    """Return a number of things: 1 frame, 2 frames."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(size_bytes: int) -> str:
    """Return bytes: 812 B, 38.2 kB, 1.50 MB, 28.5 GB."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 999_950:
        return f"{size_bytes / 1000:.1f} kB"
    if size_bytes < 10 * 1000**3:
        return f"{size_bytes / 1000**2:.2f} MB"
    return f"{size_bytes / 1000**3:.1f} GB"


def duration(seconds: Fraction | float) -> str:
    """Return a clock: 0:10.01, 1:02:03.50."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{clock}:{rest // 100:02}.{rest % 100:02}"


def speed(frames: int, seconds: float) -> str:
    """Return how long frames took: 32.1 s (9.35 frames/s)."""
    rate = f" ({frames / seconds:.3g} frames/s)" if seconds > 0 else ""
    return f"{seconds:.1f} s{rate}"
