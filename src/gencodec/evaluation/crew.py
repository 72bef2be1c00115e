"""Meters at work: frames that a meter can judge by themselves go to threads, side by side.

One network on two cores waits for the slower one after each layer, and everything between networks
runs on one. Two frames on a core each do neither: a fifth of the time of an evaluation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

import torch

from gencodec.evaluation.metrics import FrameMeter, Meter
from gencodec.evaluation.pairing import Pair
from gencodec.execution import Execution

_WORKERS = 4  # frames at once, each with features that may be large
_AHEAD = 2  # frames that wait for each worker


class Crew(AbstractContextManager["Crew"]):
    """Shows pairs of frames to meters; leave it when all are shown.

    Args:
        meters: of one video.
        execution: where their networks run; frames go side by side on CPUs only.
    """

    def __init__(self, meters: Sequence[Meter], execution: Execution) -> None:
        self._threads = torch.get_num_threads()
        workers = min(self._threads, _WORKERS) if execution.device.type == "cpu" else 1
        self._side = [m for m in meters if isinstance(m, FrameMeter)] if workers > 1 else []
        self._line = [meter for meter in meters if meter not in self._side]
        self._ahead = workers * _AHEAD
        self._waiting: deque[tuple[FrameMeter, int, Future[Mapping[str, float]]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        if self._side:
            each = max(1, self._threads // workers)
            torch.set_num_threads(each)  # counts for the thread that says so
            self._pool = ThreadPoolExecutor(
                workers, initializer=torch.set_num_threads, initargs=(each,)
            )

    def show(self, pair: Pair) -> None:
        """Let all meters see the next pair."""
        if self._pool is not None:
            for meter in self._side:
                result = self._pool.submit(meter.compare, pair)
                self._waiting.append((meter, pair.index, result))
        for each in self._line:
            each.add(pair)
        while len(self._waiting) > self._ahead:
            self._settle()

    def _settle(self) -> None:
        """Note what the oldest frame came to."""
        meter, index, result = self._waiting.popleft()
        meter.note(index, result.result())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all frames; after an error only for those that are being judged."""
        try:
            while kind is None and self._waiting:
                self._settle()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                torch.set_num_threads(self._threads)
