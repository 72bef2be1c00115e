"""RGB frames to a playable video, a y4m stream or a folder of pictures."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np
from av import Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from gencodec.errors import OutputError
from gencodec.frames.colour import YuvConverter
from gencodec.frames.ffmpeg import output_errors
from gencodec.frames.video import (
    IDENTITY_MATRIX,
    LIMITED_RANGE,
    UNKNOWN,
    Frame,
    Pixels,
    VideoInfo,
)
from gencodec.output import Kind, sink_kind

_FORMATS: dict[Kind, str] = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
_MATROSKA_TIME_BASE = Fraction(1, 1000)  # all that FFmpeg writes
_LARGEST_TIMESCALE = 2**31 - 1  # of mp4 and mov, as FFmpeg takes it


def open_sink(
    path: str | Path,
    info: VideoInfo,
    *,
    kind: Kind | None = None,
    crf: int = 12,
    metadata: Mapping[str, str] | None = None,
) -> FrameSink:
    """Open an output; what stands at `path` is overwritten.

    mp4, mov and mkv hold H.264: 4:2:0, or 4:4:4 where width or height is odd, because 4:2:0 H.264
    can only say even sizes. mp4 and mov keep every time exactly; mkv has milliseconds, which is
    all that Matroska carries in practice. A video that starts before 0 is moved to 0, as a player
    would not show what lies before it. Rotation and pixel aspect are written as such. What is
    unknown of the colour stays unknown, save that H.264 cannot tell a matrix without a range: that
    becomes limited, as it was taken.

    y4m (8-bit 4:2:0) has one frame rate and neither times nor rotation nor a matrix; samples are in
    the source's matrix, as FFmpeg writes them. PNG pictures, numbered from 1, have no times at all.
    Both are turned upright.

    Args:
        path: a file, a folder for PNG pictures, or "-" for y4m on standard output.
        info: what is written; `frame_count` and `bit_depth` are not needed.
        kind: instead of what `sink_kind` says of the path, for files with temporary names.
        crf: quality of H.264, 0 (lossless) to 51; 12 shows no difference to the eye.
        metadata: tags of the container, such as "comment"; mp4 and mov keep the well-known ones;
            y4m and PNG have none.

    Raises:
        OutputError: the output cannot be created, or is a folder that is not empty.
    """
    kind = kind or sink_kind(path)
    if kind == "y4m":
        return _Y4mSink(path, info)
    if kind == "png":
        return _PngSink(Path(path), info)
    return _ContainerSink(Path(path), info, kind=kind, crf=crf, metadata=metadata or {})


class FrameSink(ABC):
    """An open output. A context manager that closes; an error inside leaves an unfinished file.

    Every method may raise `OutputError`, and BrokenPipeError where a pipe's reader is gone.
    """

    _name: str
    _shape: tuple[int, int, int]

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Append a frame; its `ticks` must be above those of the frame before it."""

    @abstractmethod
    def close(self) -> None:
        """Finish the output; it is complete when this returns. Again: nothing."""

    @abstractmethod
    def abandon(self) -> None:
        """Release the output without finishing it; raises nothing."""

    def _writing(self) -> AbstractContextManager[None]:
        return output_errors(lambda: f"{self._name} cannot be written")

    def _checked(self, frame: Frame) -> Pixels:
        if frame.rgb.shape != self._shape or frame.rgb.dtype != np.uint8:
            raise ValueError(
                f"frame is {frame.rgb.dtype} {frame.rgb.shape}, must be uint8 {self._shape}"
            )
        return frame.rgb

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()


class _ContainerSink(FrameSink):
    """H.264 in mp4, mov or mkv."""

    def __init__(
        self, path: Path, info: VideoInfo, *, kind: Kind, crf: int, metadata: Mapping[str, str]
    ) -> None:
        self._name = str(path)
        self._shape = (info.height, info.width, 3)
        self._timeline = _Timeline(info, kind)
        self._pending: tuple[VideoFrame, int] | None = None  # waits for its duration; told one
        self._durations: dict[int, int] = {}  # by time, of frames inside the encoder
        self._info = info
        odd = info.width % 2 or info.height % 2
        pixel_format = "yuv444p" if odd else "yuv420p"
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
            self._container.metadata.update(metadata)
            self._stream = self._add_stream(pixel_format, crf)
        self._open = True

    def _add_stream(self, pixel_format: str, crf: int) -> VideoStream:
        info = self._info
        # Frames leave x264 in the order they are shown: no edit list has to repair the start.
        options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}
        stream = self._container.add_stream("libx264", rate=info.frame_rate, options=options)
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, pixel_format
        stream.time_base = stream.codec_context.time_base = self._timeline.time_base
        context = stream.codec_context
        context.color_primaries = info.colour.primaries
        context.color_trc = info.colour.transfer
        context.colorspace, context.color_range = self._matrix_and_range()
        if info.sample_aspect:
            context.sample_aspect_ratio = info.sample_aspect
            stream.sample_aspect_ratio = info.sample_aspect
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
            picture.time_base = self._timeline.time_base
            picture.colorspace, picture.color_range = self._matrix_and_range()
            self._encode_pending(until=picture.pts)
            self._pending = picture, frame.duration

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

    def __init__(self, info: VideoInfo, kind: Kind) -> None:
        self._info = info
        self.container_options: dict[str, str] = {}
        self.time_base = info.time_base
        if kind == "mkv":
            self.time_base = _MATROSKA_TIME_BASE
        else:
            scale = min(info.time_base.denominator, _LARGEST_TIMESCALE)
            if scale != info.time_base.denominator:
                self.time_base = Fraction(1, scale)
            self.container_options = {
                "movflags": "+faststart",  # the index in front: plays from a pipe or the web
                "video_track_timescale": str(scale),
                "movie_timescale": str(scale),  # the start is written in these units
            }
        self._first: int | None = None
        self._last_ticks = 0
        self._last: int | None = None

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


