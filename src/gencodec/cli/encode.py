"""gencodec encode: video in, .gnv out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

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
from gencodec.cli.values import BITRATE, BITS_PER_PIXEL, PIXELS, SIZE, SOUND
from gencodec.effort import EFFORTS, USUAL_EFFORT
from gencodec.errors import TargetError
from gencodec.output import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gencodec.frames.tracks import Mode
    from gencodec.gvc import GvcSettings
    from gencodec.gvc_plan import GvcPlan
    from gencodec.rate import Target
    from gencodec.results import EncodeResult

PROFILES = ("gnvc-vd", "gvc-t2v", "gvc-i2v", "gvc-flf2v")
_DEFAULT_BPP = 0.01
_EPILOG = """\b
Examples:
  gencodec encode in.mp4 -o out.gnv
  gencodec encode in.mp4 -o out.gnv --bitrate 20k
  gencodec encode in.mp4 -o out.gnv --size 500kB -y
  gencodec encode in.mp4 -o out.gnv --profile gvc-t2v --bpp 0.004
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
    profile: str
    atoms: int | None
    steps: int | None
    codebook: int | None
    g_scale: float | None
    reference_quality: int | None
    prompt: str | None
    x0_cache: bool
    dry_run: bool
    pack: str
    effort: int
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
@json_and_output_option
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
    help="Fixed quality index, 0 to 63; larger is better.  The lowest are coded as higher indices "
    "of pictures of half the size.",
)
@click.option(
    "--audio",
    type=SOUND,
    default="auto",
    metavar="copy|opus[:KBPS]|none",
    help="Sound: as it is, as Opus, or none; by default the smaller of the first two.",
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default=PROFILES[0],
    show_default=True,
    help="The coder: gvc steers a flow model instead of coding latents; i2v and flf2v start from "
    "coded pictures of a group's first frame, or of its first and last.",
)
@click.option(
    "--atoms",
    type=click.IntRange(min=0),
    metavar="N",
    help="gvc: atoms of each step and latent frame, instead of a rate.",
)
@click.option(
    "--steps", type=click.IntRange(1, 255), metavar="N", help="gvc: steps of the sampler."
)
@click.option(
    "--codebook", type=click.IntRange(min=2), metavar="N", help="gvc: atoms to choose from."
)
@click.option("--g-scale", type=float, metavar="X", help="gvc: strength of the sampler's noise.")
@click.option(
    "--prompt",
    metavar="TEXT",
    help="gvc: what is to be seen, for packs of Wan networks with their text encoder; kept in OUT.",
)
@click.option(
    "--reference-quality",
    type=click.IntRange(0, 63),
    metavar="N",
    help="gvc: quality index of reference pictures.  [default: 32, or what half the rate allows]",
)
@click.option(
    "--x0-cache", is_flag=True, help="gvc: evaluate the model at every other step: half the time."
)
@click.option(
    "--dry-run", is_flag=True, help="gvc: print what it would write and take, and write nothing."
)
@click.option(
    "--effort",
    type=click.IntRange(EFFORTS[0], EFFORTS[-1]),
    default=USUAL_EFFORT,
    metavar="0..3",
    show_default=True,
    help="Time to take for the same bytes: 3 shows most, 0 is fastest. Decoding is the same.",
)
@click.option(
    "--pack", default="mini", metavar="NAME", show_default=True, help="Model pack: name or folder."
)
@device_options
@click.option(
    "--gop",
    type=click.IntRange(min=1),
    metavar="N",
    help="Frames coded together at most, 4n + 1: longer groups cost less, but seek coarser. "
    "Unless given, groups are shorter where much moves.",
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
    gvc = _gvc_settings(given)
    source = given["source"]
    if given["dry_run"]:
        return _plan(console, given, target, gvc)
    output = paths.check_output(given["output"], source, example="OUT.gnv", force=given["force"])
    paths.check_input(source)
    _check_name(output)
    _check(given)
    overwrite = paths.may_replace(console, output, yes=given["yes"], no=given["no"])
    stdout_taken = output == paths.STREAM
    kept = given["resume"] and gvc is None
    if kept and not stdout_taken and source != paths.STREAM:
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
            effort=given["effort"],
            device=given["device"],
            threads=given["threads"],
            overwrite=overwrite,
            max_pixels=given["max_pixels"],
            sound=Sound(mode=mode, kilobits=kilobits),
            resume=given["resume"],
            gvc=gvc,
            on_progress=report,
        )
    console.result(
        result,
        _summary(result, source, output, console.seconds),
        as_json=given["as_json"],
        stdout_taken=stdout_taken,
    )
    return TargetError.exit_code if named and result.too_large else 0


def _check_name(output: str) -> None:
    """Refuse names under which players would look for something else."""
    if Path(output).suffix.lower() in VIDEO_SUFFIXES:
        raise click.UsageError(
            f"{output} would be a .gnv file under the name of another kind; name it "
            f"{Path(output).with_suffix('.gnv')}, and decode that to {output}"
        )


