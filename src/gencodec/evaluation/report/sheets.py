"""Sheets: the videos of a clip at one rate, frame beside frame in one video.

┌────────┬────────┬────────┐   Tiles stand apart by a margin that repeats their edges, so that
│ source │gencodec│  x264  │   no block of the coder reaches from one into the next. A player
├────────┼────────┼────────┤   that cuts two tiles out of one decoded frame shows the same
│  x265  │ svtav1 │        │   moment of both, whatever the browser does about time.
└────────┴────────┴────────┘
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gencodec.errors import OutputError
from gencodec.evaluation.report.moments import Videos, moments, upright_size
from gencodec.evaluation.results import Clip
from gencodec.frames import Pixels, write_film
from gencodec.output import atomic_output

_VERSION = 1  # of what is drawn; a new one makes old sheets in caches unused
_BLOCK, _MARGIN = 16, 8  # pixels: of a macroblock, and at least between tiles
_MAX_SIDE, _MAX_PIXELS = 8192, 8192 * 4320  # of H.264 level 6.2, rounded down


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A video of tiles.

    Attributes:
        clip, target: name and asked bits per pixel.
        width, height: pixels of a tile.
        frames: how many.
        rate: frames per second; frame n is shown at n / rate, also of clips whose rate varies.
        shrunk: how many times smaller the tiles are than the clip; 1 unless it is very large.
        tiles: codec -> (x, y) of the tile's corner.
        video: mp4 with H.264.
    """

    clip: str
    target: float
    width: int
    height: int
    frames: int
    rate: float
    shrunk: int
    tiles: Mapping[str, tuple[int, int]]
    video: Path

    def description(self) -> dict[str, Any]:
        """Return all but the video, as JSON types."""
        names = ("clip", "target", "width", "height", "frames", "rate", "shrunk")
        return {name: getattr(self, name) for name in names} | {"tiles": dict(self.tiles)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where tiles stand, in pixels."""

    width: int  # of a tile
    height: int
    columns: int
    rows: int
    shrunk: int

    @property
    def pitch(self) -> tuple[int, int]:
        """From one tile to the next, across and down; whole blocks."""
        return _blocks(self.width + _MARGIN), _blocks(self.height + _MARGIN)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        return self.columns * self.pitch[0], self.rows * self.pitch[1]

    def corner(self, number: int) -> tuple[int, int]:
        """Return (x, y) of a tile."""
        return number % self.columns * self.pitch[0], number // self.columns * self.pitch[1]


def make_sheet(clip: Clip, target: float, videos: Videos, cache: Path) -> Sheet:
    """Draw the videos of a clip into one; take it from the cache if it was drawn before.

    Raises:
        SourceError: a video cannot be read, or has other frames than the clip.
        OutputError: the cache cannot be written.
    """
    grid = _grid(clip, len(videos))
    rate = Fraction(clip.rate).limit_denominator(10_000)
    path = cache / "sheets" / f"{_key(clip, videos, grid)}.mp4"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot make the folder {path.parent}: {reason}") from error
        with atomic_output(path, overwrite=True) as work:
            write_film(work, _drawn(clip, videos, grid), grid.size, rate)
    return Sheet(
        clip=clip.name,
        target=target,
        width=grid.width,
        height=grid.height,
        frames=clip.frames,
        rate=float(rate),
        shrunk=grid.shrunk,
        tiles={codec: grid.corner(number) for number, codec in enumerate(videos)},
        video=path,
    )


def _blocks(side: int) -> int:
    return ceil(side / _BLOCK) * _BLOCK


def _grid(clip: Clip, count: int) -> _Grid:
    """Return a grid of `count` tiles, shrunk as little as browsers ask for."""
    width, height = upright_size(clip)
    columns = ceil(sqrt(count))
    shrunk = 1
    while True:
        grid = _Grid(
            width=ceil(width / shrunk),
            height=ceil(height / shrunk),
            columns=columns,
            rows=ceil(count / columns),
            shrunk=shrunk,
        )
        across, down = grid.size
        if max(across, down) <= _MAX_SIDE and across * down <= _MAX_PIXELS:
            return grid
        shrunk += 1


def _key(clip: Clip, videos: Videos, grid: _Grid) -> str:
    """Return a name for the sheet that follows from all that is drawn in it."""
    shape = (_VERSION, clip.frames, clip.rate, clip.rotation, grid, list(videos))
    digest = hashlib.sha256(repr(shape).encode())
    for path in videos.values():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _drawn(clip: Clip, videos: Videos, grid: _Grid) -> Iterator[Pixels]:
    """Yield the sheet's frames, uint8 [H, W, 3]."""
    across, down = grid.size
    margins = (grid.pitch[1] - grid.height, grid.pitch[0] - grid.width)
    for frames in moments(clip, videos):
        sheet = np.zeros((down, across, 3), np.uint8)
        for number, frame in enumerate(frames):
            x, y = grid.corner(number)
            tile = _shrunk(frame, grid.shrunk)
            sheet[y : y + grid.pitch[1], x : x + grid.pitch[0]] = np.pad(
                tile, ((0, margins[0]), (0, margins[1]), (0, 0)), mode="edge"
            )
        yield sheet


def _shrunk(frame: Pixels, factor: int) -> Pixels:
    if factor == 1:
        return frame
    picture = Image.fromarray(np.ascontiguousarray(frame)).reduce(factor)
    return np.asarray(picture, np.uint8)
