"""A small benchmark for the report: two clips whose pictures say which frame they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from gencodec.evaluation.results import (
    BdRate,
    Clip,
    CodecInfo,
    MetricInfo,
    Point,
    PointScore,
    Results,
    Speed,
)
from gencodec.frames import Frame, Pixels, VideoInfo, open_sink

WIDTH, HEIGHT, FRAMES, RATE = 64, 48, 16, Fraction(25)
CLIPS = ("walk", "<b>run</b>")
TARGETS = (0.02, 0.01)
CODECS = ("gencodec", "x264", "x265-half")
ERROR = "ended with </script> & error 1"
BANDS = 4  # of brightness, the bits of the frame's number, topmost the highest
TINTS = {"source": 255, "gencodec": 225, "x264": 195, "x265-half": 170}
"""Brightness of a band that is on, so that pictures tell whose they are."""


def picture(codec: str, number: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Draw a frame that says its number and its codec at every column."""
    rgb = np.zeros((height, width, 3), np.uint8)
    for band in range(BANDS):
        if number >> (BANDS - 1 - band) & 1:
            rgb[band * height // BANDS : (band + 1) * height // BANDS] = TINTS[codec]
    return rgb


def write_video(path: Path, pictures: list[Pixels], rate: Fraction = RATE) -> Path:
    """Write pictures as a video of constant rate."""
    height, width, _ = pictures[0].shape
    info = VideoInfo(width=width, height=height, time_base=1 / rate, frame_rate=rate)
    with open_sink(path, info, crf=8) as sink:
        for number, rgb in enumerate(pictures):
            sink.write(Frame(rgb=rgb, ticks=number))
    return path


def write_cache(cache: Path) -> Path:
    """Write the videos that `results` names."""
    cache.mkdir(exist_ok=True)
    for codec in ("source", *CODECS):
        write_video(cache / f"{codec}.mp4", [picture(codec, n) for n in range(FRAMES)])
    return cache


def clip(name: str = CLIPS[0], **other: int | float | str) -> Clip:
    """Describe a clip; `other` replaces fields."""
    given: dict[str, int | float | str] = {
        "width": WIDTH,
        "height": HEIGHT,
        "frames": FRAMES,
        "rate": float(RATE),
        "duration": float(FRAMES / RATE),
        "video": "source.mp4",
        **other,
    }
    return Clip(name=name, **given)  # type: ignore[arg-type]  # types are the caller's business


def _point(name: str, codec: str, target: float) -> Point:
    if (name, codec, target) == (CLIPS[0], "x264", TARGETS[1]):
        return Point(clip=name, codec=codec, target_bpp=target, error=ERROR)
    quality = 30 + 200 * target + 2 * CODECS.index(codec)
    scores = {
        "psnr_y": PointScore(mean=quality, worst=quality - 3, worst_frame=9, worst_time=0.36),
        "lpips_squeeze": PointScore(
            mean=3 / quality, worst=4 / quality, worst_frame=5, worst_time=0.2
        ),
        "band_ratio_0": PointScore(mean=0.7, worst=0.5, worst_frame=2, worst_time=0.08),
    }
    return Point(
        clip=name,
        codec=codec,
        target_bpp=target,
        bpp=target * 1.01,
        bytes=round(target * 1.01 * WIDTH * HEIGHT * FRAMES / 8),
        reached=codec != "x265-half",
        encode_seconds=2.0,
        decode_seconds=1.0,
        scores=scores,
        missing={"dists": "its weights are not here"},
        video=f"{codec}.mp4",
    )


def results() -> Results:
    """Return results of every kind: points, a failure, a missing metric, no overlap."""
    return Results(
        gencodec="0.1.0",
        measured="2026-01-01T00:00:00Z",
        machine={"system": "Linux", "processors": 2, "memory_bytes": 2**33},
        versions={"x264": "164"},
        command=("gencodec", "bench", "walk.mp4"),
        metrics=(
            MetricInfo(name="psnr_y", label="PSNR-Y", unit="dB", higher_is_better=True),
            MetricInfo(name="lpips_squeeze", label="LPIPS-squeeze", higher_is_better=False),
            MetricInfo(name="dists", label="DISTS", higher_is_better=False),
            MetricInfo(name="band_ratio_0", label="fine detail", higher_is_better=None),
        ),
        clips=tuple(clip(name) for name in CLIPS),
        codecs=tuple(
            CodecInfo(name=codec, label=f"{codec} slow", peer=codec != "gencodec")
            for codec in CODECS
        ),
        points=tuple(
            _point(name, codec, target) for name in CLIPS for codec in CODECS for target in TARGETS
        ),
        bd_rates=(
            *_rates(None, 25.0, None, "1 of 2 clips"),
            *_rates(CLIPS[0], -12.5, (31.0, 34.0), ""),
            *_rates(CLIPS[1], None, None, "no overlap"),
        ),
        speed=tuple(
            Speed(codec=codec, points=4, encode_frames_per_second=8.0, decode_peak_bytes=2**27)
            for codec in CODECS
        ),
    )


def _rates(
    name: str | None, percent: float | None, span: tuple[float, float] | None, reason: str
) -> list[BdRate]:
    return [
        BdRate(
            clip=name,
            metric="psnr_y",
            codec="gencodec",
            anchor=anchor,
            percent=percent,
            range=span,
            reason=reason,
        )
        for anchor in CODECS[1:]
    ]
