from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.evaluation.bench_sample import Runs, runs

from gencodec.errors import SourceError, UsageError
from gencodec.evaluation.bench import BenchOptions, bench
from gencodec.evaluation.results import Point, Results
from gencodec.frames import open_source
from gencodec.progress import Progress

__all__ = ["runs"]  # a fixture

_RATES = (0.4, 0.2)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return tiny.write_clip(tmp_path / "clip.mp4", tiny.clip(64, 64, 12))


@pytest.fixture
def options(tmp_path: Path, tiny_pack: Path) -> BenchOptions:
    return BenchOptions(
        cache=tmp_path / "cache",
        rates=_RATES,
        rows=("gencodec",),
        peers=("x264",),
        frames=8,
        metrics=("psnr_y", "psnr_rgb"),
        pack=str(tiny_pack),
        device="cpu",
        threads=1,
    )


def _of(results: Results, codec: str) -> list[Point]:
    return [point for point in results.points if point.codec == codec]


def test_a_peer_is_measured_at_the_bytes_asked_for(
    clip: Path, options: BenchOptions, runs: Runs
) -> None:
    results = bench([clip], replace(options, rows=()))

    assert [point.target_bpp for point in results.points] == [0.4, 0.2]
    for point in results.points:
        stream = options.cache / point.stream
        assert point.error is None
        assert point.bytes == stream.stat().st_size
        assert point.bpp == pytest.approx(8 * stream.stat().st_size / (64 * 64 * 8))
        assert point.bpp == pytest.approx(point.target_bpp, rel=0.03)
        assert point.reached
        assert set(point.scores) == {"psnr_y", "psnr_rgb"}
        with open_source(options.cache / point.video) as video:
            assert (video.info.width, video.info.height) == (64, 64)
            assert len(list(video.frames())) == 8
    better, worse = results.points
    assert better.scores["psnr_y"].mean > worse.scores["psnr_y"].mean


def test_rows_of_gencodec_are_compared_with_peers_and_with_one_another(
    clip: Path, options: BenchOptions, runs: Runs
) -> None:
    results = bench([clip], replace(options, rows=("gencodec", "gencodec:base")))

    assert all(point.error is None for point in results.points)
    assert runs.count("encode", "gencodec:base") == 0  # the same file, decoded otherwise
    first, base = _of(results, "gencodec")[0], _of(results, "gencodec:base")[0]
    assert first.stream == base.stream
    assert first.video != base.video
    assert first.scores["psnr_y"].mean != base.scores["psnr_y"].mean
    pairs = {(each.codec, each.anchor) for each in results.bd_rates}
    assert pairs == {
        ("gencodec", "x264"), ("gencodec:base", "x264"), ("gencodec:base", "gencodec"),
    }  # fmt: skip
    assert {each.clip for each in results.bd_rates} == {"clip", None}
    assert [each.codec for each in results.speed] == ["gencodec", "gencodec:base", "x264"]
    assert all(each.points == 2 and each.encode_peak_bytes for each in results.speed)


def test_settings_of_a_row_reach_the_file(clip: Path, options: BenchOptions, runs: Runs) -> None:
    from gencodec import info

    rows = ("gencodec:steps=3", "gencodec:gop=5")
    results = bench([clip], replace(options, rows=rows, peers=(), rates=(0.4,)))
    steps, gop = (info(options.cache / point.stream) for point in results.points)
    assert {group.steps for group in steps.groups} == {3}
    assert [group.frames for group in gop.groups] == [5, 3]


def test_a_failing_codec_is_a_point_with_an_error_and_the_others_go_on(
    clip: Path, options: BenchOptions, runs: Runs
) -> None:
    runs.failing = {"vp9"}
    results = bench([clip], replace(options, rows=(), peers=("vp9", "x264", "vvenc-half")))
    assert {point.error for point in _of(results, "vp9")} == {"it always fails"}
    assert all("vvencapp is not on the PATH" in (p.error or "") for p in _of(results, "vvenc-half"))
    assert all(point.error is None for point in _of(results, "x264"))


