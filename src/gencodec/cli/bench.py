"""gencodec bench: gencodec beside real encoders, at the same bytes, on the user's videos."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gencodec.cli import bench_tables
from gencodec.cli.console import Console
from gencodec.cli.extras import needs_extra
from gencodec.cli.options import Command, console_options, device_options, json_option
from gencodec.cli.values import parse_bits_per_pixel
from gencodec.errors import GencodecError, OutputError, SourceError

if TYPE_CHECKING:
    from gencodec.evaluation.bench import BenchOptions
    from gencodec.evaluation.results import Results

_EPILOG = """\b
Examples:
  gencodec bench clip.mp4
  gencodec bench clips/ --report out/
  gencodec bench clip.mp4 --rates 0.02,0.01 --peers x265,svtav1-half
  gencodec bench clip.mp4 --peers none --rows gencodec,gencodec:base,gencodec:steps=4
  gencodec bench clip.mp4 --peers none --rows gencodec,gencodec:gvc-t2v,gencodec:gvc-flf2v

Peers: x264, x265, svtav1, vp9; vvenc (program vvencapp); ffmpeg-libaom-av1 and other encoders of an
ffmpeg on the PATH. With -half at the end they code at half size and show it enlarged by Lanczos.
What is finished is kept: the same command goes on where it was interrupted, and a new rate or codec
costs only itself.

Exit code 1: gencodec itself failed somewhere; the table says where. A failing peer is only shown.
"""
_NONE = "none"


class _Options(TypedDict):
    clips: tuple[Path, ...]
    rates: str | None
    peers: str | None
    rows: str
    base: bool
    steps: str | None
    frames: int
    metrics: str | None
    out: Path
    report: Path | None
    cache: Path | None
    pack: str
    device: str
    threads: int | None
    as_json: bool


@click.command(
    cls=Command, epilog=_EPILOG, short_help="Compare with real encoders at the same bytes."
)
@click.argument(
    "clips", metavar="CLIPS...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--rates", metavar="BPP,...", help="Bits per pixel.  [default: 0.05,0.02,0.01,0.005,0.0025]"
)
@click.option(
    "--peers",
    metavar="NAMES",
    help="Encoders to compare with, or none.  "
    "[default: x264,x265,svtav1,vp9,x265-half,svtav1-half, and vvenc if it is there]",
)
@click.option(
    "--rows",
    metavar="NAMES",
    default="gencodec",
    show_default=True,
    help="gencodec with settings: gencodec:base, gencodec:steps=2:noise, gencodec:gop=33, "
    "gencodec:gvc-t2v:steps=20.",
)
@click.option("--base", is_flag=True, help="Add the row gencodec:base, without refinement.")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=64,
    metavar="N",
    show_default=True,
    help="Frames of each clip, from its start.",
)
@click.option("--metrics", metavar="NAMES", help="Compute only these, separated by commas.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gencodec-bench.json"),
    show_default=True,
    help="Results as JSON; those of an earlier run are replaced.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page with curves, tables and a player.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    envvar="GENCODEC_CACHE",
    show_envvar=True,
    help="Folder of finished work.  [default: ~/.cache/gencodec]",
)
@json_option
@click.option(
    "--pack", default="mini", metavar="NAME", show_default=True, help="Model pack: name or folder."
)
@device_options
@click.option(
    "--steps", metavar="N,...", help="Add a row gencodec:steps=N for each number of steps."
)
@console_options
@click.pass_obj
def bench(console: Console, **given: Unpack[_Options]) -> int:
    """Code each of CLIPS (videos, or folders of videos) with every codec at every rate."""
    console.resume = "run the same command again to go on where it stopped"
    with needs_extra("eval", "a benchmark"), console.watch() as report:
        from gencodec.evaluation.bench import bench as run_bench
        from gencodec.memory import keep_memory

        keep_memory()
        _check_out(given["out"])
        options = _options(given)
        results = run_bench(
            given["clips"],
            options,
            on_results=lambda results: results.save(given["out"]),
            on_progress=report,
        )
        page = None
        if given["report"] is not None:
            from gencodec.evaluation.report import write_report

            page = write_report(
                results, options.cache, given["report"], report=report, warn=console.warn
            )
    for warning in results.warnings:
        console.warn(warning)
    console.result(results.to_json(), [], as_json=given["as_json"])
    if not given["as_json"]:
        bench_tables.show(console, results)
    console.note(str(given["out"]))
    if page is not None:
        console.note(str(page))
    return GencodecError.exit_code if _own_failures(results) else 0


def _options(given: _Options) -> BenchOptions:
    from gencodec.evaluation.bench import RATES, BenchOptions

    cache = given["cache"] or _default_cache()
    return BenchOptions(
        cache=cache.absolute(),
        rates=RATES if given["rates"] is None else _rates(given["rates"]),
        rows=_rows(given),
        peers=_peers(given["peers"]),
        frames=given["frames"],
        metrics=None if given["metrics"] is None else _names(given["metrics"]),
        pack=given["pack"],
        device=given["device"],
        threads=given["threads"],
        command=tuple(sys.argv[1:]),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(parse_bits_per_pixel(name) for name in _names(text))
    except ValueError as error:
        raise click.UsageError(f"--rates: {error}") from error


def _rows(given: _Options) -> tuple[str, ...]:
    steps = _names(given["steps"] or "")
    added = (*(["gencodec:base"] if given["base"] else []), *(f"gencodec:steps={n}" for n in steps))
    rows = () if given["rows"] == _NONE else _names(given["rows"])
    return tuple(dict.fromkeys((*rows, *added)))


def _peers(text: str | None) -> tuple[str, ...]:
    from gencodec.peers import available_peers

    if text is None:
        return available_peers()
    return () if text == _NONE else _names(text)


def _default_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "gencodec"


def _check_out(out: Path) -> None:
    """Refuse to replace what is no result of an earlier run, before hours of work.

    Raises:
        OutputError: something else stands there, or its folder does not exist.
    """
    from gencodec.evaluation.results import Results

    if not out.absolute().parent.is_dir():
        raise OutputError(f"folder {out.parent} does not exist; create it first")
    if out.exists():
        try:
            Results.load(out)
        except SourceError as error:
            raise OutputError(f"{error}; it will not be replaced, name another --out") from error


def _own_failures(results: Results) -> bool:
    own = {codec.name for codec in results.codecs if not codec.peer}
    return any(point.error for point in results.points if point.codec in own)
