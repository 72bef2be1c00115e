"""Encode a clip at 0.02 bits per pixel, decode it, and show what became of it: `make demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

import gencodec
from benchmarks import scene
from gencodec.cli import text
from gencodec.evaluation import METRICS, Evaluation, EvaluationOptions, evaluate
from gencodec.frames import Pixels, open_source

_FRAMES = 99  # 4 s, three groups
_BPP = 0.02
_MARGIN, _CAPTION = 4, 18  # pixels
_METRICS = ("psnr_y", "psnr_rgb", "ms_ssim", "lpips_squeeze")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit code."""
    given = _parse(arguments)
    people = Console(stderr=True, highlight=False)
    given.out.mkdir(parents=True, exist_ok=True)
    clip = given.clip
    try:
        if clip is None:
            clip = scene.write_clip(given.out / "generated.mp4", _FRAMES)
        _demonstrate(clip, given, people)
    except gencodec.GencodecError as error:
        people.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.demo", description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video; without one, a made one")
    parser.add_argument("--bpp", type=float, default=_BPP, help="bits per pixel")
    parser.add_argument("--pack", default="mini", help="model pack: name or folder")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--picture", type=Path, help="the picture of both  [OUT/strip.png]")
    parser.add_argument("--columns", type=int, default=5, help="frames in the picture")
    parser.add_argument("--width", type=int, help="pixels of a frame in the picture")
    return parser.parse_args(arguments)


def _demonstrate(clip: Path, given: argparse.Namespace, people: Console) -> None:
    coded = given.out / f"{clip.stem}.gnv"
    decoded = given.out / f"{clip.stem}.decoded.mp4"
    with people.status("") as status:
        encoding = gencodec.encode(
            clip,
            coded,
            target=gencodec.Target(bpp=given.bpp),
            pack=given.pack,
            threads=given.threads,
            overwrite=True,
            on_progress=_report(status.update),
        )
        decoding = gencodec.decode(
            coded,
            decoded,
            threads=given.threads,
            overwrite=True,
            on_progress=_report(status.update),
        )
        status.update("comparing")
        options = EvaluationOptions(metrics=_METRICS, threads=given.threads)
        scores = evaluate(clip, decoded, options)
        picture = given.picture or given.out / "strip.png"
        at = _spread(scores.frames, given.columns)
        captions = (clip.name, f"{coded.name}, {encoding.bpp:.4f} bpp")
        _strip(_pairs(clip, decoded), at, captions, given.width).save(picture, optimize=True)
    for warning in (*encoding.warnings, *decoding.warnings):
        people.print(f"warning: {warning}", style="yellow", markup=False)
    Console(highlight=False).print(_table(clip, coded, encoding, decoding, scores))
    people.print(f"{coded}\n{decoded}\n{picture}", markup=False)


def _report(show: Callable[[str], None]) -> Callable[[gencodec.Progress], None]:
    words = {"look": "looking at the clip", "code": "encoding", "decode": "decoding"}

    def report(progress: gencodec.Progress) -> None:
        of = f" of {progress.total}" if progress.total else ""
        show(f"{words.get(progress.stage, progress.stage)}: {progress.frames}{of} frames")

    return report


def _pairs(source: Path, decoded: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """Yield the frames of two videos side by side, as stored."""
    with open_source(source) as first, open_source(decoded) as second:
        for a, b in zip(first.frames(), second.frames(), strict=True):
            yield a.rgb, b.rgb


def _table(
    clip: Path,
    coded: Path,
    encoding: gencodec.EncodeResult,
    decoding: gencodec.DecodeResult,
    scores: Evaluation,
) -> Table:
    """Return what the two runs did, for people."""
    size = clip.stat().st_size
    low, high = encoding.quality
    rows = {
        "video": text.picture(encoding),
        "source": f"{text.size(size)}, {_kbps(size, encoding.seconds)}",
        "coded": f"{text.size(encoding.bytes)}, {encoding.kbps:.1f} kbit/s, "
        f"{encoding.bpp:.4f} bpp, 1/{size / encoding.bytes:.3g} of the source",
        "of it container": text.size(encoding.container_bytes),
        "quality index": f"{low}" if low == high else f"{low} and {high}",
        **{METRICS[name].label: _value(name, scores) for name in _METRICS},
        "encode": text.speed(encoding.frames, encoding.encode_seconds),
        "decode": text.speed(decoding.frames, decoding.decode_seconds),
        "model, device": f"{encoding.pack}; {encoding.device}",
    }
    table = Table(title=coded.name, show_header=False)
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _value(name: str, scores: Evaluation) -> str:
    """Return a metric for people; empty if it was not computed."""
    if name not in scores.scores:
        return ""
    return f"{scores.scores[name].mean:.4g} {METRICS[name].unit}".strip()


def _kbps(size: int, seconds: Fraction) -> str:
    return f"{8 * size / 1000 / float(seconds):.0f} kbit/s" if seconds else "one picture"


def _spread(frames: int, columns: int) -> list[int]:
    """Return the numbers of at most `columns` frames, evenly spread over the video."""
    return sorted({(2 * k + 1) * frames // (2 * columns) for k in range(columns)})


def _strip(
    pairs: Iterator[tuple[Pixels, Pixels]],
    numbers: Sequence[int],
    captions: tuple[str, str],
    width: int | None,
) -> Image.Image:
    """Return the chosen frames in columns, the source above the decoded one."""
    chosen = [pair for k, pair in enumerate(islice(pairs, numbers[-1] + 1)) if k in numbers]
    rows = [np.concatenate([pair[row] for pair in chosen], axis=1) for row in (0, 1)]
    pictures = [Image.fromarray(row) for row in rows]
    if width is not None:
        height = round(pictures[0].height * width / chosen[0][0].shape[1])
        pictures = [
            p.resize((width * len(chosen), height), Image.Resampling.LANCZOS) for p in pictures
        ]
    wide, high = pictures[0].size
    strip = Image.new("RGB", (wide, 2 * (high + _CAPTION)), "white")
    draw = ImageDraw.Draw(strip)
    for row, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        top = row * (high + _CAPTION)
        draw.text((_MARGIN, top + _MARGIN), caption, fill="black")
        strip.paste(picture, (0, top + _CAPTION))
    return strip


if __name__ == "__main__":
    sys.exit(main())
