"""Outputs without times, rotation and sound: a y4m stream, and a folder of pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from av import VideoFrame
from av.video.codeccontext import VideoCodecContext

from gencodec.carried import Track
from gencodec.errors import OutputError
from gencodec.frames.colour import YuvConverter
from gencodec.frames.frame_sink import FrameSink
from gencodec.frames.video import IDENTITY_MATRIX, Frame, VideoInfo


def unheld(tracks: Sequence[Track], where: str) -> list[str]:
    """Return what to say of tracks that an output cannot hold."""
    return [f"{each.name} is not written: {where}" for each in tracks]


_Y4M_TAGS = {
    "yuv420p": "C420mpeg2",
    "yuv422p": "C422",
    "yuv444p": "C444",
    "yuv420p10le": "C420p10 XYSCSS=420P10",
    "yuv422p10le": "C422p10 XYSCSS=422P10",
    "yuv444p10le": "C444p10 XYSCSS=444P10",
}


class Y4mSink(FrameSink):
    """Uncompressed planes. Source: yuv4mpeg(5); ten bits and `XCOLORRANGE` as FFmpeg has them."""

    def __init__(
        self,
        path: str | Path,
        info: VideoInfo,
        *,
        pixel_format: str = "yuv420p",
        tracks: Sequence[Track] = (),
    ) -> None:
        self.lost = unheld(tracks, "y4m has no sound and no subtitles")
        self._name = "standard output" if str(path) == "-" else str(path)
        self._shape = (info.height, info.width, 3)
        self._turns = _upright_turns(info)
        width, height, aspect = _upright_geometry(info)
        colour = info.colour
        self._converter = YuvConverter(width, height, pixel_format=pixel_format, colour=colour)
        self._sample_bytes = 2 if pixel_format.endswith("10le") else 1
        tags = [
            f"YUV4MPEG2 W{width} H{height}",
            f"F{info.frame_rate.numerator}:{info.frame_rate.denominator}",
            f"Ip A{aspect.numerator}:{aspect.denominator if aspect else 0}",
            _Y4M_TAGS[pixel_format],
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
        """Append a frame."""
        rgb = np.rot90(self._checked(frame), self._turns)
        with self._writing():
            picture = self._converter.convert(rgb)
            self._file.write(b"FRAME\n")
            for plane in picture.planes:
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(
                    plane.height, plane.line_size
                )
                self._file.write(rows[:, : plane.width * self._sample_bytes].tobytes())

    def close(self) -> None:
        """Finish the stream."""
        with self._writing():
            if self._own:
                self._file.close()
            else:
                self._file.flush()

    def abandon(self) -> None:
        """Release the stream."""
        if self._own:
            with suppress(OutputError, BrokenPipeError), self._writing():
                self._file.close()


class PngSink(FrameSink):
    """`frame_000001.png` and so on, exact RGB, in a folder that holds nothing else."""

    def __init__(self, folder: Path, info: VideoInfo, *, tracks: Sequence[Track] = ()) -> None:
        self.lost = unheld(tracks, "pictures have no sound and no subtitles")
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
        """Append a frame."""
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
