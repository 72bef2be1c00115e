"""Pictures as a peer gets them and gives them back: 4:2:0 of even size, whole or half.

Pictures that are 4:2:0 already reach the encoder untouched; others go through RGB. Odd sides repeat
their last line. A peer's pictures become RGB exactly as those of any video, by the matrix and range
of the source, whatever the stream says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from gencodec.frames import Pixels, VideoInfo, open_source, yuv_matrix
from gencodec.frames.colour import YuvConverter, to_rgb
from gencodec.frames.video import FULL_RANGE, IDENTITY_MATRIX, LIMITED_RANGE

_FORMATS = {8: "yuv420p", 10: "yuv420p10le"}
_LANCZOS = (
    Interpolation.LANCZOS
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How the pictures of a video are coded by a peer.

    Attributes:
        width, height: of the video.
        scale: 1, or 2 for half size.
        depth: bits of a coded sample, 8 or 10.
        matrix, range: H.273 codes of the coded samples.
    """

    width: int
    height: int
    scale: int
    depth: int
    matrix: int
    range: int

    @classmethod
    def of(cls, info: VideoInfo, *, half: bool, depths: tuple[int, ...]) -> Geometry:
        """Return how a video is coded: deeper than 8 bits only if it is and the encoder can."""
        full = info.colour.range == FULL_RANGE and info.colour.matrix != IDENTITY_MATRIX
        deep = 10 in depths and (info.bit_depth > 8 or 8 not in depths)
        return cls(
            width=info.width,
            height=info.height,
            scale=2 if half else 1,
            depth=10 if deep else 8,
            matrix=yuv_matrix(info.colour.matrix, info.height),
            range=FULL_RANGE if full else LIMITED_RANGE,
        )

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the coded pixel format."""
        return _FORMATS[self.depth]

    @property
    def padded(self) -> tuple[int, int]:
        """Width and height that divide by 2 once more than by `scale`."""
        unit = 2 * self.scale
        return -(-self.width // unit) * unit, -(-self.height // unit) * unit

    @property
    def coded(self) -> tuple[int, int]:
        """Width and height of the coded pictures."""
        width, height = self.padded
        return width // self.scale, height // self.scale


def coded_pictures(source: Path, geometry: Geometry) -> Iterator[VideoFrame]:
    """Yield the pictures of a video as they are coded, without times."""
    reformatter = VideoReformatter()
    with open_source(source) as video:
        converter = YuvConverter(
            geometry.width, geometry.height, pixel_format=_FORMATS[8], colour=video.info.colour
        )
        for picture, _ in video.pictures():
            shown = picture
            if picture.format.name not in _FORMATS.values():
                shown = converter.convert(to_rgb(picture, reformatter))
            width, height = geometry.coded
            yield reformatter.reformat(
                _padded(shown, geometry),
                width=width,
                height=height,
                format=geometry.pixel_format,
                interpolation=_LANCZOS,
            )


def shown_picture(coded: VideoFrame, geometry: Geometry, reformatter: VideoReformatter) -> Pixels:
    """Return a decoded picture as RGB uint8 [H, W, 3] of the video's size."""
    coded.colorspace, coded.color_range = geometry.matrix, geometry.range
    if geometry.scale == 1:
        rgb = to_rgb(coded, reformatter)
    else:
        width, height = geometry.padded
        larger = reformatter.reformat(
            coded, width=width, height=height, format="rgb24", interpolation=_LANCZOS
        )
        rgb = np.asarray(larger.to_ndarray(), dtype=np.uint8)
    return np.ascontiguousarray(rgb[: geometry.height, : geometry.width])


def _padded(picture: VideoFrame, geometry: Geometry) -> VideoFrame:
    """Return a 4:2:0 picture as large as `Geometry.padded` says, its edge repeated."""
    width, height = geometry.padded
    if (picture.width, picture.height) == (width, height):
        return picture
    sample = np.dtype(np.uint16 if picture.format.name == _FORMATS[10] else np.uint8)
    larger = VideoFrame(width, height, picture.format.name)
    for source, target in zip(picture.planes, larger.planes, strict=True):
        rows = np.frombuffer(memoryview(source), sample).reshape(source.height, -1)
        right, bottom = target.width - source.width, target.height - source.height
        room = np.zeros((target.height, target.line_size // sample.itemsize), sample)
        room[:, : target.width] = np.pad(
            rows[:, : source.width], ((0, bottom), (0, right)), mode="edge"
        )
        target.update(room.tobytes())
    larger.colorspace, larger.color_range = picture.colorspace, picture.color_range
    return larger
