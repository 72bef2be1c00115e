"""gencodec decode: .gnv in, video out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gencodec.cli import paths, text
from gencodec.cli.console import Console
from gencodec.cli.options import (
    Command,
    console_options,
    device_options,
    json_and_output_option,
    overwrite_options,
)
from gencodec.cli.values import PIXELS, SECONDS
from gencodec.errors import FormatError, IncompleteError, TruncatedError, UnsupportedError
from gencodec.output import sink_kind

if TYPE_CHECKING:
    from gencodec.concealing import Conceal
    from gencodec.results import DecodeResult

_EPILOG = """\b
Examples:
  gencodec decode in.gnv -o out.mp4
  gencodec decode in.gnv -o preview.mp4 --base
  gencodec decode in.gnv -o part.mkv --start 1:02.5 --end 1:10
  gencodec decode in.gnv -o frames/                     PNG, one a frame
  gencodec decode in.gnv -o - | ffplay -                y4m

  gencodec decode damaged.gnv -o out.mp4 --recover --conceal skip

Exit code 7: all there is was decoded, but parts of the file are damaged or missing.
"""


class _Options(TypedDict):
    source: str
    output: str | None
    base: bool
    steps: int | None
    start: Fraction | None
    end: Fraction | None
    recover: bool
    conceal: Conceal | None
    pixel_format: str | None
    max_pixels: int | None
    pack_dirs: tuple[Path, ...]
    device: str
    threads: int | None
    yes: bool
    no: bool
    force: bool
    as_json: bool


@click.command(cls=Command, epilog=_EPILOG, short_help="Turn a .gnv file into a video.")
@click.argument("source", metavar="IN.gnv")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="File (.mp4, .mkv, .mov, .y4m), folder for PNGs, or - for y4m on stdout.",
)
@overwrite_options
@click.option("--base", is_flag=True, help="Skip the refinement: a fast, softer preview.")
@click.option("--start", type=SECONDS, help="First moment to decode: 62.5, 1:02.5.")
@click.option("--end", type=SECONDS, help="Moment to stop at.")
@click.option("--recover", is_flag=True, help="Go on behind damage; tell what is lost.")
@click.option(
    "--conceal",
    type=click.Choice(["freeze", "base", "skip"]),
    help="With --recover, show in place of what is lost: the frame before it, what its damaged "
    "bytes give, or nothing.  [default: freeze]",
)
@click.option(
    "--pix-fmt",
    "pixel_format",
    metavar="NAME",
    help="Samples of .mp4, .mkv, .mov, .y4m: yuv420p10le for 10 bits, yuv444p and others.",
)
@json_and_output_option
@click.option(
    "--pack-dir",
    "pack_dirs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    multiple=True,
    help="Folder to look for model packs in, too; can be repeated.",
)
@device_options
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    metavar="N",
    help="Refinement steps, instead of what the file asks for.",
)
@click.option("--max-pixels", type=PIXELS, help="Refuse larger frames: 1920x1080, 8M.")
@click.option("--force", is_flag=True, help="Write to stdout even if it is a terminal.")
@console_options
@click.pass_obj
def decode(console: Console, **given: Unpack[_Options]) -> int:
    """Decode IN.gnv (a file, or - for stdin) to video."""
    from gencodec.input import check_coded

    source = given["source"]
    _check(given)
    output = paths.check_output(
        given["output"], source, example="OUT.mp4", folder=True, force=given["force"]
    )
    sink_kind(output)
    paths.check_input(source)
    check_coded(source, recover=given["recover"])
    overwrite = paths.may_replace(console, output, yes=given["yes"], no=given["no"])
    stdout_taken = output == paths.STREAM
    with _advice(given), console.watch(stdout_taken=stdout_taken) as report:
        from gencodec.codec import decode as decode_video

        result = decode_video(
            source,
            output,
            base=given["base"],
            steps=given["steps"],
            start=given["start"],
            end=given["end"],
            device=given["device"],
            threads=given["threads"],
            overwrite=overwrite,
            max_pixels=given["max_pixels"],
            pack_dirs=given["pack_dirs"],
            conceal=given["conceal"] or ("freeze" if given["recover"] else None),
            pixel_format=given["pixel_format"],
            on_progress=report,
        )
    console.result(
        result,
        _summary(result, output, console.seconds),
        as_json=given["as_json"],
        stdout_taken=stdout_taken,
    )
    return 0 if result.complete else IncompleteError.exit_code


@contextmanager
def _advice(given: _Options) -> Iterator[None]:
    """Add to what is said of damage behind the start of a file what can be done about it."""
    try:
        yield
    except FormatError as error:
        newer = isinstance(error, (UnsupportedError, TruncatedError))
        if newer or not error.offset or given["recover"]:
            raise
        error.args = (f"{error}; --recover shows what is whole",)
        raise


def _check(given: _Options) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: they do.
    """
    if given["base"] and given["steps"]:
        raise click.UsageError("--base means no refinement; leave out --steps")
    start, end = given["start"], given["end"]
    if given["conceal"] is not None and not given["recover"]:
        raise click.UsageError("--conceal belongs to --recover; add it")
    if end is not None and end <= (start or 0):
        raise click.UsageError(f"--end {text.duration(end)} is not after --start")


def _summary(result: DecodeResult, output: str, seconds: float) -> Iterator[str]:
    """Yield what came out and how long the command took."""
    yield f"{text.name(output)}: {text.picture(result)}"
    low, high = result.steps
    steps = text.count(high, "refinement step") if low == high else f"{low} to {high} steps"
    yield f"{text.speed(result.frames, seconds)}, {steps}, {result.device}"
