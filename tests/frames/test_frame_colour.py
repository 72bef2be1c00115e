"""Known samples become known colours, in both directions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from gencodec.errors import SourceError
from gencodec.frames.colour import YuvConverter, colour_of, to_rgb, yuv_matrix
from gencodec.frames.video import Colour

# H.273 code: (Kr, Kb), from its table 4
WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
SAMPLES = (90, 110, 180)


def _flat(samples: tuple[int, ...], pixel_format: str, height: int = 16) -> VideoFrame:
    frame = VideoFrame(16, height, pixel_format)
    for plane, value in zip(frame.planes, samples, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def _rgb_by_definition(matrix: int, *, full: bool) -> list[float]:
    """Source: ITU-T H.273, equations 20 to 43."""
    kr, kb = WEIGHTS[matrix]
    y, u, v = SAMPLES
    luma = y / 255 if full else (y - 16) / 219
    cb, cr = ((each - 128) / (255 if full else 224) for each in (u, v))
    red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return [255 * each for each in (red, green, blue)]


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("sample_range", [0, 1, 2])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_the_tagged_matrix_and_range_decide(
    matrix: int, sample_range: int, pixel_format: str
) -> None:
    frame = _flat(SAMPLES, pixel_format)
    frame.colorspace, frame.color_range = matrix, sample_range
    rgb = to_rgb(frame, VideoReformatter())
    assert rgb.shape == (16, 16, 3)
    expected = _rgb_by_definition(matrix, full=sample_range == 2)
    np.testing.assert_allclose(rgb[8, 8], expected, atol=0.75)


@pytest.mark.parametrize(("height", "matrix"), [(16, 6), (718, 6), (720, 1), (1080, 1)])
def test_an_unknown_matrix_follows_the_number_of_lines(height: int, matrix: int) -> None:
    assert yuv_matrix(2, height) == matrix
    rgb = to_rgb(_flat(SAMPLES, "yuv420p", height), VideoReformatter())
    np.testing.assert_allclose(rgb[8, 8], _rgb_by_definition(matrix, full=False), atol=0.75)


@pytest.mark.parametrize("matrix", [8, 10, 11, 14])
def test_a_matrix_without_conversion_is_named(matrix: int) -> None:
    frame = _flat(SAMPLES, "yuv420p")
    frame.colorspace = matrix
    with pytest.raises(SourceError, match="is not supported"):
        to_rgb(frame, VideoReformatter())


@pytest.mark.parametrize("matrix", [*WEIGHTS, 2, 0, 14])
@pytest.mark.parametrize("sample_range", [0, 1, 2])
def test_there_and_back_keeps_every_colour(
    matrix: int, sample_range: int, picture: Callable[..., NDArray[np.uint8]]
) -> None:
    rgb = picture(63, 47)
    colour = Colour(matrix=matrix, range=sample_range)
    frame = YuvConverter(63, 47, pixel_format="yuv444p", colour=colour).convert(rgb)
    if matrix == 2:
        frame.colorspace = 2  # the reader has to guess as the writer did
    assert np.abs(to_rgb(frame, VideoReformatter()).astype(int) - rgb).max() <= 3


def test_chroma_sits_where_h264_says() -> None:
    ramp = np.zeros((16, 32, 3), np.uint8)
    ramp[..., 0] = 8 * np.arange(32)
    frame = YuvConverter(32, 16, pixel_format="yuv420p", colour=Colour(matrix=1, range=1)).convert(
        ramp
    )
    red = np.frombuffer(bytes(frame.planes[2]), np.uint8)[2:14]
    left_sited = 128 + 112 * 8 * 2 * np.arange(2, 14) / 255
    np.testing.assert_allclose(red, left_sited, atol=1)


def test_tags_are_read_as_they_are() -> None:
    frame = _flat(SAMPLES, "yuv420p")
    assert colour_of(frame) == Colour()
    frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = 9, 16, 9, 1
    assert colour_of(frame) == Colour(primaries=9, transfer=16, matrix=9, range=1)


def test_rgb_is_the_identity_matrix_at_full_range() -> None:
    frame = VideoFrame(16, 16, "rgb24")
    assert colour_of(frame) == Colour(matrix=0, range=2)


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "rgb24", "bgra", "gbrp10le"])
def test_gray_and_rgb_pass_unchanged(pixel_format: str) -> None:
    rgb = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 16, 0).repeat(3, 2)
    frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    assert np.abs(to_rgb(frame, VideoReformatter()).astype(int) - rgb).max() <= 1
