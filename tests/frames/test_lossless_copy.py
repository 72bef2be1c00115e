from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray
from tests import tiny
from tests.frames.conftest import MakeVideo

from gencodec.errors import OutputError
from gencodec.frames import Colour, VideoInfo, open_source
from gencodec.frames.lossless import LosslessSink

Draw = Callable[..., NDArray[np.uint8]]


def _copy(source: Path, target: Path) -> None:
    with open_source(source) as video, LosslessSink(target, video.info) as sink:
        for picture, ticks in video.pictures():
            sink.write(picture, ticks)


def _frames(path: Path) -> tuple[VideoInfo, list[tuple[NDArray[np.uint8], Fraction]]]:
    with open_source(path) as video:
        frames = list(video.frames())
        zero = frames[0].ticks
        return video.info, [(f.rgb, (f.ticks - zero) * video.info.time_base) for f in frames]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p"])
def test_samples_and_times_are_kept(
    make_video: MakeVideo, picture: Draw, tmp_path: Path, pixel_format: str
) -> None:
    frames = [
        VideoFrame.from_ndarray(picture(64, 48, at), "rgb24").reformat(format=pixel_format)
        for at in range(4)
    ]
    source = make_video("source.mkv", frames, ticks=[0, 3, 4, 9])
    _copy(source, tmp_path / "copy.mov")

    with open_source(source) as video, open_source(tmp_path / "copy.mov") as copy:
        for (a, b), (c, d) in zip(video.pictures(), copy.pictures(), strict=True):
            np.testing.assert_array_equal(a.to_ndarray(), c.to_ndarray())
            assert b * video.info.time_base == d * copy.info.time_base
        assert copy.info.bit_depth == video.info.bit_depth


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format", "width", "height"),
    [("ffv1", "in.mkv", "yuv420p", 33, 17), ("ffvhuff", "in.nut", "bgra", 64, 48)],
)
def test_what_h264_cannot_say_is_kept_as_it_is_shown(
    make_video: MakeVideo,
    picture: Draw,
    tmp_path: Path,
    codec: str,
    name: str,
    pixel_format: str,
    width: int,
    height: int,
) -> None:
    frames = [
        VideoFrame.from_ndarray(picture(width, height, at), "rgb24").reformat(format=pixel_format)
        for at in range(3)
    ]
    source = make_video(name, frames, codec=codec)
    _copy(source, tmp_path / "copy.mov")

    (_, wanted), (_, found) = _frames(source), _frames(tmp_path / "copy.mov")

    for (a, before), (b, after) in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)
        assert before == after


def test_rotation_and_colour_tags_are_kept(tmp_path: Path) -> None:
    colour = Colour(primaries=1, transfer=1, matrix=1, range=1)
    source = tiny.write_clip(tmp_path / "in.mp4", tiny.clip(64, 48, 3), rotation=90, colour=colour)
    _copy(source, tmp_path / "copy.mov")
    info, _ = _frames(tmp_path / "copy.mov")
    assert info.rotation == 90
    assert info.colour == colour


def test_rgb_arrays_come_back_exactly(tmp_path: Path) -> None:
    pictures = tiny.clip(33, 17, 3)
    with LosslessSink(tmp_path / "out.mov", tiny.video_info(33, 17)) as sink:
        for ticks, rgb in enumerate(pictures, start=5):
            sink.write(rgb, ticks)
    _, found = _frames(tmp_path / "out.mov")
    for wanted, (rgb, _) in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(rgb, wanted)


def test_a_copy_without_frames_or_without_a_folder_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no frame"),
        LosslessSink(tmp_path / "out.mov", tiny.video_info(64, 48)),
    ):
        pass
    with (
        pytest.raises(OutputError, match="cannot be written"),
        LosslessSink(tmp_path / "missing" / "out.mov", tiny.video_info(64, 48)) as sink,
    ):
        sink.write(tiny.picture(64, 48, 0), 0)
