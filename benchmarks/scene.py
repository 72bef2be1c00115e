"""A clip of our own: a hand-held camera moves over a photograph. No test card, no file needed.

The photograph is matplotlib's sample picture (public domain, an official portrait of the US Navy);
where it is not installed, a landscape is computed. Motion has sub-pixel steps, parallax, drifting
shadows and sensor noise, and goes on for as long as is asked.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from gencodec.errors import GencodecError
from gencodec.frames import Frame, Pixels, VideoInfo, open_sink, open_source

WIDTH, HEIGHT, RATE = 352, 288, 25
_PHOTOGRAPH = "mpl-data/sample_data/grace_hopper.jpg"
_NOISE = 1.0  # standard deviation of the sensor noise, of 255
_ABOVE_CENTRE = -0.12  # where the camera points, share of the photograph's height
_VISIBLY_LOSSLESS = 4  # crf of the clip that is written

# Amplitude in pixels of the photograph, periods in seconds: a slow pan and an unsteady hand.
_PAN = ((70.0, 9.0), (9.0, 2.3), (0.8, 0.41), (0.5, 0.17))
_TILT = ((90.0, 12.0), (7.0, 3.1), (0.8, 0.37), (0.5, 0.19))
_ZOOM = ((0.14, 8.0),)
_ROLL = ((0.010, 5.0), (0.002, 0.7))  # radians


def photograph() -> Pixels:
    """Return the sample photograph, or a computed landscape, [H, W, 3]."""
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        return landscape()
    try:
        with open_source(Path(matplotlib.origin).parent / _PHOTOGRAPH) as source:
            return next(source.frames()).rgb
    except GencodecError:
        return landscape()


def landscape(size: int = 640, seed: int = 1) -> Pixels:
    """Return a shaded relief of meadows, rock and snow under haze, [size, size, 3]."""
    height = _fractal(size, 2.2, seed)
    slope_y, slope_x = np.gradient(height * size / 3)
    light = (1 - slope_x - slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    light = np.clip(0.35 + 0.4 * light, 0, 1)[..., None]
    detail = 0.12 * (_fractal(size, 1.0, seed + 1) - 0.5)[..., None]
    stops = [0.0, 0.35, 0.55, 0.75, 1.0]
    colours = np.array([[40, 60, 50], [86, 110, 56], [140, 120, 86], [150, 145, 140], [245] * 3])
    ground = np.stack([np.interp(height, stops, colours[:, k]) for k in range(3)], axis=-1)
    haze = np.linspace(0.35, 0, size)[:, None, None]
    picture = ground * (light + detail) * (1 - haze) + 190 * haze
    shaded: Pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return shaded


def _fractal(size: int, slope: float, seed: int) -> NDArray[np.float64]:
    """Return noise [size, size] in 0..1 whose amplitudes fall with frequency ** -slope."""
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((size, size)))
    rows, columns = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / size)
    field: NDArray[np.float64] = np.fft.irfft2(spectrum / frequency**slope, (size, size))
    field -= field.min()
    field /= field.max()
    return field


class Scene:
    """Pictures of a moving camera; each is a function of its number only."""

    def __init__(
        self, width: int = WIDTH, height: int = HEIGHT, picture: Pixels | None = None
    ) -> None:
        picture = photograph() if picture is None else picture
        self._picture = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        shadow = np.clip(_fractal(256, 1.8, 7) * 3 - 1, 0, 1)
        self._shadow = torch.from_numpy(shadow).float()[None, None]
        y, x = torch.meshgrid(
            torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2,
            indexing="ij",
        )  # fmt: skip
        self._x, self._y = x, y
        # The camera sees 450 x 368 of the photograph's 512 x 600 pixels, whatever the clip's size.
        rows, columns = picture.shape[:2]
        self._scale = min(0.88 * columns / width, 0.7 * rows / height)

    def frame(self, number: int) -> Pixels:
        """Return picture `number` [H, W, 3]."""
        seconds = number / RATE
        pan, tilt, zoom, roll = (_wave(w, seconds) for w in (_PAN, _TILT, _ZOOM, _ROLL))
        scale = self._scale * (0.88 - zoom)
        x, y = scale * (self._x - roll * self._y), scale * (self._y + roll * self._x)
        rows, columns = self._picture.shape[2:]
        near = torch.exp(-((x + 0.3 * pan) ** 2 + (y + 0.3 * tilt) ** 2) / (0.3 * columns) ** 2)
        x = x + pan * (0.4 + 0.15 * near)
        y = y + tilt * (0.5 + 0.15 * near) + _ABOVE_CENTRE * rows
        grid = torch.stack([2 * x / columns, 2 * y / rows], dim=-1)[None]
        seen = F.grid_sample(
            self._picture, grid, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        drift = torch.remainder(grid + torch.tensor([0.10, 0.04]) * seconds + 1, 2) - 1
        shadow = F.grid_sample(self._shadow, drift, padding_mode="border", align_corners=False)
        light = (1 - 0.22 * shadow) * (1 + 0.04 * np.sin(0.9 * seconds))
        noise = np.random.default_rng((7, number)).normal(0, _NOISE, (*self._x.shape, 3))
        lit = (seen * light)[0].permute(1, 2, 0).numpy() + noise
        taken: Pixels = np.clip(lit + 0.5, 0, 255).astype(np.uint8)
        return taken


def _wave(waves: tuple[tuple[float, float], ...], seconds: float) -> float:
    return sum(a * float(np.sin(2 * np.pi * seconds / period)) for a, period in waves)


def info(width: int = WIDTH, height: int = HEIGHT) -> VideoInfo:
    """Return what a clip of the scene is."""
    return VideoInfo(
        width=width, height=height, time_base=Fraction(1, RATE), frame_rate=Fraction(RATE)
    )


def frames(
    count: int, width: int = WIDTH, height: int = HEIGHT, picture: Pixels | None = None
) -> Iterator[Frame]:
    """Yield the first `count` frames of the scene."""
    scene = Scene(width, height, picture)
    for number in range(count):
        yield Frame(rgb=scene.frame(number), ticks=number)


def write_clip(
    path: Path,
    count: int,
    width: int = WIDTH,
    height: int = HEIGHT,
    picture: Pixels | None = None,
) -> Path:
    """Write `count` frames of the scene as H.264 without visible loss, and return the path.

    Args:
        path: file to write.
        count: frames.
        width: pixels.
        height: pixels.
        picture: what the camera sees, [H, W, 3]; None for the photograph.
    """
    with open_sink(path, info(width, height), crf=_VISIBLY_LOSSLESS) as sink:
        for frame in frames(count, width, height, picture):
            sink.write(frame)
    return path
