"""What is written can be read again: times, size, orientation, colours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gencodec.carried import About
from gencodec.errors import OutputError, UsageError
from gencodec.frames import Colour, Frame, VideoInfo, open_sink, open_source
from gencodec.frames.colour import YuvConverter
from gencodec.frames.sink import PIXEL_FORMATS
from gencodec.output import Kind, sink_kind

Draw = Callable[..., NDArray[np.uint8]]


def _info(width: int = 48, height: int = 32, **rest: object) -> VideoInfo:
    known = {"time_base": Fraction(1, 25), "frame_rate": Fraction(25), **rest}
    return VideoInfo(width=width, height=height, **known)  # type: ignore[arg-type]


def _write(
    path: Path | str, info: VideoInfo, pictures: Sequence[NDArray[np.uint8]], ticks: Sequence[int],
    *, last: int = 0, kind: Kind | None = None,
) -> None:  # fmt: skip
    with open_sink(path, info, kind=kind) as sink:
        for index, (rgb, time) in enumerate(zip(pictures, ticks, strict=True)):
            ends = index == len(ticks) - 1
            sink.write(Frame(rgb=rgb, ticks=time, duration=last if ends else 0))


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


COLOURS = [
    Colour(),
    Colour(primaries=1, transfer=1, matrix=1, range=1),
    Colour(primaries=6, transfer=6, matrix=6, range=1),
    Colour(primaries=9, transfer=16, matrix=9, range=1),
    Colour(primaries=5, transfer=6, matrix=5, range=2),
    Colour(matrix=7, range=1),
]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("colour", COLOURS)
def test_colours_and_their_tags_survive(
    tmp_path: Path, picture: Draw, suffix: str, colour: Colour
) -> None:
    path, info = tmp_path / f"a.{suffix}", _info(colour=colour)
    pictures = [picture(48, 32, at) for at in range(5)]
    _write(path, info, pictures, range(5))
    with open_source(path) as source:
        assert source.info.colour == colour
        for before, after in zip(pictures, source.frames(), strict=True):
            assert _psnr(before, after.rgb) > 32
            assert np.abs(before.mean((0, 1)) - after.rgb.mean((0, 1))).max() < 1.5


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_and_aspect_survive(
    tmp_path: Path, picture: Draw, suffix: str, rotation: int
) -> None:
    info = _info(rotation=rotation, sample_aspect=Fraction(12, 11))
    path = tmp_path / f"a.{suffix}"
    _write(path, info, [picture(48, 32)] * 3, range(3))
    with open_source(path) as source:
        assert (source.info.rotation, source.info.sample_aspect) == (rotation, Fraction(12, 11))
        assert (source.info.width, source.info.height) == (48, 32)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "y4m"])
@pytest.mark.parametrize("size", [(1, 1), (16, 9), (17, 16), (63, 33)])
def test_odd_sizes_are_kept(
    tmp_path: Path, picture: Draw, suffix: str, size: tuple[int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    _write(path, _info(*size), [picture(*size, at) for at in range(3)], range(3))
    with open_source(path) as source:
        frames = list(source.frames())
    assert [frame.rgb.shape for frame in frames] == [(size[1], size[0], 3)] * 3
    assert _psnr(frames[2].rgb, picture(*size, 2)) > 25


@pytest.mark.parametrize(
    "time_base",
    [Fraction(1, 30), Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1200000),
     Fraction(1001, 24000), Fraction(3, 100), Fraction(1, 1000)],
)  # fmt: skip
@given(start=st.integers(0, 5000), steps=st.lists(st.integers(1, 900), min_size=1, max_size=6))
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_mp4_keeps_every_time_and_the_duration(
    tmp_path: Path, time_base: Fraction, start: int, steps: list[int]
) -> None:
    ticks = [start + sum(steps[:i]) for i in range(len(steps))]
    path = tmp_path / "a.mp4"
    info = _info(16, 16, time_base=time_base)
    _write(path, info, [np.zeros((16, 16, 3), np.uint8)] * len(ticks), ticks, last=steps[-1])
    with open_source(path) as source:
        frames = list(source.frames())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == sum(steps) * time_base
    found = [frame.ticks * source.info.time_base for frame in frames]
    assert found == [t * time_base for t in ticks]
    assert frames[-1].duration * source.info.time_base == steps[-1] * time_base


def test_mkv_times_are_right_to_the_millisecond_and_distinct(tmp_path: Path) -> None:
    ticks = [0, 10, 20, 3003, 90000]
    path = tmp_path / "a.mkv"
    info = _info(16, 16, time_base=Fraction(1, 90000))
    _write(path, info, [np.zeros((16, 16, 3), np.uint8)] * 5, ticks, last=9000)
    with open_source(path) as source:
        assert [frame.ticks for frame in source.frames()] == [0, 1, 2, 33, 1000]


def test_the_last_frame_lasts_one_nominal_frame_when_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    info = _info(16, 16, time_base=Fraction(1, 1000), frame_rate=Fraction(20))
    _write(path, info, [np.zeros((16, 16, 3), np.uint8)] * 2, [0, 300])
    with av.open(str(path)) as container:
        assert container.streams.video[0].duration == 350


def test_a_start_before_zero_is_moved_to_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    _write(path, _info(16, 16), [np.zeros((16, 16, 3), np.uint8)] * 4, [-3, -2, 0, 1])
    with open_source(path) as source:
        seconds = [frame.ticks * source.info.time_base for frame in source.frames()]
    assert seconds == [0, Fraction(1, 25), Fraction(3, 25), Fraction(4, 25)]


def test_tags_and_frame_rate_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    info = _info(16, 16, time_base=Fraction(1001, 30000), frame_rate=Fraction(30000, 1001))
    with open_sink(path, info, about=About(tags={"comment": "generated detail"})) as sink:
        for time in range(4):
            sink.write(Frame(rgb=np.zeros((16, 16, 3), np.uint8), ticks=time))
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "generated detail"
    with open_source(path) as source:
        assert source.info.frame_rate == Fraction(30000, 1001)
        assert source.info.frame_count == 4


def test_an_rgb_source_becomes_tagged_yuv(tmp_path: Path, picture: Draw) -> None:
    path = tmp_path / "a.mp4"
    info = _info(colour=Colour(matrix=0, range=2))
    _write(path, info, [picture(48, 32)], [0])
    with open_source(path) as source:
        assert source.info.colour == Colour(matrix=6, range=1)
        assert _psnr(next(source.frames()).rgb, picture(48, 32)) > 32


def test_y4m_tells_size_rate_aspect_and_range(tmp_path: Path, picture: Draw) -> None:
    path = tmp_path / "a.y4m"
    info = _info(
        frame_rate=Fraction(24000, 1001), sample_aspect=Fraction(4, 3), colour=Colour(range=2)
    )
    _write(path, info, [picture(48, 32, at) for at in range(3)], range(3))
    header = path.read_bytes().split(b"\n")[0]
    assert header == b"YUV4MPEG2 W48 H32 F24000:1001 Ip A4:3 C420mpeg2 XCOLORRANGE=FULL"
    assert path.stat().st_size == len(header) + 1 + 3 * (6 + 48 * 32 * 3 // 2)
    with open_source(path) as source:
        assert source.info.frame_rate == Fraction(24000, 1001)
        assert source.info.sample_aspect == Fraction(4, 3)
        assert source.info.colour == Colour(range=2)
        assert _psnr(list(source.frames())[2].rgb, picture(48, 32, 2)) > 32


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("rotation", [0, 90])
def test_y4m_holds_every_pixel_format(
    tmp_path: Path, picture: Draw, pixel_format: str, rotation: int
) -> None:
    """FFmpeg reads the samples that the converter made, at a size that is odd."""
    path, rgb = tmp_path / "a.y4m", picture(47, 33, 5)
    info = VideoInfo(
        width=47,
        height=33,
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        rotation=rotation,
        colour=Colour(matrix=1, range=1),
    )
    with open_sink(path, info, pixel_format=pixel_format) as sink:
        for tick in range(2):
            sink.write(Frame(rgb=rgb, ticks=tick))
    upright = np.ascontiguousarray(np.rot90(rgb, -rotation // 90))
    converter = YuvConverter(
        upright.shape[1], upright.shape[0], pixel_format=pixel_format, colour=info.colour
    )
    expected = converter.convert(upright)
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    assert [frame.format.name for frame in shown] == [pixel_format] * 2
    for frame in shown:
        assert _samples(frame) == _samples(expected)


def _samples(frame: av.VideoFrame) -> list[bytes]:
    """The bytes of all planes without what fills their lines up."""
    size = 2 if "10" in frame.format.name else 1
    return [
        np.frombuffer(memoryview(plane), np.uint8)
        .reshape(plane.height, plane.line_size)[:, : size * plane.width]
        .tobytes()
        for plane in frame.planes
    ]


def test_y4m_and_png_are_turned_upright(tmp_path: Path) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24] = 200  # top left as stored; turned by 90 degrees clockwise: top right
    info = _info(rotation=90, sample_aspect=Fraction(2))
    for path in (tmp_path / "a.y4m", tmp_path / "pictures"):
        _write(path, info, [stored], [0])
        shown = path / "frame_000001.png" if path.is_dir() else path
        with open_source(shown) as source:
            assert (source.info.width, source.info.height) == (32, 48)
            assert source.info.sample_aspect == Fraction(1, 2)
            rgb = next(source.frames()).rgb
        assert rgb[:22, 18:].min() > 150
        assert rgb[:, :14].max() < 50


def test_png_pictures_are_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (33, 47, 3), dtype=np.uint8) for _ in range(3)]
    folder = tmp_path / "pictures"
    _write(f"{folder}/", _info(47, 33), pictures, range(3))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["frame_000001.png", "frame_000002.png", "frame_000003.png"]
    for name, rgb in zip(names, pictures, strict=True):
        with open_source(folder / name) as source:
            assert (next(source.frames()).rgb == rgb).all()


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.png").touch()
    with pytest.raises(OutputError, match="is not empty"):
        open_sink(tmp_path, _info())


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a.mp4", "mp4"), ("a.MOV", "mov"), ("x/a.mkv", "mkv"), ("a.y4m", "y4m"), ("-", "y4m"),
     ("pictures", "png"), ("v1.5/", "png")],
)  # fmt: skip
def test_the_path_says_what_is_written(path: str, kind: str) -> None:
    assert sink_kind(path) == kind


def test_an_unknown_suffix_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"\.avi files; use \.mp4"):
        sink_kind("a.avi")


@pytest.mark.parametrize("suffix", ["mp4", "y4m"])
def test_a_folder_that_does_not_exist_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match="no such file or directory"):
        open_sink(tmp_path / "nowhere" / f"a.{suffix}", _info())


def test_no_frame_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"), open_sink(tmp_path / "a.mp4", _info()):
        pass


@pytest.mark.parametrize("shape", [(32, 47, 3), (32, 48), (1, 32, 48, 3)])
def test_a_frame_of_another_shape_is_a_mistake(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with (
        pytest.raises(ValueError, match="must be uint8"),
        open_sink(tmp_path / "a.mp4", _info()) as sink,
    ):
        sink.write(Frame(rgb=np.zeros(shape, np.uint8), ticks=0))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("kind", ["mkv", "y4m"])
def test_a_full_disk_is_an_output_error(picture: Draw, kind: Kind) -> None:
    with pytest.raises(OutputError, match="no space left on device"):
        _write("/dev/full", _info(), [picture(48, 32)] * 4, range(4), kind=kind)


WRITE_TO_STDOUT = """
from fractions import Fraction
import numpy as np
from gencodec.frames import Frame, VideoInfo, open_sink
info = VideoInfo(width=64, height=64, time_base=Fraction(1, 25), frame_rate=Fraction(25))
try:
    with open_sink("-", info) as sink:
        for time in range({count}):
            sink.write(Frame(rgb=np.full((64, 64, 3), 128, np.uint8), ticks=time))
except BrokenPipeError:
    import os
    os._exit(41)
"""


def test_standard_output_carries_y4m() -> None:
    command = [sys.executable, "-c", WRITE_TO_STDOUT.format(count=3)]
    result = subprocess.run(command, capture_output=True, check=True)
    assert result.stdout.startswith(b"YUV4MPEG2 W64 H64 F25:1 Ip A0:0 C420mpeg2\nFRAME\n")
    assert len(result.stdout) == 42 + 3 * (6 + 64 * 64 * 3 // 2)


def test_a_reader_that_goes_away_is_a_broken_pipe() -> None:
    command = [sys.executable, "-c", WRITE_TO_STDOUT.format(count=1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout is not None
        writer.stdout.read(1000)
        writer.stdout.close()
        assert writer.wait(20) == 41
