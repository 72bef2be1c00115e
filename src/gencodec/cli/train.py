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
  gencodec train mini --clips clips/a --stage pixels --from packs/mini --minutes 30
  gencodec train wan2.1-vace-1.3b --dry-run --processes 2
  accelerate launch --num_processes 2 -m gencodec train wan2.1-vace-1.3b --clips clips/a
"""


class _Options(TypedDict):
    recipe: str
    clips: tuple[Path, ...]
    run: Path | None
    minutes: float
    stages: tuple[str, ...]
    start_from: str | None
    metrics_dir: Path | None
    dry_run: bool
    processes: int
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
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print parameters, memory of a GPU and hours of every stage; train nothing.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="GPUs that --dry-run counts with; `accelerate launch` starts that many.",
)
@device_options
@json_option
@console_options
@click.pass_obj
def train(console: Console, **given: Unpack[_Options]) -> int:
    """Train by RECIPE (mini, wan2.1-vace-1.3b), from the last checkpoint if there is one."""
    if given["dry_run"]:
        return _estimate(console, given)
    if not given["clips"]:
        raise click.UsageError("Missing option '--clips'; give folders with videos to learn from.")
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


def _estimate(console: Console, given: _Options) -> int:
    """Print what a recipe takes."""
    with needs_extra("train", "training"):
        from gencodec.training import estimate, recipe_of
        from gencodec.training.costs import FLOPS, USED

        stages = estimate(recipe_of(given["recipe"]), given["processes"])
    lines = [
        f"{stage.stage}: {stage.trained / 1e6:,.1f} M parameters trained, "
        f"{stage.frozen / 1e6:,.1f} M frozen; batch {stage.batch}; "
        f"{text.size(stage.memory_bytes)} a GPU; "
        + ("as long as --minutes" if stage.hours is None else _steps(stage.steps, stage.hours))
        for stage in stages
    ]
    assumed = f"assumed: {given['processes']} GPU at {USED:.0%} of {FLOPS / 1e12:.0f} TFLOP/s"
    console.result({"stages": stages}, [*lines, assumed], as_json=given["as_json"])
    return 0


def _steps(steps: int | None, hours: float) -> str:
    return f"{steps:,} steps, {hours:,.0f} hours"
