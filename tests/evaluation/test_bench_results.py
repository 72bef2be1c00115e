from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gencodec.errors import SourceError
from gencodec.evaluation.results import (
    BdRate,
    Clip,
    CodecInfo,
    MetricInfo,
    Point,
    PointScore,
    Results,
    Speed,
)

_SCORE = PointScore(mean=30.5, worst=28.0, worst_frame=3, worst_time=0.12)
_RESULTS = Results(
    gencodec="0.1.0",
    measured="2026-01-01T00:00:00+00:00",
    machine={"processors": 2},
    versions={"av": "18"},
    command=("bench", "clip.mp4"),
    metrics=(MetricInfo(name="psnr_y", label="PSNR-Y", unit="dB", higher_is_better=True),),
    clips=(Clip(name="clip", width=64, height=48, frames=8, rate=25.0, duration=0.32),),
    codecs=(CodecInfo(name="x264", label="x264", peer=True),),
    points=(
        Point(clip="clip", codec="x264", target_bpp=0.01, bpp=0.0101, scores={"psnr_y": _SCORE}),
        Point(clip="clip", codec="x264", target_bpp=0.005, error="it crashed"),
    ),
    bd_rates=(
        BdRate(clip=None, metric="psnr_y", codec="a", anchor="b", percent=-3.5),
        BdRate(
            clip="clip", metric="psnr_y", codec="a", anchor="b", percent=-3.5, range=(25.0, 30.0)
        ),
    ),
    speed=(Speed(codec="x264", points=1, encode_frames_per_second=20.0),),
    warnings=("left out: notes.txt",),
)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    _RESULTS.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == _RESULTS


def test_the_file_is_plain_json_with_its_schema(tmp_path: Path) -> None:
    _RESULTS.save(tmp_path / "results.json")
    record = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert record["schema"] == "gencodec-bench/1"
    assert record["points"][0]["scores"]["psnr_y"]["worst_frame"] == 3
    assert record["points"][1]["bpp"] is None
    assert record["bd_rates"][0]["clip"] is None


def test_keys_of_the_future_are_passed_over() -> None:
    record = json.loads(json.dumps(_RESULTS.to_json()))
    record["later"] = record["clips"][0]["later"] = record["points"][0]["later"] = 1
    assert Results.from_json(record) == _RESULTS


def _broken() -> list[Any]:
    whole: dict[str, Any] = json.loads(json.dumps(_RESULTS.to_json()))
    nameless = {**whole, "clips": [{"width": 64}]}
    return [
        [], {}, {**whole, "schema": "gencodec-bench/2"}, nameless, {**whole, "points": 3},
        {**whole, "bd_rates": [{"clip": None}]},
    ]  # fmt: skip


@pytest.mark.parametrize("record", _broken())
def test_other_files_are_refused(tmp_path: Path, record: object) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(SourceError, match="no results of gencodec bench"):
        Results.load(path)


def test_a_file_that_is_no_json_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b"\xff{")
    for name, text in (("broken.json", "holds no results"), ("none.json", "cannot open")):
        with pytest.raises(SourceError, match=text):
            Results.load(tmp_path / name)


def test_saving_replaces_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("x" * 100_000, "utf-8")
    _RESULTS.save(path)
    assert Results.load(path) == _RESULTS
    assert list(tmp_path.iterdir()) == [path]
