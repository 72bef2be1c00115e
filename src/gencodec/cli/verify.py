"""gencodec verify: is every byte of a .gnv as it was written?"""

from __future__ import annotations

import click

from gencodec.cli import paths, text
from gencodec.cli.console import Console
from gencodec.cli.options import Command, console_options, json_option
from gencodec.errors import IncompleteError

_EPILOG = """\b
Examples:
  gencodec verify in.gnv
  gencodec verify - --json < in.gnv
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Check that a .gnv is undamaged.")
@click.argument("source", metavar="IN.gnv")
@json_option
@console_options
@click.pass_obj
def verify(console: Console, *, source: str, as_json: bool) -> int:
    """Check every checksum of IN.gnv (a file, or - for stdin) and decode every symbol.

    Exit code 6 means damaged, 7 means undamaged as far as it goes, but incomplete.
    """
    paths.check_input(source)
    with console.watch() as report:
        from gencodec.verification import verify as verify_file

        result = verify_file(source, on_progress=report)
    if not result.complete:
        console.warn(f"{source} has no end; {text.count(result.groups, 'group')} could be checked")
    groups, frames = text.count(result.groups, "group"), text.count(result.frames, "frame")
    checked = f"{groups}, {frames}, {text.count(result.symbols, 'symbol')}"
    found = "no damage" if result.complete else "no damage so far, but the rest is missing"
    line = f"{source}: {checked}, {text.size(result.bytes)}: {found}"
    console.result(result, [line], as_json=as_json)
    return 0 if result.complete else IncompleteError.exit_code
