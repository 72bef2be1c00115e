"""Which files a command may read and replace. Asks before it overwrites; `-` is stdin or stdout."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import click

from gencodec.cli.console import Console, is_terminal, printable
from gencodec.errors import OutputError
from gencodec.output import check_target

STREAM = "-"


def check_input(source: str) -> None:
    """Refuse to wait for a video that somebody would have to type.

    Raises:
        UsageError: the source is stdin, and stdin is a terminal or closed.
    """
    if source == STREAM and (sys.stdin is None or is_terminal("stdin")):
        raise click.UsageError("IN is '-', but nothing is piped into stdin")


def check_output(
    output: str | None,
    source: str,
    *,
    example: str,
    folder: bool = False,
    force: bool = False,
) -> str:
    """Return the output if it is named, writable in kind and not the input.

    Args:
        output: what -o says.
        source: the input, `-` for stdin.
        example: a good output, for the message.
        folder: whether the output may be a folder.
        force: write binary data even to a terminal.

    Raises:
        UsageError: no output is named.
        OutputError: the output is a terminal, a folder, the input itself, or in no folder.
    """
    if not output:
        raise click.UsageError(f"no output is named; add -o {example}, or -o - for stdout")
    if output == STREAM:
        if sys.stdout is None:
            raise OutputError("stdout is closed; name a file with -o")
        if is_terminal("stdout") and not force:
            raise OutputError(
                "stdout is a terminal, which cannot show this; pipe it somewhere, name a file "
                "with -o, or add --force"
            )
    elif Path(output).is_dir() and not folder:
        raise OutputError(f"{output} is a folder; name a file such as {example}")
    else:
        check_target(output, [] if source == STREAM else [Path(source)])
    return output


def may_replace(console: Console, output: str, *, yes: bool = False, no: bool = False) -> bool:
    """Return whether something exists at the output that shall be replaced.

    Nothing to lose are missing files, empty folders, devices and pipes. Without -y or -n a person
    is asked, if one is there.

    Raises:
        UsageError: both -y and -n.
        OutputError: something exists and shall stay.
    """
    if yes and no:
        raise click.UsageError("-y and -n exclude each other")
    if output == STREAM or not _holds_data(output):
        return False
    if yes:
        return True
    if no:
        raise OutputError(f"{output} exists, and -n says to keep it")
    if not (is_terminal("stdin") and is_terminal("stderr")):
        raise OutputError(f"{output} exists; add -y to overwrite it")
    if not _confirm(f"{output} exists. Overwrite it? [y/N] "):
        raise OutputError(f"{output} is kept")
    return True


def _holds_data(output: str) -> bool:
    path = Path(output)
    try:
        mode = path.stat().st_mode
    except OSError:
        return False  # missing, or a name the library will complain about
    if stat.S_ISDIR(mode):
        return any(path.iterdir())
    return stat.S_ISREG(mode)


def _confirm(question: str) -> bool:
    """Ask on stderr, read a line from stdin. Click's own turns Ctrl-C into something else."""
    click.echo(printable(question), err=True, nl=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
