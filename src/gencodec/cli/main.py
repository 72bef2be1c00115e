"""The command `gencodec`: its subcommands, and how a run begins and ends."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from gencodec.cli.bench import bench
from gencodec.cli.completions import COMPLETE_VARIABLE, complete, completions
from gencodec.cli.console import Console
from gencodec.cli.decode import decode
from gencodec.cli.encode import encode
from gencodec.cli.eval import evaluate
from gencodec.cli.failures import report
from gencodec.cli.info import info
from gencodec.cli.models import models
from gencodec.cli.options import debug_option
from gencodec.cli.selftest import selftest
from gencodec.cli.signals import Signals
from gencodec.cli.train import train
from gencodec.cli.verify import verify
from gencodec.errors import OutputError
from gencodec.waiting import wait_briefly

_PROGRAM = "gencodec"


class _Commands(click.Group):
    """Lists commands in the order people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click calls it
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{_PROGRAM} {version(_PROGRAM)}")
        ctx.exit()


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: gencodec encode --help",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
@debug_option
@click.pass_context
def cli(ctx: click.Context) -> int | None:
    """Turn video into very small files, and back into sharp video."""
    if ctx.invoked_subcommand is not None:
        return None
    click.echo(ctx.get_help(), err=True)
    return click.UsageError.exit_code


for _command in (
    encode,
    decode,
    info,
    verify,
    evaluate,
    bench,
    models,
    train,
    selftest,
    completions,
):
    cli.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises what a user could cause."""
    with Signals() as signals:
        console = Console(signals)
        try:
            if instruction := os.environ.get(COMPLETE_VARIABLE):
                return complete(cli, instruction)
            with cli.make_context(_PROGRAM, list(arguments), obj=console) as context:
                value = cli.invoke(context)
            _flush_stdout()
            exit_code = value if isinstance(value, int) else 0
            console.end(exit_code)
        except BaseException as error:  # noqa: BLE001  # the one place where everything ends
            exit_code = report(error, console, interrupted=signals.exit_code)
        return exit_code


def main() -> NoReturn:
    """Run the command line of this process and leave it with the exit code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # other libraries' advice to programmers
    wait_briefly()
    sys.exit(run(sys.argv[1:]))


def _flush_stdout() -> None:
    """Write out what stdout still holds while an error can still be told.

    Raises:
        OutputError: stdout is full.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"stdout cannot be written: {error.strerror}") from error
