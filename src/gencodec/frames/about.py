"""Tags, chapters and what is known of the light in a picture: from a container, and into one."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, cast

from av import VideoFrame
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import SideData, Type
from av.video.stream import VideoStream

from gencodec.carried import About, Chapter, Light, Mastering

# What a container says about itself rather than about the video.
_OWN_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "encoded_by"}
)
LANGUAGE = "language"  # of the video; a tag of its stream, not of a container
_UNDETERMINED = "und"
_LONGEST_TAG = 4096  # bytes
_MOST_TAGS, _MOST_CHAPTERS = 64, 1024
_CHROMATICITY, _LUMINANCE = 50_000, 10_000  # units of SMPTE ST 2086 in one
_MICROSECOND = Fraction(1, 1_000_000)


def read_about(container: InputContainer, stream: VideoStream, first: VideoFrame) -> About:
    """Return what a container, its video stream and the first frame of that tell."""
    tags = {
        name.lower(): text
        for name, text in container.metadata.items()
        if name.lower() not in _OWN_TAGS and text and len(text.encode()) <= _LONGEST_TAG
    }
    for name in [name for name in tags if name.partition("-")[0] in tags and "-" in name]:
        del tags[name]  # such as location-eng, which says the same as location
    if (language := stream.metadata.get(LANGUAGE, _UNDETERMINED)) != _UNDETERMINED:
        tags = {LANGUAGE: language, **tags}
    return About(
        tags=dict(list(tags.items())[:_MOST_TAGS]),
        chapters=tuple(_chapter(each) for each in container.chapters()[:_MOST_CHAPTERS]),
        mastering=_mastering(first),
        light=_light(first),
    )


def _chapter(told: Mapping[str, Any]) -> Chapter:
    base = told["time_base"] or Fraction(1)
    title = str(told["metadata"].get("title", ""))
    return Chapter(start=told["start"] * base, end=told["end"] * base, title=title)


def _mastering(frame: VideoFrame) -> Mastering | None:
    """Source: libavutil/mastering_display_metadata.h, `AVMasteringDisplayMetadata`."""
    data = _side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    if not (numbers[20] and numbers[21]) or not all(numbers[1:20:2]):
        return None
    parts = [Fraction(numbers[at], numbers[at + 1]) for at in range(0, 20, 2)]
    n = [round(part * (_CHROMATICITY if at < 8 else _LUMINANCE)) for at, part in enumerate(parts)]
    if not all(0 <= number < 1 << 32 for number in n):
        return None
    return Mastering(
        red=(n[0], n[1]),
        green=(n[2], n[3]),
        blue=(n[4], n[5]),
        white=(n[6], n[7]),
        luminance=(n[8], n[9]),
    )


def _light(frame: VideoFrame) -> Light | None:
    """Source: libavutil/mastering_display_metadata.h, `AVContentLightMetadata`."""
    data = _side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    if len(data) < 8:
        return None
    maximum, average = struct.unpack("=2I", data[:8])
    return Light(maximum=maximum, average=average) if max(maximum, average) < 65_536 else None


def _side_data(frame: VideoFrame, kind: Type) -> bytes:
    side_data = cast(
        "Iterable[SideData]", iter(frame.side_data)
    )  # yields values, whatever Mapping says
    return next((bytes(each) for each in side_data if each.type == kind), b"")


def write_about(container: OutputContainer, about: About, *, shift: Fraction = Fraction(0)) -> None:
    """Give tags and chapters to a container whose header is not written yet.

    Args:
        container: the output.
        about: what to tell.
        shift: seconds by which everything is shown later than in the source.
    """
    told = {name: text for name, text in about.tags.items() if name != LANGUAGE}
    container.metadata.update(told)
    chapters = [
        {
            "id": number,
            "start": max(0, round((each.start + shift) / _MICROSECOND)),
            "end": max(0, round((each.end + shift) / _MICROSECOND)),
            "time_base": _MICROSECOND,
            "metadata": {"title": each.title} if each.title else {},
        }
        for number, each in enumerate(about.chapters, start=1)
    ]
    if chapters:
        container.set_chapters(chapters)  # type: ignore[arg-type]  # plain dicts are what it takes


def x264_light(about: About) -> dict[str, str]:
    """Return x264's parameters for mastering display and content light."""
    told: dict[str, str] = {}
    if (display := about.mastering) is not None:
        pairs = {
            "G": display.green,
            "B": display.blue,
            "R": display.red,
            "WP": display.white,
            "L": (display.luminance[1], display.luminance[0]),
        }
        told["mastering-display"] = "".join(f"{name}({x},{y})" for name, (x, y) in pairs.items())
    if about.light is not None:
        told["cll"] = f"{about.light.maximum},{about.light.average}"
    return told
