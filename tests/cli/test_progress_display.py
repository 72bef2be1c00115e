from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from gencodec.cli import meters
from gencodec.errors import FormatError
from gencodec.progress import Progress

if TYPE_CHECKING:
    from tests.cli.conftest import Gencodec, Library


class Clock:
    """A clock that goes on by a fixed time with every state the library reports."""

    def __init__(self, step: float) -> None:
        self.now = 100.0
        self.step = step

    def __call__(self) -> float:
        return self.now


def _states(frames: int, *, stage: str = "code", total: int | None = 40) -> list[Progress]:
    return [
        Progress(stage=stage, frames=n, total=total, group=n, bits_per_pixel=0.0123, quality=7)
        for n in range(1, frames + 1)
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(4.0)
    update = meters.Meter.update

    def later(self: meters.Meter, progress: Progress) -> None:
        clock.now += clock.step
        update(self, progress)

    monkeypatch.setattr(meters, "clock", clock)
    monkeypatch.setattr(meters.Meter, "update", later)
    return clock


@pytest.mark.parametrize("mode", ["auto", "plain"])
def test_without_a_terminal_a_line_comes_every_ten_seconds(
    gencodec: Gencodec, library: Library, clock: Clock, mode: str
) -> None:
    library.progress = _states(7)

    outcome = gencodec("verify", "in.gnv", "--progress", mode)

    assert outcome.stderr.splitlines()[:-1] == [
        "code: 3/40 frames, 0.25 frames/s, 148 s left, 0.0123 bpp, quality 7",
        "code: 6/40 frames, 0.25 frames/s, 136 s left, 0.0123 bpp, quality 7",
    ]


def test_unknown_totals_and_rates_are_left_out(
    gencodec: Gencodec, library: Library, clock: Clock
) -> None:
    library.progress = [Progress(stage="code", frames=n, total=None) for n in range(4)]
    outcome = gencodec("verify", "in.gnv", "--progress", "plain")
    assert outcome.stderr.splitlines()[0] == "code: 2 frames, 0.167 frames/s"


def test_resumed_training_counts_its_own_steps_only(
    gencodec: Gencodec, library: Library, clock: Clock
) -> None:
    library.progress = [
        Progress(stage="train", frames=n) for n in (1001, 1002, 1003, 5, 6, 7, 8, 9)
    ]
    outcome = gencodec("verify", "in.gnv", "--progress", "plain")
    assert outcome.stderr.splitlines()[:-1] == [
        "train: 1003 steps, 0.25 steps/s",
        "train: 7 steps, 0.25 steps/s",
    ]


def test_off_shows_no_progress(gencodec: Gencodec, library: Library, clock: Clock) -> None:
    library.progress = _states(20)
    assert gencodec("verify", "in.gnv", "--progress", "off").stderr.count("\n") == 1


def test_json_progress_is_events_that_end_with_done(
    gencodec: Gencodec, library: Library, clock: Clock
) -> None:
    library.progress = _states(2)
    library.result.warnings = ("audio dropped",)

    outcome = gencodec("verify", "in.gnv", "--progress", "json")

    assert [event["type"] for event in outcome.events] == [
        "progress",
        "progress",
        "warning",
        "done",
    ]
    assert outcome.events[1] == {
        "type": "progress",
        "stage": "code",
        "frames": 2,
        "total": 40,
        "group": 2,
        "bits_per_pixel": 0.0123,
        "quality": 7,
        "seconds": 8.0,
        "per_second": 0.25,
        "seconds_left": 152.0,
    }
    done = outcome.events[-1]
    assert done["command"] == "verify"
    assert done["exit_code"] == 0
    assert done["result"]["frames"] == 300
    assert outcome.stdout == b""


def test_json_progress_is_thinned_but_keeps_first_and_last(
    gencodec: Gencodec, library: Library, clock: Clock
) -> None:
    clock.step = 0.05
    library.progress = _states(40) + _states(40, stage="decode")
    events = gencodec("verify", "in.gnv", "--progress", "json").events[:-1]
    assert len(events) < 30
    frames = {
        stage: [e["frames"] for e in events if e["stage"] == stage] for stage in ("code", "decode")
    }
    assert all(seen[0] == 1 and seen[-1] == 40 for seen in frames.values())


def test_json_progress_ends_with_error(gencodec: Gencodec, library: Library) -> None:
    library.error = FormatError("bad magic", offset=0)
    outcome = gencodec("verify", "in.gnv", "--progress", "json")
    assert outcome.exit_code == 6
    assert outcome.events == [
        {
            "type": "error",
            "command": "verify",
            "exit_code": 6,
            "kind": "FormatError",
            "message": "bad magic (at byte 0)",
        }
    ]


@pytest.mark.parametrize(
    ("error", "exit_code", "last"),
    [(KeyboardInterrupt(), 130, "error"), (BrokenPipeError(), 0, "done")],
)
def test_json_progress_has_a_last_event_however_it_ends(
    gencodec: Gencodec, library: Library, error: BaseException, exit_code: int, last: str
) -> None:
    library.error = error
    events = gencodec("verify", "in.gnv", "--progress", "json").events
    assert [event["type"] for event in events] == [last]
    assert events[0]["exit_code"] == exit_code


def test_usage_errors_are_events_too(gencodec: Gencodec, library: Library) -> None:
    outcome = gencodec("encode", "in.mp4", "--size", "huge", "--progress", "json")
    assert outcome.exit_code == 2
    assert [(e["type"], e["kind"], e["command"]) for e in outcome.events] == [
        ("error", "UsageError", "encode")
    ]


def test_result_and_events_share_stderr_without_repeating_the_result(
    gencodec: Gencodec, library: Library
) -> None:
    outcome = gencodec("encode", "-", "-o", "-", "--json", "--progress", "json", stdin=b"y4m")
    assert outcome.stdout == library.product
    assert [event["type"] for event in outcome.events] == ["done"]
    assert outcome.events[0]["result"]["bytes"] == 38_200


def test_the_bar_moves_and_is_wiped() -> None:
    from rich.console import Console

    screen = io.StringIO()
    meter = meters.BarMeter(Console(file=screen, force_terminal=True, width=100))
    for state in (*_states(2, stage="look"), *_states(3)):
        meter.update(state)
    meter._bars.refresh()
    meter.close()
    meter.close()
    assert "code" in screen.getvalue()
    assert "3/40 frames" in screen.getvalue()
    assert screen.getvalue().rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("working", [True, False])
def test_lost_listeners_do_not_stop_the_work(
    gencodec: Gencodec, library: Library, monkeypatch: pytest.MonkeyPatch, working: bool
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    library.progress = _states(3)
    mode = "json" if working else "plain"
    assert gencodec("verify", "in.gnv", "--progress", mode, "--json").exit_code == 0
