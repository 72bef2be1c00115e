"""gencodec completions: what a shell needs to complete this command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class, shell_complete

from gencodec.cli.options import Command, debug_option

COMPLETE_VARIABLE = "_GENCODEC_COMPLETE"

_EPILOG = """\b
Examples:
  eval "$(gencodec completions bash)"           in ~/.bashrc
  eval "$(gencodec completions zsh)"            in ~/.zshrc
  gencodec completions fish > ~/.config/fish/completions/gencodec.fish
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def completions(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"no completion is known for {shell}")
    click.echo(completion(ctx.find_root().command, {}, "gencodec", COMPLETE_VARIABLE).source())


def complete(cli: click.Command, instruction: str) -> int:
    """Answer a shell's request for completions."""
    return shell_complete(cli, {}, "gencodec", COMPLETE_VARIABLE, instruction)
