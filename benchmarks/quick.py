"""What moved since the last release: `make bench-quick`, a few minutes on made clips.

Quality is compared at the same bytes, speed as a share of what x264 does on this machine at the
same time. Results of releases are in `results/`, `--keep` writes those of this version.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

import gencodec
from benchmarks import scene, yardstick
from gencodec.evaluation.bd_rate import bd_rate
from gencodec.evaluation.bench import BenchOptions, bench
from gencodec.evaluation.results import Point, Results

RESULTS = Path(__file__).parent / "results"
_SUFFIX = ".quick.json"
_UNIT = "yardstick_seconds"  # in `Results.machine`: x264's time for all clips
_FRAMES = 17
_SIZES = {"meadow": (352, 288), "ridge": (320, 180)}  # name -> size; the seed is its place
_ROWS, _PEERS = ("gencodec", "gencodec:base"), ("x264",)
_RATES = (0.05, 0.02, 0.01)
_METRICS = (
    "psnr_y",
    "ms_ssim",
    "lpips_squeeze",
    "squeeze10",
    "tdiff",
    "activity_ratio",
    "warp_error",
    "tlpips_squeeze",
    "band_ratio_0",
    "band_ratio_1",
)
_SHARE = 0.01  # of a metric's value, below which a difference is noise
_DECIBELS = 0.05
_BYTES_PERCENT = 2.0  # of BD-rate
_SPEED_SHARE = 0.25
_MEMORY_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Something that differs from the last release.

    Attributes:
        what: codec, and clip and rate where there is one.
        name: of the metric or figure.
        before, now: its values.
        worse: it became worse; None where nobody can say.
        guarded: whether being worse is a failure; speeds are not, machines are never idle.
    """

    what: str
    name: str
    before: float | None
    now: float | None
    worse: bool | None
    guarded: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, compare, print; 1 if quality became worse."""
    given = _parse(arguments)
    people = Console(stderr=True, highlight=False)
    try:
        now = measure(given.pack, given.threads, people)
        stored = last_release(given.results)
        before = None if stored is None else Results.load(stored)
        if given.keep:
            now.save(given.results / f"{gencodec.__version__}{_SUFFIX}")
    except gencodec.GencodecError as error:
        people.print(f"error: {error}", style="red", markup=False)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if before is None or stored is None:
        people.print(f"no results in {given.results} to compare with; --keep writes the first")
        return 0
    found = list(moves(before, now))
    _show(found, stored.name.removesuffix(_SUFFIX))
    return 1 if any(move.worse and move.guarded for move in found) else 0


def measure(pack: str, threads: int, people: Console) -> Results:
    """Run the benchmark on the made clips, nothing of it from a cache."""
    with (
        tempfile.TemporaryDirectory(prefix="gencodec-quick-") as folder,
        people.status("") as status,
    ):
        work = Path(folder)
        clips = [
            scene.write_clip(
                work / f"{name}.mp4", _FRAMES, *size, picture=scene.landscape(seed=seed)
            )
            for seed, (name, size) in enumerate(_SIZES.items(), start=1)
        ]
        options = BenchOptions(
            cache=work / "cache",
            rates=_RATES,
            rows=_ROWS,
            peers=_PEERS,
            frames=_FRAMES,
            metrics=_METRICS,
            pack=pack,
            device="cpu",
            threads=threads,
        )
        units = [sum(yardstick.seconds(clip, work, threads) for clip in clips)]
        found = bench(
            clips,
            options,
            on_progress=lambda p: status.update(f"{p.frames} of {p.total} points: {p.detail}"),
        )
        units.append(sum(yardstick.seconds(clip, work, threads) for clip in clips))
    return replace(
        found,
        machine={**found.machine, _UNIT: fmean(units)},
        clips=tuple(replace(clip, video="") for clip in found.clips),
        points=tuple(replace(point, video="", stream="") for point in found.points),
    )


def last_release(folder: Path) -> Path | None:
    """Return the stored results of the highest version, None if there are none."""
    stored = list(folder.glob(f"*{_SUFFIX}"))
    return max(stored, key=_version, default=None)


def _version(path: Path) -> list[int]:
    parts = path.name.removesuffix(_SUFFIX).split(".")
    return [int(part) if part.isdecimal() else -1 for part in parts]


def moves(before: Results, now: Results) -> Iterator[Move]:
    """Yield what differs beyond noise: BD-rates, points, speed and memory, of rows and peers."""
    own = [codec.name for codec in now.codecs if not codec.peer]
    for codec in own:
        yield from _bytes_moves(before, now, codec)
    old = {(p.clip, p.codec, p.target_bpp): p for p in before.points}
    for point in now.points:
        was = old.get((point.clip, point.codec, point.target_bpp))
        if was is not None:
            yield from _point_moves(was, point, now, guarded=point.codec in own)
    yield from _speed_moves(before, now)


def _bytes_moves(before: Results, now: Results, codec: str) -> Iterator[Move]:
    """Yield the bytes now needed for the same value of a metric, mean over the clips."""
    for metric in now.metrics:
        if metric.higher_is_better is None:
            continue
        found = [
            bd_rate(
                _curve(before, clip.name, codec, metric.name),
                _curve(now, clip.name, codec, metric.name),
                higher_is_better=metric.higher_is_better,
            ).percent
            for clip in now.clips
        ]
        percents = [percent for percent in found if percent is not None]
        if percents and abs(fmean(percents)) > _BYTES_PERCENT:
            percent = fmean(percents)
            name = f"bytes for the same {metric.label}, %"
            yield Move(what=codec, name=name, before=0, now=percent, worse=percent > 0)


def _curve(results: Results, clip: str, codec: str, metric: str) -> list[tuple[float, float]]:
    return [
        (point.bpp, point.scores[metric].mean)
        for point in results.points
        if (point.clip, point.codec) == (clip, codec) and point.bpp and metric in point.scores
    ]


def _point_moves(was: Point, now: Point, about: Results, *, guarded: bool) -> Iterator[Move]:
    what = f"{now.codec}, {now.clip}, {now.target_bpp:g} bpp"
    if (was.error is None) != (now.error is None):
        failed = now.error is not None
        yield Move(what=what, name=now.error or "works again", before=None, now=None, worse=failed)
        return
    for metric in about.metrics:
        if metric.name not in was.scores or metric.name not in now.scores:
            continue
        a, b = was.scores[metric.name].mean, now.scores[metric.name].mean
        noise = _DECIBELS if metric.unit == "dB" else _SHARE * abs(a)
        if abs(b - a) <= noise:
            continue
        if metric.higher_is_better is None:
            worse = abs(b - 1) > abs(a - 1)
        else:
            worse = (b < a) if metric.higher_is_better else (b > a)
        yield Move(what=what, name=metric.label, before=a, now=b, worse=worse, guarded=guarded)


def _speed_moves(before: Results, now: Results) -> Iterator[Move]:
    """Yield frames a second as a multiple of x264's then and there, and memory."""
    old = {speed.codec: speed for speed in before.speed}
    for speed in now.speed:
        was = old.get(speed.codec)
        if was is None:
            continue
        for side in ("encode", "decode"):
            key = f"{side}_frames_per_second"
            pair = _share(before, getattr(was, key)), _share(now, getattr(speed, key))
            name = f"{side} speed / {yardstick.NAME}"
            yield from _figure(speed.codec, name, pair, _SPEED_SHARE, more_is_worse=False)
            peaks = getattr(was, f"{side}_peak_bytes"), getattr(speed, f"{side}_peak_bytes")
            pair = peaks[0] and peaks[0] / 1e6, peaks[1] and peaks[1] / 1e6
            yield from _figure(
                speed.codec, f"{side} memory, MB", pair, _MEMORY_SHARE, more_is_worse=True
            )


