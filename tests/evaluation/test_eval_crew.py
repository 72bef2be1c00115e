"""Meters in threads: the same numbers in the same order, errors, and threads left as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import pytest
import torch

from gencodec.evaluation.crew import Crew
from gencodec.evaluation.metrics import FrameMeter, Meter
from gencodec.evaluation.pairing import Pair
from gencodec.execution import Execution


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Torch with two threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Slow(FrameMeter):
    """Takes longer for earlier frames."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__(["slow"])
        self._fails_at = fails_at
        self.threads: set[int] = set()
        self.inside: set[int] = set()

    def compare(self, pair: Pair) -> Mapping[str, float]:
        """Return the frame's number."""
        self.threads.add(threading.get_ident())
        self.inside.add(torch.get_num_threads())
        time.sleep(0.02 if pair.index % 2 == 0 else 0)
        if pair.index == self._fails_at:
            raise RuntimeError("cannot be judged")
        return {"slow": float(pair.index)}


class InOrder(Meter):
    """Notes the frames that it sees."""

    def __init__(self) -> None:
        super().__init__(["seen"])

    def add(self, pair: Pair) -> None:
        """Take the next frame."""
        self._note(pair.index, seen=float(pair.index))


def pairs(count: int) -> Iterator[Pair]:
    """Small frames."""
    black = np.zeros((8, 8, 3), np.uint8)
    return (Pair(i, Fraction(i), (black, black), 6) for i in range(count))


def show(meters: list[Meter], threads: int, frames: Iterator[Pair]) -> None:
    with Crew(meters, Execution.choose("cpu", threads=threads)) as crew:
        for pair in frames:
            crew.show(pair)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_values_come_in_the_order_of_the_frames(threads: int) -> None:
    slow, line = Slow(), InOrder()
    show([slow, line], threads, pairs(12))
    for series in (slow.series["slow"], line.series["seen"]):
        assert series.frames == list(range(12))
        assert series.values == [float(i) for i in range(12)]
    own = threading.get_ident()
    assert (slow.threads == {own}) == (threads == 1)
    assert len(slow.threads) <= threads
    assert slow.inside == {1}
    assert torch.get_num_threads() == threads


def test_an_error_in_a_thread_is_the_callers() -> None:
    slow = Slow(fails_at=5)
    with pytest.raises(RuntimeError, match="cannot be judged"):
        show([slow], 2, pairs(12))
    assert slow.series["slow"].frames == list(range(5))
    assert torch.get_num_threads() == 2


def test_an_interruption_does_not_wait_for_frames_nobody_judges_yet() -> None:
    slow = Slow()

    def interrupted() -> Iterator[Pair]:
        yield from pairs(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show([slow], 2, interrupted())
    assert len(slow.series["slow"].frames) < 4
    assert torch.get_num_threads() == 2