def _check(given: _Options) -> None:
    """Refuse what would be refused later, before anything slow is imported.

    Raises:
        SourceError: the input cannot be opened, or is coded already.
        PackError: the pack is not installed, or has no codec.
        UsageError: the pack cannot code groups of this length.
    """
    from gencodec.geometry import check_group_frames
    from gencodec.input import check_video
    from gencodec.packs import find_pack, read_manifest

    check_video(given["source"])
    manifest = read_manifest(find_pack(given["pack"]))
    if given["profile"] == PROFILES[0]:
        manifest.require_codec()
    if given["gop"] is not None:
        check_group_frames(given["gop"], manifest.group_frames_max)


def _target(given: _Options) -> tuple[Target, bool]:
    """Return the target, and whether the user named it.

    Raises:
        UsageError: more than one target.
    """
    from gencodec.rate import Target

    rates = {name: given[name] for name in ("bpp", "bitrate", "size", "quality", "atoms")}
    named = [f"--{name}" for name, value in rates.items() if value is not None]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} exclude each other; name one target")
    if not named or given["atoms"] is not None:
        return Target(bpp=_DEFAULT_BPP), False
    target = Target(
        bpp=given["bpp"],
        bitrate=given["bitrate"],
        size=given["size"],
        quality=given["quality"],
    )
    return target, True


def _gvc_settings(given: _Options) -> GvcSettings | None:
    """Return the settings of the coder gvc, if it is asked for.

    Raises:
        UsageError: settings of gvc for another coder.
    """
    named = {
        "atoms": given["atoms"],
        "steps": given["steps"],
        "codebook": given["codebook"],
        "g_scale": given["g_scale"],
        "reference_quality": given["reference_quality"],
        "prompt": given["prompt"],
        "cache": given["x0_cache"] or None,
    }
    settings: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    profile, _, variant = given["profile"].partition("-")
    if profile != "gvc":
        if settings:
            names = {"cache": "x0_cache"}
            options = ["--" + names.get(key, key).replace("_", "-") for key in settings]
            raise click.UsageError(
                f"{' and '.join(options)} need --profile gvc-t2v, -i2v or -flf2v"
            )
        return None
    from gencodec.gvc import GvcSettings

    return GvcSettings(variant=variant, **settings)


def _plan(console: Console, given: _Options, target: Target, gvc: GvcSettings | None) -> int:
    """Print what an encode with gvc would do."""
    if gvc is None:
        raise click.UsageError("--dry-run needs a --profile of gvc")
    paths.check_input(given["source"])
    _check(given)
    from gencodec.gvc_plan import plan

    found = plan(
        given["source"],
        gvc,
        target=target,
        gop=given["gop"],
        pack=given["pack"],
        device=given["device"],
        threads=given["threads"],
        max_pixels=given["max_pixels"],
    )
    console.result(found, _planned(found), as_json=given["as_json"])
    return 0


def _planned(found: GvcPlan) -> Iterator[str]:
    least, most = (f"{atoms:.3g}" for atoms in found.atoms)
    atoms = least if least == most else f"{least} to {most}"
    yield f"{text.picture(found)}, {text.count(found.groups, 'group')}"
    yield f"{text.size(found.bytes)}, {found.bpp:.4f} bpp, {atoms} atoms a step and latent frame"
    took = f"{found.evaluation_seconds:.3g} s for a whole group"
    yield f"{found.evaluations} evaluations of the flow model, {took}"
    coding, showing = text.duration(found.encode_seconds), text.duration(found.decode_seconds)
    yield f"{coding} for encoding, {showing} for decoding, on {found.device}"
    weights = f"transformer of {text.size(found.transformer_bytes)}"
    if found.offloaded:
        weights += ", which stays in main memory and visits the device block by block"
    yield f"{text.size(found.peak_bytes)} of memory; pack {found.pack}, {weights}"


def _summary(result: EncodeResult, source: str, output: str, seconds: float) -> Iterator[str]:
    """Yield what people want to know: what it is, what it costs, how long the command took."""
    yield f"{text.name(output)}: {text.picture(result)}"
    wanted = ""
    if result.target_bpp is not None:
        wanted = f" (target {result.target_bpp:.4f})"
    size = f"{text.size(result.bytes)}, {result.bpp:.4f} bpp{wanted}, {result.kbps:.1f} kbit/s"
    if source != paths.STREAM and Path(source).is_file():
        ratio = Path(source).stat().st_size / result.bytes
        shown = f"{ratio:.3g}" if ratio < 1000 else f"{ratio:.0f}"
        size += f", 1/{shown} of the input"
    carried = text.size(result.carried_bytes)
    beside = f", {carried} sound, subtitles and tags" if result.carried_bytes else ""
    yield f"{size}; {text.size(result.container_bytes)} of it container{beside}"
    if result.resumed:
        yield f"went on from an interrupted run: {result.resumed} codings of groups were finished"
    low, high = result.quality
    quality = f"quality {low}" if low == high else f"quality {low} to {high}"
    if result.atoms is not None:
        least, most = (f"{atoms:.3g}" for atoms in result.atoms)
        quality = f"{least} atoms" if least == most else f"{least} to {most} atoms"
    speed = text.speed(result.frames, seconds)
    yield f"{speed}, {quality}, pack {result.pack}, {result.device}"
