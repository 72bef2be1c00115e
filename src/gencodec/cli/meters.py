"""How progress looks: a bar, a plain line every ten seconds, or one JSON event a line."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from gencodec.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

_PLAIN_SECONDS = 10.0
_EVENT_SECONDS = 0.2

clock = time.monotonic


class Meter(ABC):
    """Shows how far the work is; `close` ends what it shows."""

    def __init__(self) -> None:
        self._stage = ""
        self._frames = 0
        self._first = 0  # frames already done when the stage was first seen
        self._started = clock()
        self._last = clock()

    def update(self, progress: Progress) -> None:
        """Take the newest state."""
        new = progress.stage != self._stage or progress.frames < self._frames
        if new:
            # Training resumes where it stopped; every other stage starts from nothing.
            self._first = progress.frames if progress.stage == "train" else 0
            self._started = clock() if progress.stage == "train" else self._last
            self._stage = progress.stage
        self._frames = progress.frames
        self._last = clock()
        self._show(progress, new=new)

    @abstractmethod
    def close(self) -> None:
        """End what is shown; safe to call twice."""

    @abstractmethod
    def _show(self, progress: Progress, *, new: bool) -> None:
        """Show the newest state; `new` is true when a stage has just begun."""

    def _speed(self, progress: Progress) -> float | None:
        """Return frames (steps in training) per second in this stage, None before any is known."""
        seconds, done = self._last - self._started, progress.frames - self._first
        return done / seconds if seconds > 0 and done > 0 else None

    def _left(self, progress: Progress) -> float | None:
        """Return the seconds until this stage ends, None if nobody can know."""
        speed = self._speed(progress)
        if speed is None or progress.total is None:
            return None
        return max(progress.total - progress.frames, 0) / speed


class NoMeter(Meter):
    """Shows nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _show(self, progress: Progress, *, new: bool) -> None:
        """Do nothing."""


class PlainMeter(Meter):
    """Writes one line every ten seconds, for logs and dumb terminals."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self._written = clock()

    def close(self) -> None:
        """Do nothing; the last line stands."""

    def _show(self, progress: Progress, *, new: bool) -> None:
        if clock() - self._written < _PLAIN_SECONDS:
            return
        self._written = clock()
        parts = [_count(progress)]
        if (speed := self._speed(progress)) is not None:
            parts.append(f"{speed:.3g} {_unit(progress)}/s")
        if (left := self._left(progress)) is not None:
            parts.append(f"{left:.0f} s left")
        parts.extend(_rate(progress))
        self._write(f"{progress.stage}: {', '.join(parts)}")


class EventMeter(Meter):
    """Writes events for programs, at most five a second, but the first and last of every stage.

    Keys: stage, frames, total, group, bits_per_pixel, quality as in `Progress`; seconds in this
    stage; per_second, frames (training: steps) a second; seconds_left; detail, where there is one.
    Unknown is null.
    """

    def __init__(self, emit: Callable[[str, dict[str, object]], None]) -> None:
        super().__init__()
        self._emit = emit
        self._emitted = clock()

    def close(self) -> None:
        """Do nothing; the command writes the last event."""

    def _show(self, progress: Progress, *, new: bool) -> None:
        if not (new or progress.frames == progress.total) and (
            clock() - self._emitted < _EVENT_SECONDS
        ):
            return
        self._emitted = clock()
        event: dict[str, object] = {
            "stage": progress.stage,
            "frames": progress.frames,
            "total": progress.total,
            "group": progress.group,
            "bits_per_pixel": progress.bits_per_pixel,
            "quality": progress.quality,
            "seconds": self._last - self._started,
            "per_second": self._speed(progress),
            "seconds_left": self._left(progress),
        }
        if progress.detail:
            event["detail"] = progress.detail
        self._emit("progress", event)


class BarMeter(Meter):
    """Draws a bar that moves, one for each stage, and wipes it at the end."""

    def __init__(self, console: RichConsole) -> None:
        super().__init__()
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task("starting", total=None, text="")
        self._bars.start()

    def close(self) -> None:
        """Wipe the bar and give the cursor back."""
        self._bars.stop()

    def _show(self, progress: Progress, *, new: bool) -> None:
        speed = self._speed(progress)
        parts = [_count(progress), *([] if speed is None else [f"{speed:.3g}/s"]), *_rate(progress)]
        if new:
            self._bars.reset(self._task, description=progress.stage, total=progress.total)
        self._bars.update(
            self._task,
            completed=progress.frames,
            total=progress.total,
            text=" ".join(parts),
        )


def _unit(progress: Progress) -> str:
    return {"search": "trials", "train": "steps", "bench": "points", "download": "files"}.get(
        progress.stage, "frames"
    )


def _count(progress: Progress) -> str:
    total = "" if progress.total is None else f"/{progress.total}"
    return f"{progress.frames}{total} {_unit(progress)}"


def _rate(progress: Progress) -> list[str]:
    """Return the texts about bits and what is worked on, as far as they are known."""
    parts = []
    if progress.bits_per_pixel is not None:
        parts.append(f"{progress.bits_per_pixel:.4f} bpp")
    if progress.quality is not None:
        parts.append(f"quality {progress.quality}")
    if progress.detail:
        parts.append(progress.detail)
    return parts
