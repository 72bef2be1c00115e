"""Which sound and subtitles of a source are carried, and how: copied, or coded anew as Opus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.stream import Stream

from gencodec.carried import AUDIO, SUBTITLE

COPIED: Mapping[str, str] = {
    "aac": "aac",
    "ac3": "ac3",
    "alac": "alac",
    "eac3": "eac3",
    "flac": "flac",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "pcm_s16le": "pcm_s16le",
    "pcm_s24le": "pcm_s24le",
    "vorbis": "libvorbis",
    "ass": "ass",
    "mov_text": "mov_text",
    "subrip": "subrip",
    "webvtt": "webvtt",
}
"""Codecs whose packets can be carried -> the encoder that describes such a stream to a muxer."""

_NEED_SETUP = {"aac", "alac", "flac", "opus", "vorbis"}  # without their parameters: no copy
_FEWEST_BITS = 8  # kilobits a second of a track, per channel
_MOST_BITS = 64  # likewise; beyond it Opus gains nothing that such a video would match
_VIDEO_SHARE = Fraction(1, 3)  # kilobits of sound for each kilobit of video
_MOST_TRACKS = 32

Mode = Literal["auto", "copy", "opus", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What becomes of the sound.

    Attributes:
        mode: "copy" as it is, "opus", "none", or "auto": the smaller of the first two.
        kilobits: a second of every Opus track; None is a third of the video's.
    """

    mode: Mode = "auto"
    kilobits: int | None = None

    def __post_init__(self) -> None:
        if self.kilobits is not None and not 6 <= self.kilobits <= 510:
            raise ValueError(f"Opus has 6 to 510 kilobits a second, not {self.kilobits}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """A stream of the source that could be carried."""

    index: int  # in the source
    kind: int  # `AUDIO` or `SUBTITLE`
    name: str  # for people: "audio aac"
    copies: bool  # its packets can be carried as they are
    bit_rate: int  # 1/s as the source tells; 0 unknown
    channels: int


Plan = Mapping[int, tuple[int | None, ...]]
"""Stream index -> kilobits of Opus, None for a copy; more than one while it is not settled."""


def carriable(streams: Iterable[Stream]) -> tuple[list[StreamInfo], list[str]]:
    """Return the streams that can be carried, and the names of sound and subtitles that cannot."""
    infos: list[StreamInfo] = []
    dropped: list[str] = []
    for stream in streams:
        if stream.type not in ("audio", "subtitle"):
            continue
        info = _describe(stream)
        fits = info is not None and len(infos) < _MOST_TRACKS
        if info is not None and fits and (info.copies or info.kind == AUDIO):
            infos.append(info)
        else:
            dropped.append(f"{stream.type} {codec_name(stream) or 'unknown'}")
    return infos, dropped


def _describe(stream: Stream) -> StreamInfo | None:
    context: CodecContext | None = stream.codec_context
    if context is None:
        return None
    codec = codec_name(stream)
    copies = codec in COPIED and (codec not in _NEED_SETUP or bool(context.extradata))
    sound = isinstance(stream, AudioStream)
    return StreamInfo(
        index=stream.index,
        kind=AUDIO if sound else SUBTITLE,
        name=f"{stream.type} {codec}",
        copies=copies,
        bit_rate=context.bit_rate or 0,
        channels=stream.codec_context.layout.nb_channels if isinstance(stream, AudioStream) else 0,
    )


def codec_name(stream: Stream) -> str:
    """Return FFmpeg's name of a stream's codec; empty if there is no decoder."""
    context: CodecContext | None = stream.codec_context
    return "" if context is None else str(context.codec.canonical_name)


def make_plan(streams: Sequence[StreamInfo], sound: Sound, video_kilobits: float) -> Plan:
    """Return how each stream may be carried; of two ways the smaller one is still to be found."""
    plan: dict[int, tuple[int | None, ...]] = {}
    for each in streams:
        if each.kind == SUBTITLE:
            plan[each.index] = (None,)
        elif sound.mode != "none":
            plan[each.index] = _ways(each, sound, video_kilobits)
    return plan


def _ways(stream: StreamInfo, sound: Sound, video_kilobits: float) -> tuple[int | None, ...]:
    low, high = _FEWEST_BITS * min(2, stream.channels), _MOST_BITS * stream.channels
    opus = sound.kilobits or round(min(max(video_kilobits * float(_VIDEO_SHARE), low), high, 510))
    if not stream.copies or sound.mode == "opus":
        return (opus,)
    return (None,) if sound.mode == "copy" else (None, opus)


def settle(plan: Plan, streams: Sequence[StreamInfo], measured: Mapping[int, int]) -> Plan:
    """Choose one way for each stream.

    Args:
        plan: from `make_plan`.
        streams: the same.
        measured: stream index -> bytes of a copy less those of Opus; without it, the bit rate
            that the source tells decides, and Opus where it tells none.
    """
    settled: dict[int, tuple[int | None, ...]] = {}
    for each in streams:
        ways = plan.get(each.index, ())
        if len(ways) > 1:
            opus = ways[1] or 0
            more = measured.get(each.index, each.bit_rate - 1000 * opus if each.bit_rate else 1)
            ways = ways[:1] if more <= 0 else ways[1:]
        if ways:
            settled[each.index] = ways
    return settled
