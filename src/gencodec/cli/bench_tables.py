"""The tables of gencodec bench: what people look at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gencodec.cli.console import Console
    from gencodec.evaluation.results import MetricInfo, Point, Results, Speed

_FIRST = ("psnr_y", "ms_ssim", "lpips_squeeze", "vmaf", "warp_error", "band_ratio_0")
_NOTHING = "-"


def show(console: Console, results: Results) -> None:
    """Print means over the clips, BD-rates and speeds; failures are red."""
    metrics = _chosen(results)
    several = "" if len(results.clips) == 1 else f", mean of {len(results.clips)} clips"
    click.echo(f"at the same bytes{several}")
    rows = list(_means(results, metrics))
    console.table(
        ("codec:", "asked bpp", "bpp", "reached", *map(_label, metrics), "note:"),
        rows,
        red=[number for number, row in enumerate(rows) if row[-1]],
    )
    directed = [each for each in metrics if each.higher_is_better is not None]
    if any(each.clip is None for each in results.bd_rates) and directed:
        click.echo("\nBD-rate: bytes for the same value; below 0 the first needs fewer")
        console.table(
            ("codec:", "against:", *(each.label for each in directed)),
            _bd_rows(results, directed),
        )
    click.echo("\nspeed and memory, all rates and clips")
    console.table(
        ("codec:", "encode frames/s", "decode frames/s", "encode MB", "decode MB"),
        (_speed_row(results, each) for each in results.speed),
    )


def _chosen(results: Results) -> list[MetricInfo]:
    """Return the metrics that fit a line: well-known ones first, else whatever was computed."""
    computed = {name for point in results.points for name in point.scores}
    there = [each for each in results.metrics if each.name in computed]
    chosen = [each for each in there if each.name in _FIRST]
    return chosen or there[: len(_FIRST)]


def _means(results: Results, metrics: Sequence[MetricInfo]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each codec and rate, how many clips came near it, and what failed."""
    rates = sorted({point.target_bpp for point in results.points}, reverse=True)
    for codec in results.codecs:
        for rate in rates:
            points = [
                point
                for point in results.points
                if (point.codec, point.target_bpp) == (codec.name, rate)
            ]
            good = [point for point in points if point.error is None]
            errors = dict.fromkeys(f"{p.clip}: {p.error}" for p in points if p.error)
            yield (
                codec.label,
                f"{rate:g}",
                _mean([point.bpp for point in good], "{:.4f}"),
                f"{sum(point.reached for point in good)}/{len(points)}",
                *(_mean(_values(good, each.name), "{:.4g}") for each in metrics),
                "; ".join(errors),
            )


def _values(points: Sequence[Point], name: str) -> list[float | None]:
    return [point.scores[name].mean if name in point.scores else None for point in points]


def _mean(values: Sequence[float | None], style: str) -> str:
    known = [value for value in values if value is not None]
    return style.format(fmean(known)) if known and len(known) == len(values) else _NOTHING


def _bd_rows(results: Results, metrics: Sequence[MetricInfo]) -> Iterator[tuple[str, ...]]:
    means = {
        (each.codec, each.anchor, each.metric): each
        for each in results.bd_rates
        if each.clip is None
    }
    labels = {codec.name: codec.label for codec in results.codecs}
    for codec, anchor in dict.fromkeys((codec, anchor) for codec, anchor, _ in means):
        cells = []
        for metric in metrics:
            found = means[codec, anchor, metric.name]
            part = f" ({found.reason})" if found.reason else ""
            number = _NOTHING if found.percent is None else f"{found.percent:+.1f} %"
            cells.append(number + part)
        yield (labels[codec], labels[anchor], *cells)


def _speed_row(results: Results, speed: Speed) -> tuple[str, ...]:
    label = next(codec.label for codec in results.codecs if codec.name == speed.codec)
    rates = (speed.encode_frames_per_second, speed.decode_frames_per_second)
    peaks = (speed.encode_peak_bytes, speed.decode_peak_bytes)
    return (
        label,
        *(_NOTHING if rate is None else f"{rate:.3g}" for rate in rates),
        *(_NOTHING if peak is None else f"{peak / 1e6:.0f}" for peak in peaks),
    )


def _label(metric: MetricInfo) -> str:
    return f"{metric.label} {metric.unit}".strip()
