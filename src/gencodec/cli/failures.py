"""Every way a command can end early: its exit code and the words for it.

    1    other                       6    the .gnv is damaged
    2    usage                       7    recovered, but incomplete
    3    input                       8    target not reached
    4    output                      9    out of memory, or no such device
    5    model pack                130    Ctrl-C (SIGINT); 143 SIGTERM, 129 SIGHUP

A reader that closes stdout has what it wanted: that is no failure, and the exit code is 0.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from dataclasses import dataclass

import click

from gencodec.cli.console import Console
from gencodec.errors import (
    ExecutionError,
    GencodecError,
    IncompleteError,
    OutputError,
    TargetError,
)

_OUTPUT_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_WRITTEN = (IncompleteError, TargetError)  # there is an output, it is only not all that was asked

_INTERRUPTED, _CLOSED = "Interrupted", "ClosedPipe"
_UNWANTED = (_INTERRUPTED, _CLOSED)  # nobody waits for what stdout still holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a command ended early.

    Attributes:
        exit_code: what the process returns.
        kind: name of the error, for programs.
        message: for people; empty if there is nothing to say.
        hint: a second line for people.
        warning: the output exists, so it is a warning rather than an error.
    """

    exit_code: int
    kind: str
    message: str = ""
    hint: str = ""
    warning: bool = False


def explain(error: BaseException, *, interrupted: int | None, resume: str = "") -> Failure:
    """Return what an exception means to the user.

    Args:
        error: anything a command raised.
        interrupted: exit code of a signal that came first; whatever is raised then is its echo.
        resume: how to go on after an interrupt, if that is possible.
    """
    if interrupted is not None or isinstance(error, KeyboardInterrupt):
        code = 130 if interrupted is None else interrupted
        message = "interrupted" if code == 130 else "terminated"
        message += f"; {resume}" if resume else ""
        return Failure(exit_code=code, kind=_INTERRUPTED, message=message)
    if _is_broken_pipe(error):
        return Failure(exit_code=0, kind=_CLOSED)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, GencodecError):
        return Failure(
            exit_code=error.exit_code,
            kind=_public_kind(error),
            message=str(error),
            warning=isinstance(error, _WRITTEN),
        )
    return _foreign(error)


def report(error: BaseException, console: Console, *, interrupted: int | None) -> int:
    """Say what an exception means, and return the exit code of the process."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    failure = explain(error, interrupted=interrupted, resume=console.resume)
    settle_stdout(discard=failure.kind in _UNWANTED)
    if not failure.message:
        console.end(failure.exit_code)
        return failure.exit_code
    if console.debug:
        console.trace("".join(traceback.format_exception(error)).rstrip())
    if failure.warning and console.mode != "json":
        console.warn(failure.message)
    elif failure.kind == _INTERRUPTED and console.mode != "json":
        console.note(failure.message)
    else:
        console.error(failure.message, kind=failure.kind, exit_code=failure.exit_code)
    if failure.hint:
        console.note(failure.hint)
    return failure.exit_code


def settle_stdout(*, discard: bool = False) -> None:
    """Write out or discard what stdout holds, so that the flush at shutdown cannot fail or hang.

    Source: Python documentation, module signal, "Note on SIGPIPE".
    """
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError):
        if not discard:
            sys.stdout.flush()
            return
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def _public_kind(error: GencodecError) -> str:
    """Return the class of an error in `gencodec.errors`; parts of the library refine some."""
    public = (each for each in type(error).__mro__ if each.__module__ == GencodecError.__module__)
    return next(public).__name__


def _usage(error: click.ClickException) -> Failure:
    """Return click's message, without its two lines of usage."""
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context is not None else ""
    return Failure(
        exit_code=error.exit_code,
        kind="UsageError",
        message=error.format_message(),
        hint=hint,
    )


def _foreign(error: BaseException) -> Failure:
    """Return what an error means that no part of the library raised on purpose."""
    kind = type(error).__name__
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":  # the latter is torch's
        message = "out of memory; try a smaller --gop, or another --device"
        return Failure(exit_code=ExecutionError.exit_code, kind="ExecutionError", message=message)
    if isinstance(error, OSError) and error.errno in _OUTPUT_FULL:
        message = f"the output cannot be written: {error.strerror}"
        return Failure(exit_code=OutputError.exit_code, kind="OutputError", message=message)
    detail = " ".join(str(error).split())
    return Failure(
        exit_code=GencodecError.exit_code,
        kind=kind,
        message=f"unexpected {kind}{': ' if detail else ''}{detail}",
        hint="this is a bug: please report it, with what --debug prints",
    )


def _is_broken_pipe(error: BaseException) -> bool:
    """Return whether a closed reader is the cause; the library may have wrapped it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, BrokenPipeError):
            return True
        cause = cause.__cause__
    return False
