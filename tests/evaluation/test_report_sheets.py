"""Sheets and filmstrips: what is drawn, where, and when it is drawn again."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.evaluation import report_sample as sample

from gencodec.errors import SourceError
from gencodec.evaluation.report.moments import moments
from gencodec.evaluation.report.sheets import Sheet, make_sheet
from gencodec.evaluation.report.strips import make_strip, spread
from gencodec.evaluation.results import Clip
from gencodec.frames import Pixels, open_source


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's videos; sheets are added to it."""
    return sample.write_cache(tmp_path_factory.mktemp("report") / "cache")


@pytest.fixture
def videos(cache: Path) -> dict[str, Path]:
    """The source and every codec."""
    return {codec: cache / f"{codec}.mp4" for codec in sample.TINTS}


def tile(sheet: Sheet, frame: Pixels, codec: str) -> Pixels:
    """Cut a codec's picture out of a sheet's frame."""
    x, y = sheet.tiles[codec]
    return frame[y : y + sheet.height, x : x + sheet.width]


def test_every_tile_of_a_sheet_shows_its_video_at_the_same_moment(
    cache: Path, videos: dict[str, Path]
) -> None:
    sheet = make_sheet(sample.clip(), 0.01, videos, cache)
    with open_source(sheet.video) as source:
        frames = list(source.frames())
        times = [frame.ticks * source.info.time_base for frame in frames]
    assert times == [n / sample.RATE for n in range(sample.FRAMES)]
    for number, frame in enumerate(frames):
        for codec in sample.TINTS:
            drawn = tile(sheet, frame.rgb, codec).astype(int)
            assert np.abs(drawn - sample.picture(codec, number)).mean() < 4, (codec, number)


def test_a_ntsc_rate_keeps_its_exact_times(tmp_path: Path) -> None:
    rate = Fraction(30_000, 1001)
    path = sample.write_video(tmp_path / "a.mp4", [sample.picture("source", 0)] * 5, rate)
    clip = sample.clip(frames=5, rate=float(rate))
    sheet = make_sheet(clip, 0.01, {"source": path}, tmp_path)
    with open_source(sheet.video) as source:
        times = [frame.ticks * source.info.time_base for frame in source.frames()]
    assert times == [n / rate for n in range(5)]
    assert sheet.rate == float(rate)


def test_tiles_stand_apart_on_whole_blocks(cache: Path, videos: dict[str, Path]) -> None:
    sheet = make_sheet(sample.clip(), 0.01, videos, cache)
    assert sheet.tiles == {
        "source": (0, 0), "gencodec": (80, 0), "x264": (0, 64), "x265-half": (80, 64)
    }  # fmt: skip


def test_a_sheet_is_drawn_once_and_again_when_a_video_changes(
    cache: Path, videos: dict[str, Path], tmp_path: Path
) -> None:
    first = make_sheet(sample.clip(), 0.01, videos, cache)
    drawn = first.video.stat().st_mtime_ns
    assert make_sheet(sample.clip("other"), 0.02, videos, cache).video == first.video
    assert first.video.stat().st_mtime_ns == drawn
    other = sample.write_video(tmp_path / "x.mp4", [sample.picture("x264", 3)] * sample.FRAMES)
    assert make_sheet(sample.clip(), 0.01, {**videos, "x264": other}, cache).video != first.video


def test_a_turned_clip_is_shown_upright(cache: Path, videos: dict[str, Path]) -> None:
    frames = next(moments(sample.clip(rotation=90), videos))
    assert frames[0].shape == (sample.WIDTH, sample.HEIGHT, 3)
    with open_source(videos["source"]) as source:
        stored = [frame.rgb for frame in source.frames()]
    turned = [each[0] for each in moments(sample.clip(rotation=90), videos)]
    assert (turned[8][:, -1] == stored[8][0]).all()  # clockwise: the first row is the last column


def test_a_clip_larger_than_browsers_play_is_shrunk_and_says_so(tmp_path: Path) -> None:
    width, height = 4224, 32
    wide = sample.write_video(
        tmp_path / "wide.mp4", [sample.picture("source", n, width, height) for n in range(2)]
    )
    clip = sample.clip(width=width, height=height, frames=2)
    sheet = make_sheet(clip, 0.01, {"source": wide, "x264": wide}, tmp_path)
    assert (sheet.shrunk, sheet.width, sheet.height) == (2, 2112, 16)
    assert sheet.description()["shrunk"] == 2


@pytest.mark.parametrize(
    ("clip", "what"),
    [
        (sample.clip(frames=sample.FRAMES + 1), "ends after 16 of 17 frames"),
        (sample.clip(width=66), "is 64x48, but walk is 66x48"),
    ],
)
def test_a_video_that_is_not_of_its_clip_is_refused(
    clip: Clip, what: str, cache: Path, videos: dict[str, Path]
) -> None:
    with pytest.raises(SourceError, match=what):
        make_sheet(clip, 0.01, videos, cache)


def test_a_filmstrip_has_a_row_of_frames_for_every_video(videos: dict[str, Path]) -> None:
    strip = make_strip(sample.clip(), 0.01, videos)
    assert strip.frames == (1, 4, 8, 11, 14)
    assert list(strip.rows) == list(videos)
    for codec, data in strip.rows.items():
        row = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
        assert row.shape == (sample.HEIGHT, 5 * sample.WIDTH, 3)
        wanted = np.concatenate([sample.picture(codec, n) for n in strip.frames], axis=1)
        assert np.abs(row - wanted).mean() < 6


def test_frames_of_a_strip_are_spread_evenly_and_only_once() -> None:
    assert spread(64, 5) == (6, 19, 32, 44, 57)
    assert spread(2, 5) == (0, 1)
