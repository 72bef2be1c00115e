"""gencodec train: learn the networks of a model pack."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click

from gencodec.cli import text
from gencodec.cli.console import Console
from gencodec.cli.extras import needs_extra
from gencodec.cli.options import Command, console_options, device_options, json_option

_EPILOG = """\b
Examples:
  gencodec train mini --clips clips/a clips/b --minutes 60
  gencodec train mini --clips clips/a --stage prior --from packs/mini --minutes 30
"""


class _Options(TypedDict):
    recipe: str
    clips: tuple[Path, ...]
    run: Path | None
    minutes: float
    stages: tuple[str, ...]
    start_from: str | None
    metrics_dir: Path | None
    device: str
    threads: int | None
    as_json: bool


class _TrainCommand(Command):
    """Lets --clips and --stage take several values in a row, as a shell's `dir*` gives them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeated: list[str] = []
        option = ""
        for arg in args:
            if arg.startswith("-"):
                option = arg if arg in ("--clips", "--stage") else ""
            elif option and repeated[-1] != option:
                repeated.append(option)
            repeated.append(arg)
        return super().parse_args(ctx, repeated)


@click.command(cls=_TrainCommand, epilog=_EPILOG, short_help="Learn the networks of a model pack.")
@click.argument("recipe")
@click.option(
    "--clips",
    type=click.Path(path_type=Path),
    metavar="DIR...",
    multiple=True,
    required=True,
    help="Folders with videos to learn from.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for checkpoints, log and pack.  [default: runs/RECIPE]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=30,
    show_default=True,
    help="Stop after this time; the next run goes on.",
)
@click.option(
    "--stage",
    "stages",
    metavar="NAME...",
    multiple=True,
    help="Stages to run; all of the recipe by default.",
)
@click.option(
    "--from",
    "start_from",
    metavar="PACK",
    help="Start from the weights of a pack: name or folder.",
)
@click.option(
    "--metrics-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with weights of perceptual metrics.",
)
@device_options
@json_option
@console_options
@click.pass_obj
def train(console: Console, **given: Unpack[_Options]) -> int:
    """Train by RECIPE (such as mini), from the last checkpoint if there is one."""
    console.resume = "run the same command again to go on from the last checkpoint"
    with needs_extra("train", "training"), console.watch() as report:
        from gencodec.training import train as train_pack

        result = train_pack(
            given["recipe"],
            clips=given["clips"],
            run=given["run"] or Path("runs") / given["recipe"],
            minutes=given["minutes"],
            stages=given["stages"] or None,
            start_from=given["start_from"],
            device=given["device"],
            threads=given["threads"],
            metrics_dir=given["metrics_dir"],
            on_progress=report,
        )
    steps = ", ".join(f"{stage} {number}" for stage, number in result.steps.items())
    line = f"steps: {steps}; {text.duration(result.seconds)}; pack in {result.pack}"
    console.result(result, [line, f"log in {result.log}"], as_json=given["as_json"])
    return 0