def _share(results: Results, frames_per_second: float | None) -> float | None:
    """Return a speed as a multiple of the yardstick's; None if either is not known."""
    unit = results.machine.get(_UNIT)
    if frames_per_second is None or not unit:
        return None
    frames = sum(clip.frames for clip in results.clips)
    return frames_per_second * float(unit) / frames


def _figure(
    what: str,
    name: str,
    pair: tuple[float | None, float | None],
    share: float,
    *,
    more_is_worse: bool,
) -> Iterator[Move]:
    before, now = pair
    if before and now and abs(now / before - 1) > share:
        worse = (now > before) == more_is_worse
        yield Move(what=what, name=name, before=before, now=now, worse=worse, guarded=False)


def _show(found: Sequence[Move], version: str) -> None:
    console = Console(highlight=False, markup=False)
    if not found:
        console.print(f"nothing moved beyond noise since {version}")
        return
    table = Table(title=f"moved since {version}")
    for column in ("", "figure", version, "now"):
        table.add_column(column, justify="right" if column in (version, "now") else "left")
    styles = {True: "red", False: "green", None: None}
    for move in found:
        values = ("" if value is None else f"{value:.4g}" for value in (move.before, move.now))
        table.add_row(move.what, move.name, *values, style=styles[move.worse])
    console.print(table)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.quick", description=__doc__)
    parser.add_argument("--pack", default="mini", help="model pack: name or folder")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of stored results")
    parser.add_argument("--keep", action="store_true", help="store the results of this version")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
