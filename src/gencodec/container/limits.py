"""What a reader is willing to allocate for a file it does not trust.

The format has bounds of its own (`layout.py`); these are the reader's, usually lower.
"""

from __future__ import annotations

from dataclasses import dataclass

from gencodec.errors import LimitError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds; a file that exceeds one gives a `LimitError` before memory is taken."""

    pixels_per_frame: int = 1 << 26  # width x height; 8192 x 8192
    pixels_per_group: int = 1 << 31  # width x height x frames of one group
    body_bytes: int = 1 << 26  # coded bytes of one group
    unit_bytes: int = 1 << 24  # payload of any other unit
    groups: int = 1 << 20  # entries of an index held in memory
    parts: int = 1 << 10  # chained files in one stream
    damages: int = 1 << 12  # places listed one by one when recovering
    waiting_bytes: int = (
        1 << 26
    )  # units that wait for a header when recovering, 1 KiB each at least

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")

    def check_frame(self, width: int, height: int) -> None:
        """Refuse a picture of more than `pixels_per_frame`.

        Raises:
            LimitError: the picture is too large.
        """
        if width * height > self.pixels_per_frame:
            raise LimitError(
                f"{width}x{height} is {width * height} pixels, the limit is "
                f"{self.pixels_per_frame}; pass --max-pixels to raise it"
            )

    def check_group(self, width: int, height: int, frames: int) -> None:
        """Refuse a group of more than `pixels_per_group`.

        Raises:
            LimitError: the group is too large.
        """
        if width * height * frames > self.pixels_per_group:
            raise LimitError(
                f"a group of {frames} frames of {width}x{height} is {width * height * frames} "
                f"pixels, the limit is {self.pixels_per_group} (Limits.pixels_per_group)"
            )
