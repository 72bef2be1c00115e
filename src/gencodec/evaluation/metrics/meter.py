"""What every metric does: takes pairs of frames one after the other, then tells its numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from gencodec.evaluation.pairing import Pair
from gencodec.execution import Execution, multiplies_bfloat16
from gencodec.progress import Report

LOSSLESS = 100.0
"""Decibels that equal pictures count as."""


class MetricError(Exception):
    """A metric cannot be computed here; the text says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What meters must know before the first frame.

    Attributes:
        width, height: pixels of the frames.
        rate: frames per second.
        matrix: H.273 code of the matrix that makes luma of RGB.
        execution: where networks run.
        download: fetch weights that are not at hand.
        on_progress: told about downloads.
    """

    width: int
    height: int
    rate: Fraction
    matrix: int
    execution: Execution
    download: bool = False
    on_progress: Report | None = None

    def require(self, side: int) -> None:
        """Raise MetricError for frames whose shorter side has less than `side` pixels."""
        if min(self.width, self.height) < side:
            raise MetricError(
                f"frames of {self.width}x{self.height} are too small: "
                f"the shorter side must have {side} pixels"
            )

    def fast(self) -> torch.autocast:
        """Compute networks in bfloat16 inside this, where a CPU multiplies in it."""
        kind = self.execution.device.type
        worth = kind == "cpu" and multiplies_bfloat16()
        return torch.autocast(kind, torch.bfloat16, enabled=worth)


@dataclass(slots=True)
class Series:
    """A metric's values over time.

    Attributes:
        values: one for each frame that has one.
        frames: the pairs' numbers they belong to.
        mean: of the whole video, where it is not the mean of the values.
    """

    values: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    mean: float | None = None

    def add(self, frame: int, value: float) -> None:
        """Append the value of a frame; one that is no number is left out."""
        if math.isfinite(value):
            self.values.append(value)
            self.frames.append(frame)

    @property
    def average(self) -> float:
        """The metric of the whole video."""
        return sum(self.values) / len(self.values) if self.mean is None else self.mean


class Meter(ABC):
    """Computes one or several metrics of a video in one pass and constant memory.

    Attributes:
        series: by metric; complete after `finish`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.series = {name: Series() for name in names}

    @abstractmethod
    def add(self, pair: Pair) -> None:
        """Take the next frame of both videos."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to finish
        """Compute what only the last frame allows.

        Raises:
            MetricError: the metric cannot be computed after all.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the meter holds; safe to call twice."""

    def _note(self, frame: int, **values: float) -> None:
        """Append values of one frame to those series that are wanted."""
        for name, value in values.items():
            if name in self.series:
                self.series[name].add(frame, value)


class FrameMeter(Meter):
    """A meter that judges each frame by itself, in any order, in several threads at once."""

    @abstractmethod
    def compare(self, pair: Pair) -> Mapping[str, float]:
        """Return the values of one frame."""

    def add(self, pair: Pair) -> None:
        """Take the next frame of both videos."""
        self.note(pair.index, self.compare(pair))

    def note(self, frame: int, values: Mapping[str, float]) -> None:
        """Append what `compare` returned of the next frame."""
        self._note(frame, **values)


class Share:
    """How much of something the distorted video has as a share of what the source has.

    The whole video's share is that of the sums, so that frames with nothing in them do not count.
    """

    def __init__(self, least: float) -> None:
        """Take the amount below which a frame of the source has too little for a share of its own.

        Args:
            least: in the unit of the amounts.
        """
        self._least = least
        self._source, self._shown = 0.0, 0.0

    def of(self, source: float, shown: float) -> float:
        """Add the amounts of a frame; return its share, NaN where there is none."""
        self._source += source
        self._shown += shown
        return shown / source if source >= self._least else math.nan

    @property
    def total(self) -> float | None:
        """The share of the whole video; None where the source has nothing."""
        return self._shown / self._source if self._source else None
