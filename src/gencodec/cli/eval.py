"""gencodec eval: how like a video is to its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gencodec.cli import text
from gencodec.cli.console import Console
from gencodec.cli.options import Command, console_options, device_options, json_option

if TYPE_CHECKING:
    from gencodec.evaluation import Evaluation, EvaluationOptions, Metric
    from gencodec.progress import Report

_EPILOG = """\b
Examples:
  gencodec eval in.mp4 out.gnv
  gencodec eval in.mp4 x265.mp4 av1.mkv out.gnv --frames 64
  gencodec eval in.mp4 out.gnv --metrics psnr_y,lpips_squeeze --json

Frames are compared that are shown at the same time. Weights of networks come from the folder
GENCODEC_METRICS_DIR or torch's hub folder. A metric that cannot be computed is named, with what it
would take.
"""
_BETTER = {True: "higher", False: "lower", None: "near 1"}
_COLUMNS = ("mean", "worst", "at frame")


class _Options(TypedDict):
    reference: str
    distorted: tuple[str, ...]
    metrics: str | None
    frames: int | None
    align: bool
    base: bool
    steps: int | None
    download: bool
    device: str
    threads: int | None
    as_json: bool


@click.command(
    "eval", cls=Command, epilog=_EPILOG, short_help="Measure how like videos are to their source."
)
@click.argument("reference", metavar="REF")
@click.argument("distorted", metavar="DIST...", nargs=-1, required=True)
@click.option("--metrics", metavar="NAMES", help="Compute only these, separated by commas.")
@click.option(
    "--frames", type=click.IntRange(min=1), metavar="N", help="Compare the first N frames only."
)
@click.option(
    "--align",
    is_flag=True,
    help="Scale DIST to the size of REF and leave out frames without a partner.",
)
@click.option("--base", is_flag=True, help="Measure a .gnv without its refinement.")
@click.option("--download", is_flag=True, help="Fetch weights of networks that are not at hand.")
@json_option
@device_options
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    metavar="N",
    help="Refinement steps of a .gnv, instead of what the file asks for.",
)
@console_options
@click.pass_obj
def evaluate(console: Console, **given: Unpack[_Options]) -> int:
    """Compare each DIST with REF; each is a video or a .gnv, which is decoded first."""
    if given["base"] and given["steps"]:
        raise click.UsageError("--base means no refinement; leave out --steps")
    _check(given)
    with console.watch() as report:
        from gencodec.evaluation import METRICS
        from gencodec.evaluation import evaluate as compare
        from gencodec.memory import keep_memory

        keep_memory()
        options = _options(given, report)
        found = [compare(given["reference"], each, options) for each in given["distorted"]]
    for evaluation in found:
        for warning in evaluation.warnings:
            console.warn(f"{evaluation.distorted}: {warning}")
    result = {
        "reference": given["reference"],
        "metrics": [asdict(metric) for metric in METRICS.values()],
        "evaluations": [evaluation.to_json() for evaluation in found],
    }
    console.result(result, [], as_json=given["as_json"])
    if not given["as_json"]:
        _show(console, found)
    return 0


def _check(given: _Options) -> None:
    """Refuse what would be refused later, before anything slow is imported.

    Raises:
        SourceError: a file cannot be opened.
        UsageError: there is no such metric.
    """
    from gencodec.evaluation import METRICS
    from gencodec.input import check_input

    if unknown := [name for name in _names(given) or () if name not in METRICS]:
        raise click.UsageError(
            f"--metrics {', '.join(unknown)}: no such metric; there are {', '.join(METRICS)}"
        )
    for path in (given["reference"], *given["distorted"]):
        check_input(path)


def _names(given: _Options) -> tuple[str, ...] | None:
    names = given["metrics"]
    return None if names is None else tuple(name.strip() for name in names.split(","))


def _options(given: _Options, report: Report) -> EvaluationOptions:
    from gencodec.evaluation import EvaluationOptions

    return EvaluationOptions(
        metrics=_names(given),
        align=given["align"],
        frames=given["frames"],
        steps=given["steps"],
        base=given["base"],
        download=given["download"],
        device=given["device"],
        threads=given["threads"],
        on_progress=report,
    )


def _show(console: Console, found: Sequence[Evaluation]) -> None:
    """Print what was compared, a row for each metric, and what could not be computed."""
    from gencodec.evaluation import METRICS

    several = len(found) > 1
    letters = [f"{chr(ord('A') + k)} " if several else "" for k in range(len(found))]
    console.facts({letter: _file(each) for letter, each in zip(letters, found, strict=True)})
    click.echo()
    columns = (f"{letter}{column}" for letter in letters for column in _COLUMNS)
    console.table(
        ("metric:", "better:", *columns),
        (
            (_label(metric), _BETTER[metric.higher_is_better], *_cells(metric.name, found))
            for metric in METRICS.values()
            if any(metric.name in each.scores for each in found)
        ),
    )
    missing = {METRICS[name].label: why for each in found for name, why in each.missing.items()}
    if missing:
        click.echo("\nnot computed, because")
        console.facts(missing)


def _file(evaluation: Evaluation) -> str:
    """Return what a distorted file is."""
    size = f"{evaluation.width}x{evaluation.height}"
    parts = [text.count(evaluation.frames, "frame"), size, text.duration(evaluation.duration)]
    parts.append(text.size(evaluation.bytes))
    if evaluation.bpp is not None:
        parts.append(f"{evaluation.bpp:.4f} bpp")
    return f"{evaluation.distorted}: {', '.join(parts)}"


def _label(metric: Metric) -> str:
    return f"{metric.label}, {metric.unit}" if metric.unit else metric.label


def _cells(name: str, found: Sequence[Evaluation]) -> Iterator[str]:
    """Yield the cells of a metric's row."""
    for evaluation in found:
        score = evaluation.scores.get(name)
        if score is None:
            yield from ("-", "-", "-")
        else:
            at = f"{score.worst_frame} ({text.duration(score.worst_time)})"
            yield from (f"{score.mean:.4g}", f"{score.worst:.4g}", at)
