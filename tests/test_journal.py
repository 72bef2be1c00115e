"""An encode that was interrupted goes on: nothing is coded twice, and the file is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gencodec
from gencodec import Target
from gencodec.container import GnvcVdBlock
from gencodec.errors import OutputError
from gencodec.group_coder import CodedGroup, GroupCoder
from gencodec.journal import Journal, code_revision, kept
from gencodec.progress import Progress

RGB = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
TARGET = Target(bpp=0.3)


def group(payload: bytes = b"payload", quality: int = 20) -> CodedGroup:
    block = GnvcVdBlock(quality=quality, anchor_offset=6, steps=2, start_level=350, flags=1)
    return CodedGroup(block=block, payload=payload, digest=0xDEADBEEF)


def test_a_group_is_found_under_its_content_and_only_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", b"context")
    journal.group(RGB).add(group())
    journal.close()
    again = Journal(tmp_path / "j", b"context")
    assert again.group(RGB.copy()).find(20, half_size=False) == group()
    assert again.found == 1
    assert again.group(RGB).find(21, half_size=False) is None
    assert again.group(RGB).find(20, half_size=False, plain=True) is None
    assert again.group(RGB + np.uint8(1)).find(20, half_size=False) is None
    assert again.group(RGB.reshape(4, 2, 4, 3)).find(20, half_size=False) is None
    again.close()
    other = Journal(tmp_path / "j", b"other")
    assert other.group(RGB).find(20, half_size=False) is None
    other.close()


def test_every_cut_and_flip_of_a_journal_costs_groups_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder, b"")
    for quality in range(3):
        journal.group(RGB).add(group(bytes([quality] * 5), quality))
    journal.close()
    whole = (folder / "groups").read_bytes()
    for at in range(len(whole)):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            (folder / "groups").write_bytes(data)
            damaged = Journal(folder, b"")
            for quality in range(3):
                found = damaged.group(RGB).find(quality, half_size=False)
                assert found in (None, group(bytes([quality] * 5), quality))
            damaged.group(RGB).add(group(quality=9))
            assert damaged.group(RGB).find(9, half_size=False) == group(quality=9)
            assert damaged.group(RGB).find(9, half_size=True) is None
            damaged.close()


def test_a_journal_is_removed_on_success_and_kept_on_an_interrupt(tmp_path: Path) -> None:
    output = tmp_path / "out.gnv"

    def interrupted() -> None:
        with kept(output, b"") as journal:
            journal.group(RGB).add(group())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == [".out.gnv.gencodec"]
    with kept(output, b"") as journal:
        assert journal.group(RGB).find(20, half_size=False) == group()
        (journal.folder / ".gencodec-x.partial").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_do_not_write_one_output(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with kept(tmp_path / "out.gnv", b"") as journal:
        journal.group(RGB).add(group())
        with pytest.raises(OutputError, match="another gencodec"):
            Journal(journal.folder, b"")
        assert journal.group(RGB).find(20, half_size=False) == group()


def test_the_code_is_part_of_the_context() -> None:
    assert code_revision() == code_revision()
    assert len(code_revision()) == 32


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Qualities that groups were coded at."""
    coded: list[int] = []
    encode = GroupCoder.encode

    def counting(self: GroupCoder, source: Any, rung: int, **way: bool) -> CodedGroup:  # noqa: ANN401
        coded.append(rung)
        return encode(self, source, rung, **way)

    monkeypatch.setattr(GroupCoder, "encode", counting)
    return coded


@pytest.mark.parametrize("target", [TARGET, Target(quality=20)])
@pytest.mark.parametrize("stop", [1, 6])
def test_an_interrupted_encode_goes_on_to_the_same_bytes(
    stop: int, target: Target, counted: list[int], clip_file: Path, tiny_pack: Path, tmp_path: Path
) -> None:
    def encode(name: str, on_progress: Callable[[Progress], None] | None = None) -> bytes:
        path = tmp_path / name
        gencodec.encode(clip_file, path, target=target, pack=tiny_pack, on_progress=on_progress)
        return path.read_bytes()

    expected = encode("whole.gnv")
    needed = len(counted)
    told: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        told.append(progress)
        if progress.stage == "code" and progress.group > stop % 4:
            raise KeyboardInterrupt

    counted.clear()
    with pytest.raises(KeyboardInterrupt):
        encode("out.gnv", interrupt)
    done = len(counted)
    assert not (tmp_path / "out.gnv").exists()
    assert encode("out.gnv") == expected
    assert 0 < done < needed or target.quality is None
    assert len(counted) == needed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gnv", "whole.gnv"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_encode_goes_on_to_the_same_bytes(
    clip_file: Path, tiny_pack: Path, tmp_path: Path
) -> None:
    expected, output = tmp_path / "whole.gnv", tmp_path / "out.gnv"
    assert not gencodec.encode(clip_file, expected, target=TARGET, pack=tiny_pack).resumed
    script = (
        "import sys, gencodec\n"
        "gencodec.encode(*sys.argv[1:3], target=gencodec.Target(bpp=0.3), pack=sys.argv[3])"
    )
    process = subprocess.Popen([sys.executable, "-c", script, clip_file, output, tiny_pack])
    journal = tmp_path / ".out.gnv.gencodec" / "groups"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 1000):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = gencodec.encode(clip_file, output, target=TARGET, pack=tiny_pack, overwrite=True)
    assert result.resumed > 0
    assert output.read_bytes() == expected.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gnv", "whole.gnv"]


def test_a_source_that_cannot_be_read_leaves_no_journal(tiny_pack: Path, tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"no video")
    with pytest.raises(gencodec.SourceError):
        gencodec.encode(tmp_path / "in.mp4", tmp_path / "out.gnv", pack=tiny_pack)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
