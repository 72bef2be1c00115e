"""All that people and programs see: messages and progress on stderr, results on stdout.

With --progress json, stderr holds JSON objects only, one a line, each with a `type`:

    progress    see `EventMeter`
    warning     message
    traceback   message; with --debug only
    done        command, exit_code, result (the object --json prints, or null); always the last line
    error       command, exit_code, kind (class of the error), message; always the last line

Consumers ignore types and keys they do not know.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

import click

from gencodec.cli.meters import BarMeter, EventMeter, Meter, NoMeter, PlainMeter
from gencodec.progress import Progress, Report

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

    from gencodec.cli.signals import Signals

ProgressMode = Literal["auto", "plain", "json", "off"]


class Console:
    """What one run of a command says, and where.

    Attributes:
        mode: how progress is shown; "json" turns everything on stderr into events.
        debug: whether errors come with a traceback.
        command: name of the command that runs, for events.
        resume: what to tell somebody who interrupted the command, empty if nothing is kept.
    """

    def __init__(self, signals: Signals) -> None:
        self.mode: ProgressMode = "auto"
        self.debug = os.environ.get("GENCODEC_DEBUG", "") not in ("", "0")
        self.command = ""
        self.resume = ""
        self._signals = signals
        self._result: object = None
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long people have been waiting for this command."""
        return time.monotonic() - self._started

    @cached_property
    def _people(self) -> RichConsole:
        return _rich_console(stderr=True)

    def note(self, text: str) -> None:
        """Say something to people; programs that read events do not get it."""
        if self.mode != "json":
            self._say("", "", text)

    def trace(self, text: str) -> None:
        """Show a traceback to whoever looks for a bug."""
        if self.mode == "json":
            self._event("traceback", {"message": text})
        else:
            self._say("", "dim", text)

    def warn(self, text: str) -> None:
        """Say that something is not as the user might think."""
        if self.mode == "json":
            self._event("warning", {"message": text})
        else:
            self._say("warning: ", "bold yellow", text)

    def error(self, text: str, *, kind: str, exit_code: int) -> None:
        """Say why the command ends early; the last thing said."""
        if self.mode == "json":
            ending = {"command": self.command, "exit_code": exit_code, "kind": kind}
            self._event("error", {**ending, "message": text})
        else:
            self._say("error: ", "bold red", text)

    def end(self, exit_code: int) -> None:
        """Write the last event of a command that came to its end; people need none."""
        if self.mode == "json" and self.command:
            ending = {"command": self.command, "exit_code": exit_code, "result": self._result}
            self._event("done", ending)

    def result(
        self,
        result: object,
        lines: Iterable[str],
        *,
        as_json: bool = False,
        stdout_taken: bool = False,
    ) -> None:
        """Show what came out of a command: its warnings, then the result.

        Args:
            result: a result dataclass of the library, or a mapping.
            lines: the summary for people, on stderr.
            as_json: print the result as one JSON object instead of the summary.
            stdout_taken: stdout carries the product, so the JSON object goes to stderr (as part of
                the last event if progress is JSON too).
        """
        for warning in getattr(result, "warnings", ()):
            self.warn(str(warning))
        self._result = as_record(result)
        if not as_json:
            for line in lines:
                self.note(line)
        elif not stdout_taken:
            click.echo(json.dumps(self._result))
        elif self.mode != "json":
            self._write(json.dumps(self._result))

    def table(
        self,
        columns: Iterable[str],
        rows: Iterable[Iterable[object]],
        *,
        red: Collection[int] = (),
    ) -> None:
        """Print a table as a result on stdout; a column with a ":" at its end holds text.

        Args:
            columns: titles.
            rows: cells.
            red: numbers of the rows that are bad news, from 0.
        """
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column.removesuffix(":"), justify="left" if ":" in column else "right")
        for number, row in enumerate(rows):
            style = "red" if number in red else None
            table.add_row(*(printable(str(cell)) for cell in row), style=style)
        self._print_table(table)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Print names and values as a result on stdout."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")  # long paths too are shown whole
        for name, value in facts.items():
            table.add_row(name, printable(str(value)))
        self._print_table(table)

    @contextlib.contextmanager
    def watch(self, *, stdout_taken: bool = False) -> Iterator[Report]:
        """Give the callback that shows progress, and wipe what it shows at the end.

        Args:
            stdout_taken: stdout feeds another program, which may draw on the same terminal.
        """
        meter = self._meter(stdout_taken=stdout_taken)

        def report(progress: Progress) -> None:
            self._signals.raise_if_received()
            meter.update(progress)

        try:
            yield report
        finally:
            meter.close()

    def _meter(self, *, stdout_taken: bool) -> Meter:
        if self.mode == "off":
            return NoMeter()
        if self.mode == "json":
            return EventMeter(self._event)
        if self.mode == "plain" or stdout_taken or not _can_draw():
            return PlainMeter(self.note)
        return BarMeter(self._people)

    def _say(self, label: str, style: str, text: str) -> None:
        from rich.text import Text

        with contextlib.suppress(OSError, ValueError):  # nobody listens: the product matters more
            shown = Text.assemble((label, style), printable(text, keep="\n"))
            self._people.print(shown, soft_wrap=True)

    def _event(self, kind: str, fields: Mapping[str, object]) -> None:
        self._write(json.dumps({"type": kind, **fields}))

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            click.echo(line, err=True)

    def _print_table(self, table: Table) -> None:
        console = _rich_console(stderr=False)
        if not console.is_terminal:
            console.width = 10_000  # nothing may be cut that a program reads
        console.print(table, crop=False)


def as_record(value: object) -> object:
    """Return a result as what JSON can hold: fractions become floats, unknown numbers null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: as_record(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(name): as_record(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_record(item) for item in value]
    if isinstance(value, (Fraction, float)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, PurePath):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with every control character shown as an escape; files may be hostile."""
    return "".join(
        character if character.isprintable() or character in keep else ascii(character)[1:-1]
        for character in text
    )


def is_terminal(name: Literal["stdin", "stdout", "stderr"]) -> bool:
    """Return whether a standard stream is open and a terminal."""
    stream = getattr(sys, name)
    return stream is not None and not stream.closed and stream.isatty()


def _can_draw() -> bool:
    """Return whether stderr is a terminal where a bar can move, and nobody records it."""
    dumb = os.environ.get("TERM", "") in ("dumb", "unknown") or bool(os.environ.get("CI"))
    return is_terminal("stderr") and not dumb


def _rich_console(*, stderr: bool) -> RichConsole:
    """Return a rich console that honours NO_COLOR and TERM, and leaves broken pipes to us."""
    from rich.console import Console as RichConsole

    class Quiet(RichConsole):
        def on_broken_pipe(self) -> None:
            if not stderr:
                raise BrokenPipeError  # the reader of the result is gone: the command ends
            self.quiet = True  # the reader of messages is gone: the work goes on

    return Quiet(stderr=stderr, highlight=False, markup=False, emoji=False)
