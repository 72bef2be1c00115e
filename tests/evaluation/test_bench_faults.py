"""The fault campaign finds what it looks for, and finds nothing in what the reader does."""

from __future__ import annotations

import io
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import faults, kills, scene
from benchmarks.section import Options

from gencodec.container import Reader, Writer


@pytest.fixture
def whole(gnv_bytes: bytes, tiny_pack: Path) -> faults.Whole:
    del tiny_pack
    return faults._whole("clip", gnv_bytes)


@pytest.mark.parametrize("damage", [faults.flip, faults.cut])
def test_nothing_is_found(damage: object, whole: faults.Whole) -> None:
    assert callable(damage)
    chance, found = random.Random(3), Counter[str]()
    for _ in range(60):
        found += faults.examine(*damage(whole, chance))
    assert (found["files"], found["lost"], found["silent"], found["tracebacks"]) == (60, 0, 0, 0)
    assert found["came back"] == found["units"] > 60


def test_what_is_looked_for_is_found(
    whole: faults.Whole, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = [key for key, _ in whole.units]
    assert faults.examine(whole, whole.data, keys)["silent"] == 2  # it passes for whole, twice
    hit = whole.units[1][1]
    damaged = bytearray(whole.data)
    damaged[hit.start + 5] ^= 1
    assert faults.examine(whole, bytes(damaged), keys)["lost"] == 1
    reader, out = Reader(io.BytesIO(whole.data)), io.BytesIO()
    with Writer(out, reader.header) as writer:
        for record in reader.groups():
            writer.write_group(replace(record, digest=record.digest ^ (record.number == 2)))
    found = faults.examine(whole, out.getvalue(), [])
    assert found["silent"] == 2 + 3  # and each way of reading gives what was not written

    def fails(data: bytes, found: Counter[str]) -> list[faults.Key]:
        raise KeyError(len(data), found)

    monkeypatch.setattr(faults, "_recovering", fails)
    assert faults.examine(whole, bytes(damaged), [])["tracebacks"] == 1
    assert "KeyError" in capfd.readouterr().err


def test_kills_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        exitcode = -9

        def join(self) -> None:
            pass

    written = iter([b"same", b"same", b"other"])

    def start(command: object, output: Path) -> Process:
        del command
        output.write_bytes(next(written))
        return Process()

    def lasts(command: object, output: Path) -> float:
        start(command, output)
        return 1.0

    kept = iter([100, None])
    monkeypatch.setattr(kills, "_KILLS", {False: 2, True: 50})
    monkeypatch.setattr(kills, "_start", start)
    monkeypatch.setattr(kills, "_lasts", lasts)
    monkeypatch.setattr(kills, "_killed", lambda *_: next(kept))
    monkeypatch.setattr(scene, "write_clip", lambda path, *_: path)
    section = kills.measure(Options(pack="mini", threads=1, full=False, work=tmp_path))
    assert list(section.data["counts"].values()) == [1, 1, 1, 2]
