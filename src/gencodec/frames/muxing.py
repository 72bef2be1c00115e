"""Coded sound and subtitles into a container that FFmpeg writes, without decoding them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import av
from av import Packet
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.stream import Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext

from gencodec.carried import AUDIO, DISPOSITIONS, Track, TrackPacket
from gencodec.frames.ffmpeg import reason
from gencodec.frames.tracks import COPIED

_LAYOUTS = {
    1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1",
}  # fmt: skip
_DISPOSITIONS = sum(DISPOSITIONS.values())
_MOV_TEXT, _SUBRIP = "mov_text", "subrip"
_ASS_FIELDS = 8  # commas in front of the text of an ASS packet
ASS_HEADER = b"""[Script Info]\r
ScriptType: v4.00+\r
\r
[V4+ Styles]\r
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding\r
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r
\r
[Events]\r
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\r
"""
"""What FFmpeg's encoders of subtitles want to know before they describe a stream."""


@dataclass(slots=True)
class _Open:
    """A track that is being written."""

    stream: Stream
    track: Track
    convert: Callable[[bytes], bytes]
    last: int | None = None  # time of the last packet


class TrackMuxer:
    """Writes packets of several tracks beside a video.

    Attributes:
        lost: tracks that could not be written, and why.
    """

    def __init__(self, container: OutputContainer, tracks: Sequence[Track]) -> None:
        """Add a stream for each track; before the container's header is written."""
        self.lost: list[str] = []
        self._container = container
        self._open: dict[int, _Open] = {}
        for track in tracks:
            try:
                _rehearse(container.format.name, track)
                self._open[track.number] = _opened(container, track)
            except (ValueError, KeyError, TypeError, av.FFmpegError) as error:
                self._lose(track, error)

    def write(self, packet: TrackPacket, shift: Fraction) -> None:
        """Write a packet `shift` seconds later than it says; one that comes too late is dropped."""
        found = self._open.get(packet.track)
        if found is None:
            return
        base = found.track.time_base
        tick = packet.tick + round(shift / base)
        if found.last is not None and tick <= found.last:
            return
        found.last = tick
        data = found.convert(packet.data)
        coded = Packet(data)
        coded.stream, coded.time_base = found.stream, base
        coded.pts = coded.dts = tick
        coded.duration, coded.is_keyframe = packet.duration, packet.key
        try:
            self._container.mux(coded)
        except (ValueError, OverflowError, av.InvalidDataError) as error:  # not a full disk
            del self._open[packet.track]
            self._lose(found.track, error)

    def _lose(self, track: Track, error: Exception) -> None:
        where = self._container.format.name
        advice = "" if where == "matroska" else "; use .mkv"
        self.lost.append(f"{track.name} is not written to {where}: {reason(error)}{advice}")


def _rehearse(container: str, track: Track) -> None:
    """Write a track's header to memory; one that fails would cost the video beside it."""
    with av.open(BytesIO(), "w", format=container) as scratch:
        _opened(scratch, track)
        scratch.start_encoding()


def _opened(container: OutputContainer, track: Track) -> _Open:
    codec, convert = _written_as(track, container.format.name)
    encoder = COPIED[codec]
    if track.kind == AUDIO:
        stream: Stream = container.add_stream(encoder, rate=track.sample_rate)
    else:
        stream = container.add_stream(encoder)
    _set_up(stream.codec_context, track)
    if codec == track.codec:
        stream.codec_context.extradata = track.setup or None
    stream.time_base = track.time_base
    stream.disposition = Disposition(track.disposition & _DISPOSITIONS)
    for name, text in (("language", track.language), ("title", track.title)):
        if text:
            stream.metadata[name] = text
    return _Open(stream=stream, track=track, convert=convert)


def _set_up(context: CodecContext, track: Track) -> None:
    """Open an encoder that will code nothing: it tells the muxer what the stream is."""
    context.time_base = track.time_base
    if isinstance(context, AudioCodecContext):
        context.sample_rate = track.sample_rate
        context.layout = _LAYOUTS[track.channels]
        formats = context.codec.audio_formats or []
        context.format = formats[0].name
    elif isinstance(context, SubtitleCodecContext):
        context.subtitle_header = ASS_HEADER
    context.open(strict=False)


def _written_as(track: Track, container: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Return the codec of a track in a container, and what turns its packets into that."""
    if track.kind == AUDIO:
        return track.codec, bytes
    in_mov = container in ("mp4", "mov")
    if in_mov and track.codec != _MOV_TEXT:
        return _MOV_TEXT, lambda data: _to_mov_text(_plain(track.codec, data))
    if not in_mov and track.codec == _MOV_TEXT:
        return _SUBRIP, lambda data: _plain(_MOV_TEXT, data)
    return track.codec, bytes


def _plain(codec: str, data: bytes) -> bytes:
    """Return the words of a subtitle, without how they look."""
    if codec == _MOV_TEXT:
        return data[2 : 2 + int.from_bytes(data[:2], "big")]
    if codec == "ass":
        text = data.split(b",", _ASS_FIELDS)[-1]
        return re.sub(rb"\{[^}]*\}", b"", text).replace(b"\\N", b"\n")
    return re.sub(rb"<[^>]*>", b"", data)


def _to_mov_text(text: bytes) -> bytes:
    """Source: 3GPP TS 26.245, a text sample without modifiers."""
    text = text[:65_535]
    return len(text).to_bytes(2, "big") + text
