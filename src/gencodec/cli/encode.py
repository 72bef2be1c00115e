"""gencodec encode: video in, .gnv out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from gencodec.cli import paths, text
from gencodec.cli.console import Console
from gencodec.cli.options import (
    Command,
    console_options,
    device_options,
    json_option,
    overwrite_options,
)
from gencodec.cli.values import BITRATE, BITS_PER_PIXEL, PIXELS, SIZE, SOUND
from gencodec.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gencodec.frames.tracks import Mode
    from gencodec.rate import Target
    from gencodec.results import EncodeResult

_DEFAULT_BPP = 0.01
_EPILOG = """\b
Examples:
  gencodec encode in.mp4 -o out.gnv
  gencodec encode in.mp4 -o out.gnv --bitrate 20k
  gencodec encode in.mp4 -o out.gnv --size 500kB -y
  ffmpeg -i in.mkv -f yuv4mpegpipe - | gencodec encode - -o - > out.gnv

Exit code 8: the file is written, but larger than the target that was named.
"""


class _Options(TypedDict):
    source: str
    output: str | None
    bpp: float | None
    bitrate: float | None
    size: int | None
    quality: int | None
    audio: tuple[Mode, int | None]
    pack: str
    gop: int | None
    max_pixels: int | None
    resume: bool
    device: str
    threads: int | None
    yes: bool
    no: bool
    force: bool
    as_json: bool


@click.command(cls=Command, epilog=_EPILOG, short_help="Turn a video into a .gnv file.")
@click.argument("source", metavar="IN")
@click.option("-o", "--output", metavar="OUT", help="File to write, or - for stdout.")
@overwrite_options
@json_option
@click.option(
    "--bpp",
    type=BITS_PER_PIXEL,
    help=f"Bits per pixel of the video alone.  [default: {_DEFAULT_BPP}]",
)
@click.option("--bitrate", type=BITRATE, help="Bits per second of the video alone: 20k, 1.5M.")
@click.option("--size", type=SIZE, help="Bytes of the whole file, sound included: 500kB, 2MiB.")
@click.option(
    "--quality",
    type=click.IntRange(0, 63),
    metavar="N",
    help="Fixed quality index, 0 to 63; larger is better.",
)
@click.option(
    "--audio",
    type=SOUND,
    default="auto",
    metavar="copy|opus[:KBPS]|none",
    help="Sound: as it is, as Opus, or none; by default the smaller of the first two.",
)
@click.option(
    "--pack", default="mini", metavar="NAME", show_default=True, help="Model pack: name or folder."
)
@device_options
@click.option(
    "--gop",
    type=click.IntRange(min=1),
    metavar="N",
    help="Frames coded together at most, 4n + 1: longer groups cost less, but seek coarser.",
)
@click.option("--max-pixels", type=PIXELS, help="Refuse larger frames: 1920x1080, 8M.")
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Keep finished groups while writing, so that an interrupted encode can go on.  "
    "[default: resume]",
)
@click.option("--force", is_flag=True, help="Write to stdout even if it is a terminal.")
@console_options
@click.pass_obj
def encode(console: Console, **given: Unpack[_Options]) -> int:
    """Encode the video IN (a file, or - for y4m or a container on stdin) as .gnv."""
    target, named = _target(given)
    source = given["source"]
    output = paths.check_output(given["output"], source, example="OUT.gnv", force=given["force"])
    paths.check_input(source)
    overwrite = paths.may_replace(console, output, source, yes=given["yes"], no=given["no"])
    stdout_taken = output == paths.STREAM
    if given["resume"] and not stdout_taken and source != paths.STREAM:
        console.resume = f"go on with: {shlex.join(['gencodec', *sys.argv[1:]])}"
    with console.watch(stdout_taken=stdout_taken) as report:
        from gencodec.codec import encode as encode_video
        from gencodec.frames import Sound

        mode, kilobits = given["audio"]
        result = encode_video(
            source,
            output,
            target=target,
            gop=given["gop"],
            pack=given["pack"],
            device=given["device"],
            threads=given["threads"],
            overwrite=overwrite,
            max_pixels=given["max_pixels"],
            sound=Sound(mode=mode, kilobits=kilobits),
            resume=given["resume"],
            on_progress=report,
        )
    console.result(
        result,
        _summary(result, source, output),
        as_json=given["as_json"],
        stdout_taken=stdout_taken,
    )
    return TargetError.exit_code if named and result.too_large else 0


def _target(given: _Options) -> tuple[Target, bool]:
    """Return the target, and whether the user named it.

    Raises:
        UsageError: more than one target.
    """
    from gencodec.rate import Target

    rates = {name: given[name] for name in ("bpp", "bitrate", "size", "quality")}
    named = [f"--{name}" for name, value in rates.items() if value is not None]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} exclude each other; name one target")
    if not named:
        return Target(bpp=_DEFAULT_BPP), False
    target = Target(
        bpp=given["bpp"],
        bitrate=given["bitrate"],
        size=given["size"],
        quality=given["quality"],
    )
    return target, True


def _summary(result: EncodeResult, source: str, output: str) -> Iterator[str]:
    """Yield what people want to know: what it is, what it costs, how long it took."""
    yield f"{text.name(output)}: {text.picture(result)}"
    wanted = ""
    if result.target_bpp is not None:
        wanted = f" (target {result.target_bpp:.4f})"
    size = f"{text.size(result.bytes)}, {result.bpp:.4f} bpp{wanted}, {result.kbps:.1f} kbit/s"
    if source != paths.STREAM and Path(source).is_file():
        ratio = Path(source).stat().st_size / result.bytes
        size += f", 1/{ratio:.3g} of the input"
    carried = text.size(result.carried_bytes)
    beside = f", {carried} sound, subtitles and tags" if result.carried_bytes else ""
    yield f"{size}; {text.size(result.container_bytes)} of it container{beside}"
    low, high = result.quality
    quality = f"quality {low}" if low == high else f"quality {low} to {high}"
    speed = text.speed(result.frames, result.encode_seconds)
    yield f"{speed}, {quality}, pack {result.pack}, {result.device}"
