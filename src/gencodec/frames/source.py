"""A video file or pipe, read as RGB frames with exact times. PyAV opens and decodes."""

from __future__ import annotations

import stat
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av import Packet, VideoFrame
from av.codec.context import CodecContext
from av.stream import Disposition, Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from gencodec.errors import LimitError, SourceError
from gencodec.frames.about import read_about
from gencodec.frames.clock import Clock, nominal_rate
from gencodec.frames.colour import colour_of, to_rgb
from gencodec.frames.deinterlacing import Deinterlacer
from gencodec.frames.ffmpeg import PipeReader, SeekableReader, source_errors
from gencodec.frames.track_coder import TrackCoder
from gencodec.frames.tracks import StreamInfo, carriable
from gencodec.frames.video import Frame, VideoInfo

_PROBED_PIXELS = 2**26  # one frame of this size may be decoded while opening, whatever the limit
# FFmpeg shows text files and raw bytes as pictures of a teletype; nobody means that.
_NOT_VIDEO = frozenset({"tty", "bin", "xbin", "adf", "idf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an input may ask for; checked before anything of that size is allocated."""

    max_pixels: int = 8192 * 4320  # width x height of one frame


_DEFAULT_LIMITS = Limits()


def open_source(
    path: str | Path, *, limits: Limits = _DEFAULT_LIMITS, tracks: bool = False
) -> FrameSource:
    """Open a video and decode its first frame, so that `info` is complete.

    Args:
        path: anything FFmpeg can read; "-" reads standard input: y4m, or any container whose
            index is not at the end (mkv, mpeg-ts, mp4 written with faststart).
        limits: sizes that are refused before decoding.
        tracks: whether sound and subtitles are read, too; see `FrameSource.frames`.

    Raises:
        SourceError: missing, unreadable, not a video, no video stream, or not one frame in it.
        LimitError: a frame has more than `limits.max_pixels`.
    """
    return FrameSource(path, limits, tracks=tracks)


class FrameSource:
    """An open video: what it is, and its frames. A context manager.

    Attributes:
        info: geometry, time and colour; `info.frame_count` is what the container claims.
        rewindable: whether `frames` may be called more than once; False for pipes.
        streams: sound and subtitles that can be carried, if they are read.
        skipped: streams that are not read, such as "audio aac".
        about: tags, chapters, and what is known of the light in the picture.
        seconds: duration as the container claims; None: not told.
    """

    def __init__(self, path: str | Path, limits: Limits, *, tracks: bool = False) -> None:
        self._path, self._limits, self._tracks = path, limits, tracks
        self.rewindable = path != "-" and not _is_pipe(Path(path))
        self._passes: list[_Pass] = []
        self._next: _Pass | None = self._open()
        try:
            self.info = self._next.describe()
        except BaseException:
            self.close()
            raise
        self.skipped = self._next.skipped
        self.streams: tuple[StreamInfo, ...] = self._next.streams
        self.about = self._next.about
        self.seconds = self._next.seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What happens to this video that its owner may want to know; grows while reading."""
        return tuple(dict.fromkeys(note for each in self._passes for note in each.notes))

    def frames(self, tracks: TrackCoder | None = None) -> Iterator[Frame]:
        """Yield every frame from the start, in presentation order; constant memory.

        Times strictly increase; `clock.Clock` says what becomes of missing and repeated ones.

        Args:
            tracks: given what is read of sound and subtitles on the way.

        Raises:
            SourceError: the source is a pipe and was read before; or, while iterating, a frame
                cannot be decoded or has another size than the first. The text names the frame,
                counted from 0.
        """
        return self._pass().frames(tracks)

    def pictures(self) -> Iterator[tuple[VideoFrame, int]]:
        """Yield (picture in its own pixel format, ticks) instead of RGB frames; as `frames`."""
        return self._pass().pictures()

    def close(self) -> None:
        """Release the file; iterations that still run end."""
        for each in self._passes:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pass(self) -> _Pass:
        """Return a way through the video from its start."""
        decoding, self._next = self._next, None
        if decoding is None:
            if not self.rewindable:
                raise SourceError(f"{self._path}: a pipe can be read only once")
            decoding = self._open()
        return decoding

    def _open(self) -> _Pass:
        opened = _Pass(self._path, self._limits, tracks=self._tracks)
        self._passes.append(opened)
        return opened


class _Pass:
    """One way through the video: an open container and the frames still to come."""

    def __init__(self, path: str | Path, limits: Limits, *, tracks: bool) -> None:
        self._pipe = _standard_input() if path == "-" else None
        self._name = PipeReader.name if self._pipe else str(path)
        self._count = 0  # frames decoded
        self._damaged = False
        self.notes: list[str] = []
        # Above its limit FFmpeg tells no size at all, so probing has a generous one.
        probed = {"max_pixels": str(max(_PROBED_PIXELS, limits.max_pixels))}
        with self._reading(lambda: "cannot be opened as a video"):
            self._container = av.open(
                self._pipe or f"file:{path}", mode="r", metadata_errors="replace", options=probed
            )
        try:
            self._stream = self._choose_stream()
            self._check_size(limits)
        except BaseException:
            self._container.close()
            raise
        self._carry(tracks=tracks)
        self._stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        self._stream.thread_type = "AUTO"
        self._rate = nominal_rate(
            self._stream.average_rate, self._stream.base_rate, self._stream.guessed_rate
        )
        self._time_base = self._stream.time_base or 1 / self._rate
        self.seconds = Fraction(self._container.duration or 0, av.time_base) or None
        self._pictures = self._decode()
        self._first: VideoFrame | None = None

    def describe(self) -> VideoInfo:
        """Decode the first frame and put together what is known of the video."""
        first = self._first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"{self._name} holds no frame that can be decoded")
        components = first.format.components
        if any(component.is_alpha for component in components):
            self.notes.append("transparency is dropped")
        self.about = read_about(self._container, self._stream, first)
        return VideoInfo(
            width=first.width,
            height=first.height,
            time_base=self._time_base,
            frame_rate=self._rate,
            frame_count=self._stream.frames or None,
            rotation=self._rotation(first),
            sample_aspect=self._stream.sample_aspect_ratio or Fraction(0),
            bit_depth=max(8, *(component.bits for component in components)),
            colour=colour_of(first),
            field_order=self._stream.codec_context.field_order,
        )

    def _carry(self, *, tracks: bool) -> None:
        """Decide which streams are read beside the video."""
        infos = carriable(self._container.streams)[0] if tracks else []
        self.streams = tuple(infos)
        indices = {each.index for each in infos}
        self._others = [each for each in self._container.streams if each.index in indices]
        self._held: deque[Packet[Stream]] = deque()  # read before anybody asked for them
        self._coder: TrackCoder | None = None
        self.skipped = tuple(
            _stream_name(each)
            for each in self._container.streams
            if each is not self._stream and each.index not in indices and not _is_chapters(each)
        )

    def frames(self, tracks: TrackCoder | None = None) -> Generator[Frame]:
        """Yield the frames, converted and timed; release the file at the end."""
        reformatter = VideoReformatter()
        if tracks is None:
            self._others = []
        else:
            self._coder = tracks
            with self._reading(lambda: "its sound cannot be decoded"):
                tracks.begin(list(self._container.streams))
                while self._held:
                    tracks.feed(self._held.popleft())
        for picture, ticks in self.pictures():
            with self._reading(lambda: f"frame {self._count - 1} cannot be converted to RGB"):
                rgb = to_rgb(picture, reformatter)
            yield Frame(rgb=rgb, ticks=ticks, duration=max(0, picture.duration))

    def pictures(self) -> Generator[tuple[VideoFrame, int]]:
        """Yield the pictures as decoded, timed; release the file at the end."""
        if self._first is None:
            self._first = next(self._pictures, None)
        clock = Clock(self._rate, self._time_base)
        picture, self._first = self._first, None
        try:
            while picture is not None:
                yield picture, clock.ticks(picture.pts)
                picture = next(self._pictures, None)
        finally:
            self.close()

    def close(self) -> None:
        """Release the file."""
        self._pictures.close()
        self._container.close()

    def _decode(self) -> Generator[VideoFrame]:
        """Yield decoded pictures, deinterlaced from the first interlaced one on."""
        deinterlacer: Deinterlacer | None = None
        for picture in self._stored_pictures():
            if deinterlacer is None and picture.interlaced_frame:
                self.notes.append("interlaced video is deinterlaced, one frame for two fields")
                deinterlacer = Deinterlacer(picture, self._time_base)
            if deinterlacer is None:
                yield picture
                continue
            with self._reading(lambda: f"frame {self._count - 1} cannot be deinterlaced"):
                ready = deinterlacer.push(picture)
            yield from ready
        if deinterlacer is not None:
            with self._reading(lambda: "the last frames cannot be deinterlaced"):
                ready = deinterlacer.push(None)
            yield from ready

    def _stored_pictures(self) -> Iterator[VideoFrame]:
        """Yield pictures as the decoder gives them, all of one size."""
        size: tuple[int, int] | None = None
        for packet in self._packets():
            with self._reading(lambda: f"frame {self._count} cannot be decoded"):
                try:
                    pictures = packet.decode()
                except av.InvalidDataError:
                    if self._count:
                        raise
                    continue  # a recording may begin between key frames; that is no picture yet
            for picture in pictures:
                size = size or (picture.width, picture.height)
                if size != (picture.width, picture.height):
                    raise SourceError(
                        f"{self._name}: frame {self._count} is {picture.width}x{picture.height} "
                        f"and those before it {size[0]}x{size[1]}; split the video there"
                    )
                if picture.is_corrupt:
                    self._note_damage()
                self._count += 1
                yield picture

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        packets = self._container.demux(self._stream, *self._others)
        number = 0  # the decoder is some frames behind
        while True:
            with self._reading(lambda: f"frame {self._count} cannot be read"):
                packet = next(packets, None)
            if packet is None:
                return
            if packet.stream is not self._stream:
                self._pass_on(packet)
                continue
            if packet.is_corrupt:
                self._check_truncation(number)
                self._note_damage()
            number += 1
            yield cast("Packet[VideoStream]", packet)

    def _pass_on(self, packet: Packet[Stream]) -> None:
        if self._coder is None:
            if self._others:
                self._held.append(packet)
            return
        with self._reading(lambda: f"the sound near frame {self._count} cannot be coded"):
            self._coder.feed(packet)

    def _check_truncation(self, number: int) -> None:
        """Raise for an incomplete frame of a container that has an index of its frames.

        Without one, as in mpeg-ts, incomplete data is everyday life and the decoder patches it.
        """
        if self._stream.frames:
            raise SourceError(
                f"{self._name} is damaged or truncated: frame {number} of "
                f"{self._stream.frames} is incomplete"
            )

    def _note_damage(self) -> None:
        if not self._damaged:
            self._damaged = True
            self.notes.append(f"frame {self._count} or one near it is damaged; it was patched")

    @contextmanager
    def _reading(self, what: Callable[[], str]) -> Generator[None]:
        """Translate errors; what a pipe met explains them better than what FFmpeg makes of it."""
        door: AbstractContextManager[None] = source_errors(lambda: f"{self._name}: {what()}")
        try:
            with door:
                yield
        finally:
            if self._pipe is not None:
                self._pipe.check()

    def _choose_stream(self) -> VideoStream:
        if self._container.format.name in _NOT_VIDEO:
            raise SourceError(f"{self._name} is text, not a video")
        streams = [
            each
            for each in self._container.streams.video
            if not each.disposition & Disposition.attached_pic
        ]
        if not streams:
            others = ", ".join(_stream_name(each) for each in self._container.streams) or "nothing"
            raise SourceError(f"{self._name} has no video stream; it holds {others}")
        best = self._container.streams.best("video")
        stream = next((each for each in streams if each is best), streams[0])
        if stream.codec_context is None:
            raise SourceError(f"{self._name}: there is no decoder for its video stream")
        return stream

    def _check_size(self, limits: Limits) -> None:
        width, height = self._stream.width, self._stream.height
        size = f"{width}x{height}, {width * height} pixels" if width * height else "of unknown size"
        if not 0 < width * height <= limits.max_pixels:
            raise LimitError(
                f"{self._name}: a frame is {size}, the limit is {limits.max_pixels} pixels: "
                "pass --max-pixels to raise it"
            )

    def _rotation(self, picture: VideoFrame) -> int:
        # FFmpeg's display matrix turns counter-clockwise: -90 there is 90 clockwise here.
        clockwise = -picture.rotation % 360
        quarter = round(clockwise / 90) * 90 % 360
        if quarter != clockwise:
            self.notes.append(f"rotation by {clockwise} degrees is taken as {quarter}")
        return quarter


def _stream_name(stream: Stream) -> str:
    # Streams without a decoder have no context, whatever the stub says.
    context: CodecContext | None = stream.codec_context
    codec = context.name if context is not None else stream.name or "unknown"
    return f"{stream.type} {codec}"


def _is_chapters(stream: Stream) -> bool:
    """Whether a stream is how mov and mp4 keep chapters, which are read as such."""
    return stream.type == "data" and bool(stream.container.chapters())


def _is_pipe(path: Path) -> bool:
    """Whether a path names something other than a file, such as a named pipe."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # opening it says what is wrong


def _standard_input() -> PipeReader:
    stream = sys.stdin.buffer
    if stream.seekable() and stream.tell() == 0:
        return SeekableReader(stream)
    return PipeReader(stream)
