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
_OURS, _PEER = "gencodec", "x264"
_SHOWN = {"psnr_y": "PSNR-Y", "lpips": "LPIPS", "temporal": "temporal", "activity": "activity"}
_SAME_SIZE = 0.05  # share by which x264's bytes may differ from ours

Result = dict[str, Any]


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
    found = [_measure_one(clip, bpp, options) for clip in _clips(options) for bpp in _BPP]
    means = [_mean(found, bpp) for bpp in _BPP]
    return Section(
        title=f"picture, first {options.frames} frames, gencodec / x264 {_PRESET} of the same size",
        columns=("clip", "asked bpp", "bpp", *_SHOWN.values()),
        rows=[_row(result) for result in (*found, *means)],
        data={"frames": options.frames, "x264_preset": _PRESET, "clips": found, "means": means},
        notes=[*(_verdict(found, bpp) for bpp in _BPP), *_unequal(found)],
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


def _measure_one(clip: Path, bpp: float, options: Options) -> Result:
    """Return what gencodec and x264 make of a clip at one rate."""
    with _part(clip, options.frames) as part:
        data, quality = _encode(part, bpp, options)
        ours = metrics.compare(zip(part.pictures(), _decode(data, options), strict=True))
        peer = x264.encode_to_size(partial(_x264, part, options.threads), len(data))
        theirs = metrics.compare(_same_size(part.pictures(), x264.decode(peer)))
        per_pixel = 8 / (part.info.width * part.info.height * ours.frames)
    return {
        "clip": clip.stem,
        "asked_bpp": bpp,
        _OURS: {"bpp": len(data) * per_pixel, "quality": quality, **asdict(ours)},
        _PEER: {"bpp": peer.bytes * per_pixel, "crf": peer.crf, **asdict(theirs)},
    }


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


def _mean(found: list[Result], bpp: float) -> Result:
    """Return the means over the clips at one rate."""
    rows = [result for result in found if result["asked_bpp"] == bpp]
    mean: Result = {"clip": f"mean of {len(rows)}", "asked_bpp": bpp}
    for coder in (_OURS, _PEER):
        values = {name: [row[coder][name] for row in rows] for name in ("bpp", *_SHOWN)}
        mean[coder] = {n: None if None in each else fmean(each) for n, each in values.items()}
    return mean


def _row(result: Result) -> list[object]:
    """Return a line of the table."""
    cells = (_both(result[_OURS][name], result[_PEER][name]) for name in _SHOWN)
    return [result["clip"], result["asked_bpp"], f"{result[_OURS]['bpp']:.4f}", *cells]


def _both(ours: float | None, theirs: float | None) -> str | None:
    return None if ours is None or theirs is None else f"{ours:.4g} / {theirs:.4g}"


def _verdict(found: list[Result], bpp: float) -> str:
    """Say on how many clips LPIPS is no worse than x264's."""
    rows = [result for result in found if result["asked_bpp"] == bpp]
    pairs = [(row[_OURS]["lpips"], row[_PEER]["lpips"]) for row in rows]
    if any(None in pair for pair in pairs):
        return f"{bpp} bpp: LPIPS not computed, GENCODEC_METRICS_DIR has no weights"
    wins = sum(ours <= theirs for ours, theirs in pairs)
    return f"{bpp} bpp: LPIPS no worse than x264's on {wins} of {len(pairs)} clips"


def _unequal(found: list[Result]) -> list[str]:
    """Name the clips where x264 could not match the size."""
    ratios = [(each, each[_PEER]["bpp"] / each[_OURS]["bpp"]) for each in found]
    return [
        f"{each['clip']}, {each['asked_bpp']} bpp: x264's bytes are {ratio:.2f} times ours"
        for each, ratio in ratios
        if abs(ratio - 1) > _SAME_SIZE
    ]
