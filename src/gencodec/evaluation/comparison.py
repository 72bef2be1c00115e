"""What follows from points: BD-rates and speeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from gencodec.evaluation.bd_rate import bd_rate
from gencodec.evaluation.results import (
    BdRate,
    Clip,
    CodecInfo,
    MetricInfo,
    Point,
    Results,
    Speed,
)


def bd_rates(points: Sequence[Point], about: Results) -> tuple[BdRate, ...]:
    """Compare every row of gencodec with every other codec, by every metric that has a direction.

    Of two rows the one named first is the anchor of the other. The mean over the clips follows the
    numbers of the clips.

    Args:
        points: of all clips and codecs.
        about: says what clips, codecs and metrics there are.
    """
    found: list[BdRate] = []
    for metric in about.metrics:
        if metric.higher_is_better is None:
            continue
        for codec, anchor in _couples(about.codecs):
            each = [_of_clip(points, clip.name, metric, codec, anchor) for clip in about.clips]
            found += [*each, _mean(each, metric.name, codec, anchor)]
    return tuple(found)


def _couples(codecs: Sequence[CodecInfo]) -> Iterator[tuple[str, str]]:
    """Yield (codec, anchor): rows against peers, and later rows against earlier ones."""
    for number, codec in enumerate(codecs):
        if not codec.peer:
            yield from (
                (codec.name, anchor.name)
                for place, anchor in enumerate(codecs)
                if anchor.peer or place < number
            )


def _of_clip(
    points: Sequence[Point], clip: str, metric: MetricInfo, codec: str, anchor: str
) -> BdRate:
    curves = [
        [
            (point.bpp, point.scores[metric.name].mean)
            for point in points
            if (point.clip, point.codec) == (clip, name)
            and point.bpp is not None
            and metric.name in point.scores
        ]
        for name in (anchor, codec)
    ]
    difference = bd_rate(*curves, higher_is_better=bool(metric.higher_is_better))
    return BdRate(
        clip=clip,
        metric=metric.name,
        codec=codec,
        anchor=anchor,
        percent=difference.percent,
        range=difference.range,
        reason=difference.reason,
    )


def _mean(each: Sequence[BdRate], metric: str, codec: str, anchor: str) -> BdRate:
    numbers = [one.percent for one in each if one.percent is not None]
    reason = "" if len(numbers) == len(each) else f"{len(numbers)} of {len(each)} clips"
    if not numbers:
        reason = "; ".join(dict.fromkeys(one.reason for one in each))
    return BdRate(
        clip=None,
        metric=metric,
        codec=codec,
        anchor=anchor,
        percent=fmean(numbers) if numbers else None,
        reason=reason,
    )


def speeds(points: Sequence[Point], about: Results) -> tuple[Speed, ...]:
    """Add up the time of every codec over its points; `about` says what clips and codecs are."""
    clips = {clip.name: clip for clip in about.clips}
    return tuple(
        _speed(codec.name, [p for p in points if p.codec == codec.name and not p.error], clips)
        for codec in about.codecs
    )


def _speed(codec: str, points: Sequence[Point], clips: dict[str, Clip]) -> Speed:
    frames = sum(clips[point.clip].frames for point in points)
    pixels = sum(
        clip.frames * clip.width * clip.height for clip in (clips[point.clip] for point in points)
    )
    encode = sum(point.encode_seconds or 0 for point in points)
    decode = sum(point.decode_seconds or 0 for point in points)
    return Speed(
        codec=codec,
        points=len(points),
        encode_frames_per_second=_over(frames, encode),
        decode_frames_per_second=_over(frames, decode),
        encode_megapixels_per_second=_over(pixels / 1e6, encode),
        decode_megapixels_per_second=_over(pixels / 1e6, decode),
        encode_peak_bytes=max((point.encode_peak_bytes or 0 for point in points), default=None),
        decode_peak_bytes=max((point.decode_peak_bytes or 0 for point in points), default=None),
    )


def _over(amount: float, seconds: float) -> float | None:
    return amount / seconds if seconds > 0 else None
