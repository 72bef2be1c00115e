from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import quick

from gencodec.evaluation.results import (
    Clip,
    CodecInfo,
    MetricInfo,
    Point,
    PointScore,
    Results,
    Speed,
)


def _points(shift: float, codec: str = "gencodec") -> tuple[Point, ...]:
    def score(value: float) -> PointScore:
        return PointScore(mean=value, worst=value, worst_frame=0, worst_time=0.0)

    return tuple(
        Point(
            clip="a",
            codec=codec,
            target_bpp=bpp,
            bpp=bpp,
            scores={"psnr_y": score(psnr + shift), "band_ratio_0": score(0.5 + 0.1 * shift)},
        )
        for bpp, psnr in ((0.05, 32.0), (0.02, 29.0), (0.01, 26.0))
    )


_BEFORE = Results(
    gencodec="0.1.0",
    machine={"yardstick_seconds": 1.0},
    metrics=(
        MetricInfo(name="psnr_y", label="PSNR-Y", unit="dB", higher_is_better=True),
        MetricInfo(name="band_ratio_0", label="fine detail"),
    ),
    clips=(Clip(name="a", width=64, height=48, frames=100, rate=25.0, duration=4.0),),
    codecs=(
        CodecInfo(name="gencodec", label="gencodec", peer=False),
        CodecInfo(name="x264", label="x264", peer=True),
    ),
    points=(*_points(0), *_points(0, "x264")),
    speed=(Speed(codec="gencodec", points=3, encode_frames_per_second=50.0),),
)


def _moves(**now: object) -> list[quick.Move]:
    return list(quick.moves(_BEFORE, replace(_BEFORE, **now)))  # type: ignore[arg-type]


def test_nothing_moves_where_nothing_changed_beyond_noise() -> None:
    assert _moves() == []
    assert _moves(points=(*_points(0.03), *_points(-0.03, "x264"))) == []


def test_lost_quality_is_found_point_by_point_and_in_bytes() -> None:
    found = _moves(points=_points(-1))
    assert [(each.what, each.name) for each in found if each.worse][:2] == [
        ("gencodec", "bytes for the same PSNR-Y, %"),
        ("gencodec, a, 0.05 bpp", "PSNR-Y"),
    ]
    assert len(found) == 7  # bytes, and two metrics at three rates
    assert all(each.worse and each.guarded for each in found)


def test_better_quality_is_no_failure() -> None:
    found = _moves(points=_points(1))
    assert found
    assert not any(each.worse for each in found)


def test_peers_that_move_are_shown_and_not_guarded() -> None:
    found = _moves(points=_points(-1, "x264"))
    assert {(each.worse, each.guarded) for each in found} == {(True, False)}


def test_a_point_that_fails_now_is_worse() -> None:
    failed = Point(clip="a", codec="gencodec", target_bpp=0.01, error="crashed")
    found = _moves(points=(failed,))
    assert [(each.name, each.worse) for each in found] == [("crashed", True)]


def test_speed_counts_as_a_share_of_what_the_machine_can_do() -> None:
    half_speed = (Speed(codec="gencodec", points=3, encode_frames_per_second=25.0),)
    busy = {"yardstick_seconds": 2.0}
    assert _moves(speed=half_speed, machine=busy) == []
    (found,) = _moves(speed=half_speed)
    assert (found.before, found.now, found.worse, found.guarded) == (0.5, 0.25, True, False)


def test_the_last_release_is_the_highest_version(tmp_path: Path) -> None:
    assert quick.last_release(tmp_path) is None
    for name in ("0.9.0", "0.10.0", "0.2.11"):
        (tmp_path / f"{name}.quick.json").touch()
    (tmp_path / "1.0.0.json").touch()
    found = quick.last_release(tmp_path)
    assert found is not None
    assert found.name == "0.10.0.quick.json"
