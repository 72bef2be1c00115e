"""Runs the codecs of a benchmark in this process: the same work, without starting Python anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gencodec.peers import Codec, CodecError, child, process


class Runs:
    """What was encoded and decoded: (job, codec, setting or None); `failing` names codecs."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, str, float | None]] = []
        self.failing: set[str] = set()
        self.interrupt_after: int | None = None

    def run(
        self, job: str, codec: Codec, files: Mapping[str, Any], *, device: str, threads: int
    ) -> dict[str, Any]:
        """Stand for `process._run`."""
        if codec.name in self.failing:
            raise CodecError("it always fails")
        if self.interrupt_after is not None and len(self.jobs) >= self.interrupt_after:
            raise KeyboardInterrupt
        self.jobs.append((job, codec.name, files.get("setting")))
        request = {"job": job, "codec": codec.name, **files, "device": device, "threads": threads}
        answer = child.JOBS[job](json.loads(json.dumps(request)))
        record: dict[str, Any] = json.loads(json.dumps(answer))
        return record

    def count(self, job: str, codec: str) -> int:
        """Return how often a codec did a job."""
        return sum(each[:2] == (job, codec) for each in self.jobs)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Let codecs run in this process, and watch them."""
    stand_in = Runs()
    monkeypatch.setattr(process, "_run", stand_in.run)
    return stand_in
