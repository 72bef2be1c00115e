from __future__ import annotations

import time
from pathlib import Path
from typing import IO

import pytest
from benchmarks import leaks, memory, scene
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
            output = Path(arguments[arguments.index("-o") + 1])
            journal = output.with_suffix(".journal")
            journal.write_bytes(bytes(300))
            output.write_bytes(bytes(200))
            time.sleep(0.2)  # the watch looks two hundred times
            journal.unlink()
        return 100 * len(frames)

    monkeypatch.setattr(memory, "_LOOK_SECONDS", 0.001)
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
    assert section.data["disk_share"] == [2.5, 2.5]


def test_what_a_loop_leaves_behind_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[IO[bytes]] = []

    def leak(clip: Path, folder: Path, threads: int) -> None:
        del clip, threads
        left.append((folder / "leaked").open("wb"))

    monkeypatch.setattr(scene, "write_clip", lambda path, *_: path)
    monkeypatch.setattr(leaks, "_pass", leak)
    section = leaks.measure(Options(pack="mini", threads=1, full=False, work=tmp_path))
    for stream in left:
        stream.close()
    before, _, after = section.data["handles"]
    assert after - before == section.data["files"] == 40