def test_what_is_finished_is_not_done_again(clip: Path, options: BenchOptions, runs: Runs) -> None:
    options = replace(options, rows=())
    first = bench([clip], options)
    done = len(runs.jobs)
    assert bench([clip], options).points == first.points
    assert len(runs.jobs) == done
    bench([clip], replace(options, rates=(*_RATES, 0.3)))
    assert runs.count("decode", "x264") == 3
    bench([clip], replace(options, metrics=("psnr_y",)))
    assert runs.count("decode", "x264") == 5  # what is kept is scores, not pictures
    encoded = runs.count("encode", "x264")
    bench([clip], replace(options, frames=7))
    assert runs.count("encode", "x264") > encoded


def test_a_point_does_not_depend_on_the_other_rates(
    clip: Path, options: BenchOptions, runs: Runs, tmp_path: Path
) -> None:
    few = replace(options, rows=(), rates=(0.2,))
    (alone,) = bench([clip], few).points
    more = replace(few, rates=(0.4, 0.3, 0.2))
    assert bench([clip], more).points[-1] == alone


def test_a_failure_is_tried_again(clip: Path, options: BenchOptions, runs: Runs) -> None:
    options = replace(options, rows=(), rates=(0.4,))
    runs.failing = {"x264"}
    assert bench([clip], options).points[0].error == "it always fails"
    runs.failing = set()
    assert bench([clip], options).points[0].error is None


def test_a_rate_that_a_peer_cannot_reach_gets_its_nearest_point_marked(
    clip: Path, options: BenchOptions, runs: Runs
) -> None:
    (point,) = bench([clip], replace(options, rows=(), rates=(1e-4,))).points
    assert (point.error, point.reached) == (None, False)
    assert point.setting == "crf 51"
    assert point.bpp is not None
    assert point.bpp > 1.03e-4


def test_an_interrupted_benchmark_goes_on_where_it_was(
    clip: Path, options: BenchOptions, runs: Runs
) -> None:
    options = replace(options, rows=(), peers=("x264", "x264-half"))
    saved: list[Results] = []
    runs.interrupt_after = 10
    with pytest.raises(KeyboardInterrupt):
        bench([clip], options, on_results=saved.append)
    assert 0 < len(saved[-1].points) < 4
    runs.interrupt_after = None
    results = bench([clip], options, on_results=saved.append)
    assert len(results.points) == 4
    assert saved[-1] == results
    encodes = [job for job in runs.jobs if job[0] == "encode"]
    assert len(set(encodes)) == len(encodes)


def test_progress_names_what_is_worked_on(clip: Path, options: BenchOptions, runs: Runs) -> None:
    told: list[Progress] = []
    bench([clip], replace(options, rows=()), on_progress=told.append)
    assert [(each.stage, each.frames, each.total) for each in told] == [
        ("bench", n, 2) for n in range(3)
    ]
    assert [each.detail for each in told] == ["clip, x264, 0.4 bpp", "clip, x264, 0.2 bpp", ""]


def test_files_that_are_no_videos_are_left_out_with_a_warning(
    clip: Path, options: BenchOptions, runs: Runs, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("a,b\n1,2\n")
    few = replace(options, rows=(), rates=(0.4,))
    results = bench([notes, clip], few)
    assert [each.name for each in results.clips] == ["clip"]
    assert results.warnings[0].startswith(f"left out: {notes}")
    with pytest.raises(SourceError, match="no video to measure"):
        bench([notes], few)
    with pytest.raises(SourceError, match="does not exist"):
        bench([clip, tmp_path / "absent.mp4"], few)


def test_a_folder_stands_for_its_videos_and_names_stay_different(
    clip: Path, options: BenchOptions, runs: Runs, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    tiny.write_clip(folder / "clip.mp4", tiny.clip(64, 64, 3))
    (folder / "readme.txt").write_text("hello")
    results = bench([clip, folder], replace(options, rows=(), rates=(0.4,)))
    assert [(each.name, each.frames) for each in results.clips] == [("clip", 8), ("clip-2", 3)]
    assert results.warnings == ()
    assert {point.clip for point in results.points} == {"clip", "clip-2"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"peers": ("x266",)}, {"rows": ("gencodec:fast",)}, {"rates": ()}, {"rates": (-1.0,)},
        {"metrics": ("beauty",)}, {"rows": (), "peers": ()}, {"peers": ("x264", "x264")},
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused_before_any_work(
    clip: Path, options: BenchOptions, runs: Runs, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        bench([clip], replace(options, **wrong))
    assert not runs.jobs
    assert not options.cache.exists()
