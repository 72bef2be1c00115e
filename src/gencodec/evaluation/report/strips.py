"""Filmstrips: a few frames of every video of a clip in a row each, for paper and a first look."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gencodec.evaluation.report.moments import Videos, moments, upright_size
from gencodec.evaluation.results import Clip

_FRAMES = 5
_WIDTH = 352  # pixels of a frame in the strip, at most
_QUALITY = 88  # of WebP


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Rows of frames.

    Attributes:
        clip, target: name and asked bits per pixel.
        frames: numbers of the frames, evenly spread.
        rows: codec -> WebP picture of the frames side by side.
    """

    clip: str
    target: float
    frames: tuple[int, ...]
    rows: Mapping[str, bytes]

    def description(self) -> dict[str, Any]:
        """Return everything as JSON types, pictures as data URIs."""
        rows = [
            {"codec": codec, "image": f"data:image/webp;base64,{base64.b64encode(data).decode()}"}
            for codec, data in self.rows.items()
        ]
        return {"clip": self.clip, "target": self.target, "frames": self.frames, "rows": rows}


def make_strip(clip: Clip, target: float, videos: Videos) -> Strip:
    """Take frames from the videos of a clip at one rate.

    Raises:
        SourceError: a video cannot be read, or has other frames than the clip.
    """
    numbers = spread(clip.frames, _FRAMES)
    size = _fitted(upright_size(clip))
    columns = [
        [
            Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.LANCZOS)
            for frame in frames
        ]
        for number, frames in enumerate(moments(clip, videos))
        if number in numbers
    ]
    rows = {codec: _webp([column[k] for column in columns]) for k, codec in enumerate(videos)}
    return Strip(clip=clip.name, target=target, frames=numbers, rows=rows)


def spread(frames: int, count: int) -> tuple[int, ...]:
    """Return the numbers of at most `count` of `frames` frames, evenly spread, none chosen."""
    return tuple(sorted({(2 * k + 1) * frames // (2 * count) for k in range(count)}))


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, _WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _webp(pictures: list[Image.Image]) -> bytes:
    """Return the pictures side by side as one WebP file."""
    row = Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], axis=1))
    data = io.BytesIO()
    row.save(data, "webp", quality=_QUALITY, method=5)
    return data.getvalue()
