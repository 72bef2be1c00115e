from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.evaluation import videos

from gencodec.evaluation import METRICS

Command = Callable[..., tuple[int, bytes, str]]
NAMES = "psnr_y,tdiff,dists"


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A clip, and the same twice with noise."""
    import torch

    monkeypatch.delenv("GENCODEC_METRICS_DIR", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.chdir(tmp_path)
    pictures = videos.pan(64, 48, 4)
    noisy = [[videos.noisy(each, 1, sigma) for each in pictures] for sigma in (2, 20)]
    named = zip(("ref", "good", "bad"), (pictures, *noisy), strict=True)
    return [videos.write(Path(f"{name}.mkv"), each) for name, each in named]


def test_a_table_with_every_metric_and_what_is_missing(command: Command, clips: list[Path]) -> None:
    code, out, err = command("eval", *clips, "--metrics", NAMES, "--device", "cpu")
    lines = out.decode().splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split(maxsplit=1)[0] == "A"
    assert "good.mkv: 4 frames, 64x48, 0:00.16" in lines[0]
    assert "bad.mkv" in lines[1]
    psnr = next(line for line in lines if line.startswith("PSNR-Y, dB")).split()
    assert psnr[2] == "higher"
    assert float(psnr[3]) > 40 > 30 > float(psnr[7])
    place = lines.index("not computed, because")
    assert lines[place + 1].startswith("DISTS")
    assert "vgg16" in lines[place + 1]


def test_json_holds_everything(command: Command, clips: list[Path]) -> None:
    code, out, err = command("eval", *clips[:2], "--metrics", NAMES, "--frames", "3", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["reference"] == "ref.mkv"
    assert [metric["name"] for metric in found["metrics"]] == list(METRICS)
    (evaluation,) = found["evaluations"]
    assert evaluation["distorted"] == "good.mkv"
    assert (evaluation["frames"], evaluation["width"], evaluation["height"]) == (3, 64, 48)
    assert list(evaluation["scores"]) == ["psnr_y", "tdiff"]
    assert set(evaluation["scores"]["tdiff"]) == {"mean", "worst", "worst_frame", "worst_time"}
    assert list(evaluation["missing"]) == ["dists"]


def test_progress_counts_frames(command: Command, clips: list[Path]) -> None:
    _, _, err = command("eval", *clips[:2], "--metrics", "psnr_y", "--json", "--progress", "json")
    events = [json.loads(line) for line in err.splitlines()]
    assert events[0]["stage"] == "compare"
    assert [event["type"] for event in events][-1] == "done"
    assert events[-1]["command"] == "eval"
    assert len(events[-1]["result"]["evaluations"]) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["ref.mkv"], 2, "DIST"),
        (["ref.mkv", "good.mkv", "--metrics", "psnr"], 2, "psnr: no such metric; there are psnr_y"),
        (["ref.mkv", "good.mkv", "--base", "--steps", "2"], 2, "leave out --steps"),
        (["ref.mkv", "none.mkv"], 3, "none.mkv"),
        (["ref.mkv", "small.mkv"], 3, "ref.mkv is 64x48 and small.mkv 32x32; pass --align"),
    ],
)
def test_what_cannot_be_done_is_named(
    command: Command, clips: list[Path], arguments: list[str], exit_code: int, words: str
) -> None:
    assert clips
    videos.write(Path("small.mkv"), videos.pan(32, 32, 4))
    code, out, err = command("eval", *arguments)
    assert (code, out) == (exit_code, b"")
    assert words in err


def test_alignment_is_told(command: Command, clips: list[Path]) -> None:
    small = videos.write(Path("small.mkv"), videos.pan(32, 32, 3))
    code, _, err = command("eval", clips[0], small, "--metrics", "psnr_y", "--align")
    assert code == 0
    assert "warning: small.mkv: aligned: scaled from 32x32 to 64x48" in err
    assert "aligned: 1 frames of the reference and 0 of the distorted" in err
