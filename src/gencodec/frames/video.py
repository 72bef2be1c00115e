"""The values that travel: what a video is, one frame, one group of frames.

This module knows shapes, units and ranges; it knows no file and no codec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

UNKNOWN = 2
"""The CICP code for "not told" of primaries, transfer and matrix."""

IDENTITY_MATRIX = 0
"""The CICP matrix code of pictures that are stored as RGB."""

UNKNOWN_RANGE, LIMITED_RANGE, FULL_RANGE = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """How the source's samples mean colours; unknown stays unknown.

    Source: ITU-T H.273, tables 2 to 4 (primaries, transfer, matrix).
    """

    primaries: int = UNKNOWN  # H.273 table 2, 0..255
    transfer: int = UNKNOWN  # H.273 table 3, 0..255
    matrix: int = UNKNOWN  # H.273 table 4, 0..255; 0: the source is RGB
    range: int = UNKNOWN_RANGE  # 0 unknown, 1 limited (16..235 of 8 bits), 2 full

    def __post_init__(self) -> None:
        for name in ("primaries", "transfer", "matrix"):
            if not 0 <= getattr(self, name) <= 255:
                raise ValueError(f"{name} is {getattr(self, name)}, must be 0 to 255")
        if self.range not in (UNKNOWN_RANGE, LIMITED_RANGE, FULL_RANGE):
            raise ValueError(f"range is {self.range}, must be 0, 1 or 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """Geometry, time and colour of a video; pixels are in stored orientation."""

    width: int  # pixels as stored, before rotation
    height: int  # pixels as stored, before rotation
    time_base: Fraction  # seconds a tick, > 0
    frame_rate: Fraction  # frames per second, > 0; an average when the rate varies
    frame_count: int | None = None  # what the container claims; None: not told, a hint only
    rotation: int = 0  # degrees clockwise that bring a stored picture upright
    sample_aspect: Fraction = Fraction(0)  # width of a pixel over its height; 0 unknown
    bit_depth: int = 8  # bits a sample of the source
    colour: Colour = field(default_factory=Colour)
    field_order: int = 0  # of the source: 0 unknown, 1 progressive, 2 tt, 3 bb, 4 tb, 5 bt
    chroma_location: int = 0  # of the source: 0 unknown, 1 left, 2 centre, 3 top left

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"size is {self.width}x{self.height}, must be at least 1x1")
        if self.time_base <= 0 or self.frame_rate <= 0:
            raise ValueError(
                f"time base {self.time_base} and frame rate {self.frame_rate} must be above 0"
            )
        if self.rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation is {self.rotation}, must be 0, 90, 180 or 270")
        if self.sample_aspect < 0:
            raise ValueError(f"sample aspect is {self.sample_aspect}, must be 0 or more")

    @property
    def frame_ticks(self) -> int:
        """Ticks that one frame lasts at the nominal rate, at least 1."""
        return max(1, round(1 / (self.frame_rate * self.time_base)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture and when it is shown."""

    rgb: Pixels  # [H, W, 3], full range, stored orientation
    ticks: int  # presentation time in units of the time base; may be negative
    duration: int = 0  # ticks; 0: not told, until the next frame or one nominal frame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameGroup:
    """Consecutive frames that are coded together, in presentation order."""

    index: int  # 0 for the first group of the video
    rgb: Pixels  # [T, H, W, 3], T >= 1
    ticks: tuple[int, ...]  # T strictly increasing presentation times
    duration: int  # ticks that the group's last frame lasts; 0: not told
    cut: bool  # the group starts at a scene cut
    last: bool  # no frame follows
