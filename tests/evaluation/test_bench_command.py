from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import tiny
from tests.evaluation.bench_sample import Runs, runs

from gencodec.evaluation.results import Results

__all__ = ["runs"]  # a fixture

Command = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GENCODEC_CACHE", raising=False)
    return tiny.write_clip(tmp_path / "clip.mp4", tiny.clip(64, 64, 8))


_FEW = ("--rates", "0.4,0.2", "--metrics", "psnr_y", "--threads", "1", "--device", "cpu")


def test_tables_go_to_stdout_and_everything_into_a_file(
    clip: Path, command: Command, runs: Runs, tiny_pack: Path, tmp_path: Path
) -> None:
    code, out, err = command("bench", clip, *_FEW, "--peers", "x264", "--base", "--pack", tiny_pack)
    assert code == 0, err
    text = out.decode()
    for word in ("PSNR-Y dB", "gencodec, base", "x264 veryslow", "BD-rate", "encode frames/s"):
        assert word in text
    results = Results.load(tmp_path / "gencodec-bench.json")
    assert [each.name for each in results.codecs] == ["gencodec", "gencodec:base", "x264"]
    assert len(results.points) == 6
    assert (tmp_path / "home" / "gencodec" / results.points[0].stream).is_file()
    assert "gencodec-bench.json" in err


def test_json_is_the_file(clip: Path, command: Command, runs: Runs, tmp_path: Path) -> None:
    code, out, _ = command(
        "bench", clip, *_FEW, "--rows", "none", "--peers", "x264", "--out", "r.json", "--json"
    )
    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "r.json").read_text("utf-8"))


def test_a_failing_peer_is_a_row_and_no_failure(clip: Path, command: Command, runs: Runs) -> None:
    runs.failing = {"x264"}
    code, out, _ = command("bench", clip, *_FEW, "--rows", "none", "--peers", "x264,vp9")
    assert code == 0
    failed = [line for line in out.decode().splitlines() if "it always fails" in line]
    assert len(failed) == 2
    assert all("0/1" in line and "x264" in line for line in failed)


def test_a_failing_peer_beside_a_row_is_said_where_it_is_compared(
    clip: Path, command: Command, runs: Runs, tiny_pack: Path
) -> None:
    runs.failing = {"x264"}
    code, out, _ = command("bench", clip, *_FEW, "--peers", "x264", "--pack", tiny_pack)
    assert code == 0
    compared = out.decode().partition("BD-rate")[2]
    assert "- (the anchor has 0 of 2 points)" in compared


def test_a_failing_row_of_gencodec_is_a_failure(
    clip: Path, command: Command, runs: Runs, tiny_pack: Path
) -> None:
    runs.failing = {"gencodec"}
    code, out, _ = command("bench", clip, *_FEW, "--peers", "none", "--pack", tiny_pack)
    assert code == 1
    assert "clip: it always fails" in out.decode()


def test_an_interrupted_run_says_how_to_go_on(
    clip: Path, command: Command, runs: Runs, tmp_path: Path
) -> None:
    runs.interrupt_after = 4
    arguments = ("bench", clip, *_FEW, "--rows", "none", "--peers", "x264")
    code, _, err = command(*arguments)
    assert code == 130
    assert "run the same command again" in err
    runs.interrupt_after = None
    assert command(*arguments)[0] == 0


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (("--peers", "x266"), "no such peer"),
        (("--rows", "x264"), "rows are called gencodec"),
        (("--rates", "0.1,fast"), "--rates"),
        (("--metrics", "beauty"), "no such metric"),
        (("--steps", "many"), "whole number"),
    ],
)
def test_mistakes_are_usage_errors(
    clip: Path, command: Command, runs: Runs, wrong: tuple[str, str], word: str
) -> None:
    code, _, err = command("bench", clip, *wrong)
    assert code == 2
    assert word in err
    assert not runs.jobs


def test_a_file_that_is_no_result_is_not_replaced(
    clip: Path, command: Command, runs: Runs, tmp_path: Path
) -> None:
    (tmp_path / "thesis.json").write_text("{}")
    code, _, err = command("bench", clip, *_FEW, "--peers", "x264", "--out", "thesis.json")
    assert code == 4
    assert "will not be replaced" in err
    assert (tmp_path / "thesis.json").read_text() == "{}"
    assert command("bench", clip, "--out", "absent/r.json")[0] == 4
    assert not runs.jobs
