"""The fuzzer's examples get past the checks, and what they break is seen."""

from __future__ import annotations

import signal
from io import BytesIO
from pathlib import Path

import pytest
from benchmarks import fuzz

from gencodec.container import GroupRecord, Reader


def test_checks_are_made_right_again(
    constant_file: bytes, constant_groups: list[GroupRecord]
) -> None:
    at = Reader(BytesIO(constant_file)).index()[2].offset
    damaged = bytearray(constant_file)
    damaged[at + 20] ^= 1  # in the body of a group
    assert fuzz.repaired(constant_file) == constant_file
    groups = list(Reader(BytesIO(fuzz.repaired(bytes(damaged)))).groups())
    assert [group == was for group, was in zip(groups, constant_groups, strict=True)] == [
        True, True, False, True
    ]  # fmt: skip


def test_what_an_example_raises_is_kept(
    constant_file: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[bytes] = []

    def target(data: bytes) -> None:
        seen.append(data)
        if len(seen) == 5:
            raise ValueError("five")

    monkeypatch.setitem(fuzz.TARGETS, "sample", (target, [constant_file]))
    assert fuzz.fuzz_many("sample", 4, seed=1) == 4
    with pytest.raises(ValueError, match="five"):
        fuzz.fuzz_many("sample", 4, seed=2)
    assert (tmp_path / "fuzz-failed").read_bytes() == seen[-1]
    assert len(set(seen)) > 2
    assert signal.alarm(0) == 0  # no clock is left running


def test_the_readers_hold_for_some_examples() -> None:
    assert fuzz.fuzz_many("reader", 40, seed=7) == 40
