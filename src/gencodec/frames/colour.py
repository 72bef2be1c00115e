"""Samples to RGB and back: which matrix, which range, where chroma sits.

Both directions take the matrix from `yuv_matrix`, so that a video whose tags say nothing keeps its
colours on the way through.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.video.reformatter import Interpolation, VideoReformatter

from gencodec.errors import SourceError
from gencodec.frames.video import FULL_RANGE, IDENTITY_MATRIX, UNKNOWN, Colour, Pixels

HD_LINES = 720

_MATRIX_NAMES = {  # H.273 code -> swscale's name; those that swscale can compute
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
}
_UNCOMPUTABLE = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "YDzDx", 14: "ICtCp"}

_EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_EXACT_NAMES = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


def yuv_matrix(matrix: int, height: int) -> int:
    """Return the H.273 matrix code to compute with; never one that is unknown.

    A matrix that is not told, or that no YUV picture can have (0, RGB), becomes BT.601 (6) below
    720 lines and BT.709 (1) from there up, as most players assume.
    """
    if matrix in _MATRIX_NAMES:
        return matrix
    return 1 if height >= HD_LINES else 6


def colour_of(frame: VideoFrame) -> Colour:
    """Return the colour tags of a decoded frame; codes outside H.273 count as unknown."""
    if _is_rgb(frame):
        matrix, sample_range = IDENTITY_MATRIX, FULL_RANGE
    else:
        # 0 would say that YUV samples are RGB: such tags are wrong, so nothing is known.
        matrix, sample_range = int(frame.colorspace) or UNKNOWN, int(frame.color_range)
    return Colour(
        primaries=_code(frame.color_primaries),
        transfer=_code(frame.color_trc),
        matrix=_code(matrix, reserved=()),
        range=sample_range if sample_range in (0, 1, 2) else 0,
    )


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter) -> Pixels:
    """Convert a decoded frame of any pixel format to uint8 [H, W, 3], full range.

    The frame's own matrix and range are used, and `yuv_matrix` where it tells none; a YUV range
    that is not told is limited. Gray pictures are taken as full range, as FFmpeg makes them.
    Transparency is dropped; more than 8 bits are rounded.

    Raises:
        SourceError: the matrix is one that has no conversion (ICtCp and the like).
    """
    if not _is_rgb(frame):
        if frame.colorspace in _UNCOMPUTABLE:
            raise SourceError(
                f"colour matrix {_UNCOMPUTABLE[frame.colorspace]} is not supported; "
                "convert the video to BT.709 first"
            )
        frame.colorspace = yuv_matrix(frame.colorspace, frame.height)
    converted = reformatter.reformat(frame, format="rgb24", interpolation=_EXACT)
    rgb: Pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
    return rgb


class YuvConverter:
    """The way back: full-range RGB to YUV with left-sited chroma, as H.264 expects it.

    A filter graph rather than a reformatter, because only a graph can say where chroma sits; the
    default of the reformatter lies a quarter of a pixel off what decoders assume.
    """

    def __init__(self, width: int, height: int, *, pixel_format: str, colour: Colour) -> None:
        """Prepare for frames of one size.

        Args:
            width: pixels.
            height: pixels.
            pixel_format: FFmpeg's name of a planar YUV format, such as `yuv420p10le`.
            colour: tags of the video; its matrix is used where it can be.
        """
        self.matrix = yuv_matrix(colour.matrix, height)
        self.full_range = colour.range == FULL_RANGE and colour.matrix != IDENTITY_MATRIX
        graph = Graph()
        nodes = [
            graph.add(
                "buffer",
                f"video_size={width}x{height}:pix_fmt=rgb24:time_base=1/1:colorspace=gbr:range=pc",
            ),
            graph.add(
                "scale",
                f"flags={_EXACT_NAMES}:out_color_matrix={_MATRIX_NAMES[self.matrix]}"
                f":out_range={'pc' if self.full_range else 'tv'}"
                + (":out_chroma_loc=left" if "444" not in pixel_format else ""),
            ),
            graph.add("format", f"pix_fmts={pixel_format}"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        self._graph = graph

    def convert(self, rgb: Pixels) -> VideoFrame:
        """Convert uint8 [H, W, 3] to a frame in the chosen pixel format, without a time."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        self._graph.vpush(frame)
        return self._graph.vpull()


def _is_rgb(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def _code(value: int, *, reserved: tuple[int, ...] = (0, 3)) -> int:
    """Return an H.273 code, or unknown for reserved codes and FFmpeg's own extensions."""
    return int(value) if 0 <= value <= 255 and value not in reserved else UNKNOWN
