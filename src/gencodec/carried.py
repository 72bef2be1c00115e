"""What a file carries beside the video: sound, subtitles, tags, chapters. Values, no files.

All times are those of the source's own clock, the one that the video's frames are timed by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

AUDIO, SUBTITLE = 1, 2
"""Kinds of tracks."""

KINDS: Mapping[int, Literal["audio", "subtitle"]] = {AUDIO: "audio", SUBTITLE: "subtitle"}

DISPOSITIONS = {
    "default": 0x1,
    "dub": 0x2,
    "original": 0x4,
    "comment": 0x8,
    "forced": 0x40,
    "hearing_impaired": 0x80,
    "visual_impaired": 0x100,
    "captions": 0x10000,
}
"""What a track is for, as bits of a mask. Source: libavformat/avformat.h, `AV_DISPOSITION_*`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One stream of coded sound or subtitles."""

    number: int  # 1 .. 255; packets name it
    kind: int  # `AUDIO` or `SUBTITLE`
    codec: str  # FFmpeg's name, such as "opus"
    time_base: Fraction  # seconds a tick
    language: str = ""  # as the source writes it; empty: unknown
    title: str = ""
    disposition: int = 0  # mask of `DISPOSITIONS`
    sample_rate: int = 0  # 1/s; 0 for subtitles
    channels: int = 0  # 0 for subtitles
    delay: int = 0  # samples that the decoder drops at the start
    setup: bytes = b""  # the codec's own parameters

    @property
    def name(self) -> str:
        """What people call it: "audio opus (deu)"."""
        language = f" ({self.language})" if self.language else ""
        return f"{KINDS.get(self.kind, 'track')} {self.codec}{language}"

    @property
    def dispositions(self) -> tuple[str, ...]:
        """Names of what the track is for."""
        return tuple(name for name, bit in DISPOSITIONS.items() if self.disposition & bit)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPacket:
    """A piece of a track that is decoded at once."""

    track: int
    tick: int  # when it is heard or shown
    duration: int  # ticks; 0 unknown
    data: bytes
    key: bool = True  # decoding can start here


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A named stretch of the video."""

    start: Fraction  # seconds
    end: Fraction  # seconds
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mastering:
    """The display a picture was graded on. Source: SMPTE ST 2086."""

    red: tuple[int, int]  # chromaticity x, y in 1/50000
    green: tuple[int, int]
    blue: tuple[int, int]
    white: tuple[int, int]
    luminance: tuple[int, int]  # lowest, highest in 1/10000 cd/m²


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """How bright the content is, in cd/m². Source: CTA-861.3."""

    maximum: int  # of any pixel
    average: int  # of the brightest frame


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Everything known of a video that is neither picture nor sound."""

    tags: Mapping[str, str] = field(default_factory=dict)  # title, creation_time, location ...
    chapters: tuple[Chapter, ...] = ()
    mastering: Mastering | None = None
    light: Light | None = None

    def __bool__(self) -> bool:
        return bool(self.tags or self.chapters or self.mastering or self.light)
