"""Pictures kept bit-exactly in a file, with their times, colour tags and rotation: H.264 in mov."""

from __future__ import annotations

from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av import VideoFrame
from av.video.frame import PictureType

from gencodec.errors import OutputError
from gencodec.frames.colour import to_rgb
from gencodec.frames.ffmpeg import output_errors
from gencodec.frames.video import Pixels, VideoInfo

_RGB = "rgb24"
_OPTIONS = {"preset": "ultrafast", "qp": "0", "bf": "0"}  # x264 is lossless at quantiser 0


def keeps(picture: VideoFrame) -> bool:
    """Return whether pictures of this pixel format and size can be kept as they are."""
    formats = av.codec.Codec("libx264", "w").video_formats or []
    even = picture.width % 2 == 0 and picture.height % 2 == 0
    return even and picture.format.name in [each.name for each in formats]


class LosslessSink:
    """Writes pictures to a mov file; a context manager.

    The first picture is at time 0. Samples are kept exactly; chroma counts as left-sited, which is
    what H.264 means. Pictures of a pixel format that H.264 cannot say, or of an odd size, become
    RGB, exactly as `FrameSource.frames` shows them.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        """Prepare for pictures of one video.

        Raises:
            OutputError: the file cannot be created.
        """
        self._path, self._info = path, info
        self._first: int | None = None
        self._reformatter = av.video.reformatter.VideoReformatter()
        scale = str(info.time_base.denominator)
        with self._errors():
            self._container = av.open(
                f"file:{path}",
                mode="w",
                format="mov",
                container_options={"video_track_timescale": scale, "movie_timescale": scale},
            )
        self._stream: av.VideoStream | None = None

    def write(self, picture: VideoFrame | Pixels, ticks: int) -> None:
        """Append a picture, or RGB uint8 [H, W, 3]; `ticks` must rise.

        Raises:
            OutputError: it cannot be written.
        """
        with self._errors():
            shown = self._fitting(picture)
            self._stream = self._stream or self._begin(shown)
            self._first = ticks if self._first is None else self._first
            shown.pts = (ticks - self._first) * self._info.time_base.numerator
            shown.time_base = Fraction(1, self._info.time_base.denominator)
            shown.pict_type = PictureType.NONE
            self._container.mux(self._stream.encode(shown))

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputError: it cannot be written, or there was no picture.
        """
        with self._errors():
            if self._stream is None:
                raise OutputError(f"{self._path}: there is no frame to write")
            self._container.mux(self._stream.encode(None))
            self._container.close()

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
            self._container.close()

    def _fitting(self, picture: VideoFrame | Pixels) -> VideoFrame:
        """Return a picture the encoder takes."""
        if isinstance(picture, np.ndarray):
            return VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=_RGB)
        if keeps(picture):
            return picture
        return VideoFrame.from_ndarray(to_rgb(picture, self._reformatter), format=_RGB)

    def _begin(self, first: VideoFrame) -> av.VideoStream:
        rgb = first.format.name == _RGB
        stream = self._container.add_stream(
            "libx264rgb" if rgb else "libx264", rate=self._info.frame_rate, options=_OPTIONS
        )
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, first.format.name
        stream.time_base = context.time_base = Fraction(1, self._info.time_base.denominator)
        if not rgb:
            context.color_range, context.colorspace = first.color_range, first.colorspace
        context.color_primaries = self._info.colour.primaries
        context.color_trc = self._info.colour.transfer
        if self._info.rotation:
            stream.set_display_rotation(-self._info.rotation)  # FFmpeg counts counter-clockwise
        return stream

    def _errors(self) -> AbstractContextManager[None]:
        return output_errors(lambda: f"{self._path} cannot be written")
