"""Clips for evaluations: pictures kept exactly, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gencodec.frames import Pixels

Values = NDArray[np.float64]

MILLISECONDS = Fraction(1, 1000)  # the unit of time of Matroska


def write(
    path: Path, pictures: Sequence[Pixels], milliseconds: Sequence[int] | None = None
) -> Path:
    """Write pictures as they are, 40 milliseconds apart if nothing else is said."""
    times = milliseconds or [40 * number for number in range(len(pictures))]
    with av.open(path, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "bgr0", MILLISECONDS
        for rgb, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = time, MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def pan(width: int, height: int, frames: int, *, step: int = 3) -> list[Pixels]:
    """Draw a soft texture that moves to the left by `step` pixels a frame."""
    wide = texture(width + step * frames, height)
    return [wide[:, step * t : step * t + width] for t in range(frames)]


def texture(width: int, height: int, seed: int = 0) -> Pixels:
    """Draw detail of all sizes, between 48 and 208."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    picture = noise + 4 * _smooth(noise, 4) + 16 * _smooth(noise, 16)
    low, high = picture.min(), picture.max()
    pixels: Pixels = np.rint(48 + 160 * (picture - low) / (high - low)).astype(np.uint8)
    return pixels


def blur(rgb: Pixels, size: int) -> Pixels:
    """Return the picture with the mean of its surroundings everywhere."""
    pixels: Pixels = np.rint(_smooth(rgb.astype(np.float64), size)).astype(np.uint8)
    return pixels


def noisy(rgb: Pixels, seed: int, sigma: float = 8) -> Pixels:
    """Return the picture with noise on it."""
    noise = np.random.default_rng(seed).normal(scale=sigma, size=rgb.shape)
    pixels: Pixels = np.rint(rgb + noise).clip(0, 255).astype(np.uint8)
    return pixels


def _smooth(values: Values, size: int) -> Values:
    for axis in (0, 1):
        values = np.mean([np.roll(values, shift, axis) for shift in range(size)], 0)
    return values
