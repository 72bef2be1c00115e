from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import memory, scene
from benchmarks.section import Options


@pytest.mark.parametrize("full", [False, True])
def test_both_clips_have_full_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    frames: list[int] = []
    gops: list[int] = []

    def write(path: Path, count: int) -> Path:
        frames.append(count)
        return path

    def peak(arguments: list[str]) -> int:
        if arguments[0] == "encode":
            gops.append(int(arguments[arguments.index("--gop") + 1]))
        return 100 * len(frames)

    monkeypatch.setattr(scene, "write_clip", write)
    monkeypatch.setattr(memory, "_peak", peak)
    section = memory.measure(Options(pack="mini", threads=1, full=full, work=tmp_path))

    short, long = frames
    assert gops[0] == gops[1]
    assert short >= 2 * gops[0]
    assert long >= 4 * short
    assert short % gops[0] == long % gops[0] == 0
    assert full or long <= 150  # it stays small
    assert section.data["ratio"] == {"encode": 2.0, "decode": 2.0}
