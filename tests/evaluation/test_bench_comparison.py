"""What follows from points: BD-rates with what must be said of them, and speeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gencodec.evaluation.comparison import bd_rates, speeds
from gencodec.evaluation.results import (
    BdRate,
    Clip,
    CodecInfo,
    MetricInfo,
    Point,
    PointScore,
    Results,
)

_CLIPS = ("a", "b")
_ABOUT = Results(
    gencodec="0.1.0",
    metrics=(
        MetricInfo(name="psnr_y", label="PSNR-Y", higher_is_better=True),
        MetricInfo(name="lpips_vgg", label="LPIPS", higher_is_better=False),
        MetricInfo(name="band_ratio_0", label="fine detail"),
    ),
    clips=tuple(
        Clip(name=name, width=64, height=50, frames=10, rate=25.0, duration=0.4) for name in _CLIPS
    ),
    codecs=(
        CodecInfo(name="gencodec", label="gencodec", peer=False),
        CodecInfo(name="gencodec:base", label="gencodec, base", peer=False),
        CodecInfo(name="x264", label="x264", peer=True),
    ),
)


def _curve(codec: str, clip: str, *, bytes_share: float = 1, shift: float = 0) -> Iterator[Point]:
    """Yield three points, with a share of the bytes or with better pictures than others."""
    for bpp, quality in ((0.05, 32.0), (0.02, 29.0), (0.01, 26.0)):
        values = {
            "psnr_y": quality + shift,
            "lpips_vgg": (40 - quality - shift) / 100,
            "band_ratio_0": 0.5,
        }
        yield Point(
            clip=clip,
            codec=codec,
            target_bpp=bpp,
            bpp=bpp * bytes_share,
            encode_seconds=2.0,
            decode_seconds=0.5,
            encode_peak_bytes=round(1000 * quality),
            scores={
                name: PointScore(mean=value, worst=value, worst_frame=0, worst_time=0.0)
                for name, value in values.items()
            },
        )


def _failed(codec: str, clip: str) -> Iterator[Point]:
    for bpp in (0.05, 0.02, 0.01):
        yield Point(clip=clip, codec=codec, target_bpp=bpp, error="it crashed")


def _found(points: list[Point]) -> dict[tuple[str, str, str, str | None], BdRate]:
    return {
        (each.codec, each.anchor, each.metric, each.clip): each for each in bd_rates(points, _ABOUT)
    }


@pytest.fixture
def points() -> list[Point]:
    """The row named gencodec has half the bytes of x264 everywhere, base the same as x264."""
    return [
        point
        for clip in _CLIPS
        for codec, share in (("gencodec", 0.5), ("gencodec:base", 1.0), ("x264", 1.0))
        for point in _curve(codec, clip, bytes_share=share)
    ]


def test_rows_are_compared_with_peers_and_earlier_rows_by_metrics_with_a_direction(
    points: list[Point],
) -> None:
    found = _found(points)
    assert {key[:3] for key in found} == {
        (codec, anchor, metric)
        for codec, anchor in (
            ("gencodec", "x264"), ("gencodec:base", "x264"), ("gencodec:base", "gencodec"),
        )
        for metric in ("psnr_y", "lpips_vgg")
    }  # fmt: skip
    for metric in ("psnr_y", "lpips_vgg"):
        for clip in (*_CLIPS, None):
            assert found["gencodec", "x264", metric, clip].percent == pytest.approx(-50)
            assert found["gencodec:base", "gencodec", metric, clip].percent == pytest.approx(100)
            assert found["gencodec", "x264", metric, clip].reason == ""


def test_where_curves_do_not_meet_it_is_said_and_the_mean_leaves_the_clip_out(
    points: list[Point],
) -> None:
    points = [p for p in points if (p.codec, p.clip) != ("gencodec", "b")]
    found = _found([*points, *_curve("gencodec", "b", shift=20)])
    apart, mean = (found["gencodec", "x264", "psnr_y", clip] for clip in ("b", None))
    assert (apart.percent, apart.range) == (None, None)
    assert apart.reason == "no overlap: the codec is better at every rate measured"
    assert mean.percent == pytest.approx(-50)
    assert mean.reason == "1 of 2 clips"


def test_a_mean_of_no_clip_says_why(points: list[Point]) -> None:
    points = [point for point in points if point.codec != "gencodec"]
    for clip in _CLIPS:
        points += _curve("gencodec", clip, shift=-20)
    mean = _found(points)["gencodec", "x264", "lpips_vgg", None]
    assert mean.percent is None
    assert mean.reason == "no overlap: the codec is worse at every rate measured"


def test_a_codec_that_failed_has_no_number_and_changes_no_other(points: list[Point]) -> None:
    before = _found(points)
    points = [point for point in points if point.codec != "x264"]
    for clip in _CLIPS:
        points += _failed("x264", clip)
    found = _found(points)
    assert found["gencodec", "x264", "psnr_y", "a"].percent is None
    assert found["gencodec", "x264", "psnr_y", "a"].reason == "the anchor has 0 of 2 points"
    key = ("gencodec:base", "gencodec", "psnr_y", "a")
    assert found[key] == before[key]


def test_speed_counts_what_worked(points: list[Point]) -> None:
    points = [p for p in points if p.codec != "x264" and (p.codec, p.clip) != ("gencodec", "b")]
    points += [*_failed("gencodec", "b"), *_failed("x264", "a"), *_failed("x264", "b")]
    row, base, peer = speeds(points, _ABOUT)
    assert (row.points, base.points, peer.points) == (3, 6, 0)
    assert row.encode_frames_per_second == pytest.approx(30 / 6)
    assert row.decode_megapixels_per_second == pytest.approx(30 * 64 * 50 / 1e6 / 1.5)
    assert row.encode_peak_bytes == 32_000
    assert (peer.encode_frames_per_second, peer.encode_peak_bytes) == (None, None)
