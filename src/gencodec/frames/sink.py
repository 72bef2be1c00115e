"""RGB frames to a playable video, a y4m stream or a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path

import av
from av import Packet, VideoFrame
from av.stream import Disposition
from av.video.stream import VideoStream

from gencodec.carried import About, Track, TrackPacket
from gencodec.errors import OutputError
from gencodec.frames.about import LANGUAGE, write_about, x264_light
from gencodec.frames.colour import YuvConverter
from gencodec.frames.frame_sink import FrameSink
from gencodec.frames.muxing import TrackMuxer
from gencodec.frames.plain_sinks import PngSink, Y4mSink
from gencodec.frames.video import IDENTITY_MATRIX, LIMITED_RANGE, UNKNOWN, Frame, VideoInfo
from gencodec.output import Kind, sink_kind

PIXEL_FORMATS = (
    "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le",
)  # fmt: skip
"""What H.264 and y4m can be written as."""

_FORMATS: dict[Kind, str] = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
_MATROSKA_TIME_BASE = Fraction(1, 1000)  # all that FFmpeg writes
_LARGEST_TIMESCALE = 2**31 - 1  # of mp4 and mov, as FFmpeg takes it


def open_sink(  # noqa: PLR0913 - what an output can be told, each with a default
    path: str | Path,
    info: VideoInfo,
    *,
    kind: Kind | None = None,
    crf: int = 12,
    about: About | None = None,
    tracks: Sequence[Track] = (),
    pixel_format: str | None = None,
) -> FrameSink:
    """Open an output; what stands at `path` is overwritten.

    mp4, mov and mkv hold H.264: 4:2:0, or 4:4:4 where width or height is odd, because 4:2:0 H.264
    can only say even sizes. mp4 and mov keep every time exactly; mkv has milliseconds, which is
    all that Matroska carries in practice. A video that starts before 0 is moved to 0, as a player
    would not show what lies before it. Rotation and pixel aspect are written as such. What is
    unknown of the colour stays unknown, save that H.264 cannot tell a matrix without a range: that
    becomes limited, as it was taken.

    y4m (4:2:0 of 8 bits, if nothing else is asked for) has one frame rate and neither times nor
    rotation nor a matrix; samples are in the source's matrix, as FFmpeg writes them. PNG pictures,
    numbered from 1, have no times at all. Both are turned upright.

    Args:
        path: a file, a folder for PNG pictures, or "-" for y4m on standard output.
        info: what is written; `frame_count` and `bit_depth` are not needed.
        kind: instead of what `sink_kind` says of the path, for files with temporary names.
        crf: quality of H.264, 0 (lossless) to 51; 12 shows no difference to the eye.
        about: tags, chapters, mastering display and light; mp4 and mov keep the well-known tags;
            y4m and PNG have none of this.
        tracks: sound and subtitles whose packets will come; `FrameSink.lost` names those that the
            output cannot hold. mp4 and mov get text subtitles as their own kind.
        pixel_format: of H.264 and y4m, one of `PIXEL_FORMATS`; None is 4:2:0 of 8 bits as said
            above. Ten bits a sample hold the frames, which have eight a colour, without rounding
            them to YUV of eight.

    Raises:
        OutputError: the output cannot hold this pixel format,
            cannot be created, or is a folder that is not empty.
    """
    kind = kind or sink_kind(path)
    pixel_format = _pixel_format(info, kind, pixel_format)
    if kind == "y4m":
        return Y4mSink(path, info, pixel_format=pixel_format, tracks=tracks)
    if kind == "png":
        return PngSink(Path(path), info, tracks=tracks)
    known = about or About()
    video = _Video(pixel_format=pixel_format, crf=crf)
    return _ContainerSink(Path(path), info, kind=kind, video=video, about=known, tracks=tracks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Video:
    """How frames are coded."""

    pixel_format: str
    crf: int


def _pixel_format(info: VideoInfo, kind: Kind, asked: str | None) -> str:
    """Return the pixel format of H.264: what was asked for, else 4:2:0, or 4:4:4 at odd sizes."""
    odd = kind != "y4m" and (info.width % 2 or info.height % 2)
    if asked is None:
        return "yuv444p" if odd else "yuv420p"
    if asked not in PIXEL_FORMATS:
        raise OutputError(f"pixel format {asked} is not known; use {', '.join(PIXEL_FORMATS)}")
    if kind == "png" and asked != "yuv420p":
        raise OutputError(f"PNG is written with 8 bits; {asked} needs .mp4, .mkv, .mov or .y4m")
    if odd and "444" not in asked:
        raise OutputError(
            f"{info.width}x{info.height} is odd, which {asked} cannot say; use a yuv444p format"
        )
    return asked


class _ContainerSink(FrameSink):
    """H.264 in mp4, mov or mkv."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        kind: Kind,
        video: _Video,
        about: About,
        tracks: Sequence[Track],
    ) -> None:
        self._name = str(path)
        self._shape = (info.height, info.width, 3)
        self._timeline = _Timeline(info, kind, [each.time_base.denominator for each in tracks])
        self._about = about
        self._pending: tuple[VideoFrame, int] | None = None  # waits for its duration; told one
        self._durations: dict[int, int] = {}  # by time, of frames inside the encoder
        self._info = info
        pixel_format = video.pixel_format
        self._converter = YuvConverter(
            info.width, info.height, pixel_format=pixel_format, colour=info.colour
        )
        with self._writing():
            path.open("wb").close()  # says at once, and in plain words, why it cannot
            self._container = av.open(
                f"file:{path}",
                mode="w",
                format=_FORMATS[kind],
                container_options=self._timeline.container_options,
            )
            self._stream = self._add_stream(pixel_format, video.crf)
            self._muxer = TrackMuxer(self._container, tracks)
        self.lost = self._muxer.lost
        self._open = True

    def _add_stream(self, pixel_format: str, crf: int) -> VideoStream:
        info = self._info
        # Frames leave x264 in the order they are shown: no edit list has to repair the start.
        options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}
        if light := x264_light(self._about):
            options["x264-params"] = ":".join(f"{name}={value}" for name, value in light.items())
        stream = self._container.add_stream("libx264", rate=info.frame_rate, options=options)
        stream.disposition = Disposition.default
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, pixel_format
        stream.time_base = stream.codec_context.time_base = self._timeline.time_base
        context = stream.codec_context
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.colorspace, context.color_range = self._matrix_and_range()
        if info.sample_aspect:
            context.sample_aspect_ratio = info.sample_aspect
            stream.sample_aspect_ratio = info.sample_aspect
        if language := self._about.tags.get(LANGUAGE):
            stream.metadata[LANGUAGE] = language
        if info.rotation:
            stream.set_display_rotation(-info.rotation)  # FFmpeg counts counter-clockwise
        return stream

    def _matrix_and_range(self) -> tuple[int, int]:
        """Return the tags: the source's own, or those of the samples where these had to differ."""
        colour, matrix = self._info.colour, self._converter.matrix
        if colour.matrix == IDENTITY_MATRIX:
            return matrix, LIMITED_RANGE
        return UNKNOWN if colour.matrix == UNKNOWN else matrix, colour.range

    def write(self, frame: Frame) -> None:
        rgb = self._checked(frame)
        with self._writing():
            picture = self._converter.convert(rgb)
            picture.pts = self._timeline.place(frame.ticks)
            if self._about:
                write_about(self._container, self._about, shift=self._timeline.shift)
                self._about = About()
            picture.time_base = self._timeline.time_base
            picture.colorspace, picture.color_range = self._matrix_and_range()
            self._encode_pending(until=picture.pts)
            self._pending = picture, frame.duration

    def write_packet(self, packet: TrackPacket) -> None:
        with self._writing():
            self._muxer.write(packet, self._timeline.shift)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        with self._writing():
            if self._pending is None:
                raise OutputError(f"{self._name}: there is no frame to write")
            self._encode_pending(until=None)
            self._mux(self._stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        if self._open:
            self._open = False
            with suppress(OutputError, BrokenPipeError), self._writing():
                self._container.close()

    def _encode_pending(self, *, until: int | None) -> None:
        """Encode the frame that waits; it lasts until the next one, or as long as it was told."""
        if self._pending is None:
            return
        picture, told = self._pending
        self._pending = None
        start = picture.pts or 0
        end = self._timeline.end(told) if until is None else until
        self._durations[start] = picture.duration = end - start
        self._mux(self._stream.encode(picture))

    def _mux(self, packets: Sequence[Packet[VideoStream]]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration)
            self._container.mux(packet)


class _Timeline:
    """Times of the video in units of the file: exact where the file can say them."""

    def __init__(self, info: VideoInfo, kind: Kind, scales: Sequence[int]) -> None:
        self._info = info
        self.container_options: dict[str, str] = {}
        self.time_base = info.time_base
        if kind == "mkv":
            self.time_base = _MATROSKA_TIME_BASE
            self.container_options = {"default_mode": "passthrough"}  # of tracks: as they are told
        else:
            scale = min(info.time_base.denominator, _LARGEST_TIMESCALE)
            if scale != info.time_base.denominator:
                self.time_base = Fraction(1, scale)
            self.container_options = {
                "movflags": "+faststart",  # the index in front: plays from a pipe or the web
                "video_track_timescale": str(scale),
                # The starts of all tracks are written in these units.
                "movie_timescale": str(_fitting(lcm(scale, *scales), scale)),
            }
        self._first: int | None = None
        self._last_ticks = 0
        self._last: int | None = None

    @property
    def shift(self) -> Fraction:
        """Seconds by which everything is shown later, so that nothing comes before 0."""
        return -min(0, self._first or 0) * self._info.time_base

    def place(self, ticks: int) -> int:
        """Return when a frame is shown, after the one before it and not before 0."""
        if self._first is None:
            self._first = ticks
        self._last_ticks = ticks
        time = self._rescaled(ticks)
        if self._last is not None:
            time = max(time, self._last + 1)
        self._last = time
        return time

    def end(self, told: int) -> int:
        """Return when the last frame placed ends, given its duration in ticks, 0 if not told."""
        duration = told if told > 0 else self._info.frame_ticks
        return max(self._rescaled(self._last_ticks + duration), (self._last or 0) + 1)

    def _rescaled(self, ticks: int) -> int:
        shifted = ticks - min(0, self._first or 0)
        return round(shifted * self._info.time_base / self.time_base)


def _fitting(scale: int, otherwise: int) -> int:
    return scale if scale <= _LARGEST_TIMESCALE else otherwise
