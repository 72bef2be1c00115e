"""How good the pictures are at low rates, beside x264 with the same number of bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks import metrics, scene, x264
from benchmarks.report import Options, Section
from gencodec.decoding import Decoder
from gencodec.encoding import Encoder
from gencodec.execution import Execution
from gencodec.frames import Frame, FrameSource, Pixels, VideoInfo, open_source
from gencodec.packs import find_pack
from gencodec.packs.models import load_models
from gencodec.rate import Target

_BPP = (0.02, 0.005)
_SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".y4m", ".avi"}
_PRESET = "veryslow"
_SAME_SIZE = 0.05  # share by which x264's bytes may differ from ours


class _Part:
    """The first frames of a source, which looks like a source itself."""

    rewindable = True

    def __init__(self, source: FrameSource, frames: int) -> None:
        self._source, self._frames = source, frames
        self.info: VideoInfo = source.info

    def frames(self) -> Iterator[Frame]:
        return islice(self._source.frames(), self._frames)

    def pictures(self) -> Iterator[Pixels]:
        return (frame.rgb for frame in self.frames())


def measure(options: Options) -> Section:
    """Code the first frames of every clip at low rates with gencodec and with x264."""
    clips = _clips(options)
    found = [
        result for clip in clips for bpp in _BPP for result in _measure_one(clip, bpp, options)
    ]
    columns = ("clip", "asked bpp", "coder", "bpp", "PSNR-Y", "LPIPS", "temporal", "activity")
    keys = ("clip", "asked_bpp", "coder", "bpp", "psnr_y", "lpips", "temporal", "activity")
    means = _means(found)
    return Section(
        title=f"picture, first {options.frames} frames",
        columns=columns,
        rows=[[row[key] for key in keys] for row in (*found, *means)],
        data={"frames": options.frames, "clips": found, "means": means},
        notes=[*_verdicts(found), *_unequal(found)],
    )


def _clips(options: Options) -> list[Path]:
    """Return the clips to measure.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    if options.clips is None:
        return [scene.write_clip(options.work / "generated.mp4", options.frames)]
    clips = sorted(p for p in options.clips.iterdir() if p.suffix.lower() in _SUFFIXES)
    if not clips:
        raise FileNotFoundError(f"no video in {options.clips}")
    return clips


@contextmanager
def _part(clip: Path, frames: int) -> Iterator[_Part]:
    with open_source(clip) as source:
        yield _Part(source, frames)


def _measure_one(clip: Path, bpp: float, options: Options) -> list[dict[str, Any]]:
    """Return what gencodec and x264 make of a clip at one rate."""
    with _part(clip, options.frames) as part:
        data, quality = _encode(part, bpp, options)
        ours = metrics.compare(zip(part.pictures(), _decode(data, options), strict=True))
        attempt = partial(_x264, part, options.threads)
        peer = x264.encode_to_size(attempt, len(data))
        theirs = metrics.compare(_same_size(part.pictures(), x264.decode(peer)))
        pixels = part.info.width * part.info.height * ours.frames
    rows = [
        {"coder": "gencodec", "bytes": len(data), "quality": quality, **asdict(ours)},
        {"coder": f"x264 {_PRESET}", "bytes": peer.bytes, "crf": peer.crf, **asdict(theirs)},
    ]
    return [
        {"clip": clip.name, "asked_bpp": bpp, "bpp": 8 * int(row["bytes"]) / pixels, **row}
        for row in rows
    ]


def _encode(part: _Part, bpp: float, options: Options) -> tuple[bytes, tuple[int, int]]:
    """Return the whole file and the lowest and highest quality index in it."""
    execution = Execution.choose("cpu", threads=options.threads)
    models = load_models(find_pack(options.pack), execution)
    stream = io.BytesIO()
    encoder = Encoder(part, models, Target(bpp=bpp), models.defaults.group_frames, None)  # type: ignore[arg-type]  # acts like a source
    encoded = encoder.run(stream)
    return stream.getvalue(), encoded.quality


def _decode(data: bytes, options: Options) -> Iterator[Pixels]:
    execution = Execution.choose("cpu", threads=options.threads)
    decoder = Decoder(io.BytesIO(data), execution)
    return (frame.rgb for frame in decoder.frames(decoder.reader.groups()))


def _x264(part: _Part, threads: int, crf: float) -> x264.Coded:
    rate = Fraction(part.info.frame_rate)
    return x264.encode(part.pictures(), crf=crf, preset=_PRESET, threads=threads, rate=rate)


def _same_size(
    sources: Iterator[Pixels], decoded: Iterator[Pixels]
) -> Iterator[tuple[Pixels, Pixels]]:
    """Pair frames; x264's lack the last row or column of an odd size."""
    for a, b in zip(sources, decoded, strict=True):
        yield a[: b.shape[0], : b.shape[1]], b


def _means(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row of means for every rate and coder."""
    names = ("bpp", "psnr_y", "lpips", "temporal", "activity")
    means = []
    for bpp, coder in sorted({(row["asked_bpp"], row["coder"]) for row in found}, reverse=True):
        rows = [r for r in found if (r["asked_bpp"], r["coder"]) == (bpp, coder)]
        values = {name: [row[name] for row in rows if row[name] is not None] for name in names}
        mean = {name: fmean(each) if each else None for name, each in values.items()}
        means.append({"clip": f"mean of {len(rows)}", "asked_bpp": bpp, "coder": coder, **mean})
    return means


def _verdicts(found: list[dict[str, Any]]) -> list[str]:
    """Say for every rate on how many clips LPIPS is no worse than x264's."""
    lines = []
    for bpp in _BPP:
        pairs = _pairs(found, bpp)
        known = [(a, b) for a, b in pairs if a["lpips"] is not None and b["lpips"] is not None]
        if known:
            wins = sum(a["lpips"] <= b["lpips"] for a, b in known)
            lines.append(f"{bpp} bpp: LPIPS no worse than x264's on {wins} of {len(known)} clips")
        else:
            lines.append(f"{bpp} bpp: LPIPS not computed, GENCODEC_METRICS_DIR has no weights")
    return lines


def _unequal(found: list[dict[str, Any]]) -> list[str]:
    """Name the clips where x264 could not match the size."""
    return [
        f"{a['clip']}, {bpp} bpp: x264's bytes are {b['bytes'] / a['bytes']:.2f} times ours"
        for bpp in _BPP
        for a, b in _pairs(found, bpp)
        if abs(b["bytes"] / a["bytes"] - 1) > _SAME_SIZE
    ]


def _pairs(found: list[dict[str, Any]], bpp: float) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the rows of gencodec and of x264 at one rate, clip by clip."""
    rows = [row for row in found if row["asked_bpp"] == bpp]
    return list(zip(rows[::2], rows[1::2], strict=True))