class _Y4mSink(FrameSink):
    """Uncompressed 8-bit 4:2:0. Source: yuv4mpeg(5); `XCOLORRANGE` as FFmpeg has it."""

    def __init__(self, path: str | Path, info: VideoInfo) -> None:
        self._name = "standard output" if str(path) == "-" else str(path)
        self._shape = (info.height, info.width, 3)
        self._turns = _upright_turns(info)
        width, height, aspect = _upright_geometry(info)
        colour = info.colour
        self._converter = YuvConverter(width, height, pixel_format="yuv420p", colour=colour)
        tags = [
            f"YUV4MPEG2 W{width} H{height}",
            f"F{info.frame_rate.numerator}:{info.frame_rate.denominator}",
            f"Ip A{aspect.numerator}:{aspect.denominator if aspect else 0} C420mpeg2",
        ]
        if colour.range or colour.matrix == IDENTITY_MATRIX:
            tags.append(f"XCOLORRANGE={'FULL' if self._converter.full_range else 'LIMITED'}")
        self._own = str(path) != "-"
        with self._writing():
            self._file: BinaryIO = (
                Path(path).open("wb") if self._own else sys.stdout.buffer  # noqa: SIM115 - kept
            )
            self._file.write(" ".join(tags).encode() + b"\n")

    def write(self, frame: Frame) -> None:
        rgb = np.rot90(self._checked(frame), self._turns)
        with self._writing():
            picture = self._converter.convert(rgb)
            self._file.write(b"FRAME\n")
            for plane in picture.planes:
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(
                    plane.height, plane.line_size
                )
                self._file.write(rows[:, : plane.width].tobytes())

    def close(self) -> None:
        with self._writing():
            if self._own:
                self._file.close()
            else:
                self._file.flush()

    def abandon(self) -> None:
        if self._own:
            with suppress(OutputError, BrokenPipeError), self._writing():
                self._file.close()


class _PngSink(FrameSink):
    """`frame_000001.png` and so on, exact RGB, in a folder that holds nothing else."""

    def __init__(self, folder: Path, info: VideoInfo) -> None:
        self._name = str(folder)
        self._shape = (info.height, info.width, 3)
        self._turns = _upright_turns(info)
        self._folder = folder
        self._count = 0
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OutputError(f"{folder} is not empty; name a new folder")
        width, height, aspect = _upright_geometry(info)
        self._encoder = _png_encoder(width, height, aspect)

    def write(self, frame: Frame) -> None:
        rgb = np.ascontiguousarray(np.rot90(self._checked(frame), self._turns))
        with self._writing():
            picture = VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts = self._count
            self._count += 1
            packets = self._encoder.encode(picture)
            path = self._folder / f"frame_{self._count:06d}.png"
            path.write_bytes(b"".join(bytes(packet) for packet in packets))

    def close(self) -> None:
        """Do nothing: every picture is complete when it is written."""

    def abandon(self) -> None:
        """Do nothing, as `close`."""


def _png_encoder(width: int, height: int, aspect: Fraction) -> VideoCodecContext:
    encoder = VideoCodecContext.create("png", "w")
    if not isinstance(encoder, VideoCodecContext):
        raise TypeError("FFmpeg's PNG encoder is no video encoder")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1  # one picture in, one out
    encoder.options = {"pred": "up"}
    if aspect:
        encoder.sample_aspect_ratio = aspect
    return encoder


def _upright_turns(info: VideoInfo) -> int:
    """Return how many quarter turns counter-clockwise bring a stored picture upright."""
    return -info.rotation // 90 % 4


def _upright_geometry(info: VideoInfo) -> tuple[int, int, Fraction]:
    """Return width, height and pixel aspect of the picture as it is displayed."""
    if info.rotation in (0, 180):
        return info.width, info.height, info.sample_aspect
    aspect = 1 / info.sample_aspect if info.sample_aspect else Fraction(0)
    return info.height, info.width, aspect
