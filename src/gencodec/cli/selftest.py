"""gencodec selftest: does this machine decode as every other?"""

from __future__ import annotations

import click

from gencodec.cli import text
from gencodec.cli.console import Console
from gencodec.cli.options import Command, console_options, json_option
from gencodec.errors import GencodecError

_EPILOG = """\b
Examples:
  gencodec selftest
  gencodec selftest --json

Exit code 1: something differs; paste the line that is printed into a bug report.
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Check that this machine decodes as others.")
@json_option
@console_options
@click.pass_obj
def selftest(console: Console, *, as_json: bool) -> int:
    """Decode the golden files on every device, compare with the stored digests, print one line."""
    from gencodec.selftest import selftest as run_selftest

    result = run_selftest(on_progress=console.note)
    speed = text.count(result.symbols, "symbol")
    lines = [f"{result.files} files, {speed}: {'as they should be' if result.ok else 'DIFFERENT'}"]
    console.result(result, lines, as_json=as_json)
    if not as_json:
        click.echo(result.line)
    return 0 if result.ok else GencodecError.exit_code
