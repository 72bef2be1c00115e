"""Pictures -> an mp4 that every browser plays, and that is stepped through picture by picture."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from gencodec.frames.colour import YuvConverter
from gencodec.frames.ffmpeg import output_errors
from gencodec.frames.video import LIMITED_RANGE, Colour, Pixels

_BT709 = 1  # H.273 code of primaries, transfer and matrix
_COLOUR = Colour(primaries=_BT709, transfer=_BT709, matrix=_BT709, range=LIMITED_RANGE)
_OPTIONS = {
    "crf": "16",  # the eye does not tell it from its input
    "preset": "fast",
    "bf": "0",  # frames come in the order of their times: seeking is exact everywhere
    "g": "12",  # the longest way to a frame that is stepped back to
}


def write_film(
    path: Path, pictures: Iterable[Pixels], size: tuple[int, int], rate: Fraction
) -> None:
    """Write pictures at a constant rate, H.264 4:2:0 in BT.709; what stands there is overwritten.

    Args:
        path: an .mp4.
        pictures: uint8 [H, W, 3].
        size: (W, H) of all pictures, even.
        rate: pictures a second; picture n is shown at exactly n / rate.

    Raises:
        OutputError: the file cannot be written.
    """
    converter = YuvConverter(*size, pixel_format="yuv420p", colour=_COLOUR)
    with (
        output_errors(lambda: f"{path} cannot be written"),
        av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = 1 / rate
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = LIMITED_RANGE
        for number, rgb in enumerate(pictures):
            picture = converter.convert(rgb)
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
