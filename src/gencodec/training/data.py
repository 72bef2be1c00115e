"""Training material: clips and photographs decoded once, random crops of them for ever after.

Decoded clips lie on disk as uint8 arrays [T, H, W, 3] and are read through memory maps, so the
loader costs a copy a crop and never a decoder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencodec.errors import SourceError
from gencodec.frames import open_source

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
CLIPS = {".mp4", ".mkv", ".mov", ".webm", ".y4m", ".avi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CropShape:
    """Size of a training sample: frames (4n + 1) and pixels a side (multiple of 16)."""

    frames: int
    size: int


class ClipStore:
    """Decoded clips and photographs, drawn from at random in proportion to their frames.

    Args:
        folders: searched for clips and pictures, recursively.
        cache: folder for the decoded arrays; filled on first use.
        exclude: file names to leave out (overlaid marks, faulty material).
        stills_share: share of samples that come from photographs, panned slowly.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        cache: Path,
        *,
        exclude: frozenset[str] = frozenset(),
        stills_share: float = 0.25,
    ) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        paths = sorted(p for folder in folders for p in folder.rglob("*") if p.name not in exclude)
        self._clips = [_load(p, cache) for p in paths if p.suffix.lower() in CLIPS]
        self._stills = [_load(p, cache) for p in paths if p.suffix.lower() in PICTURES]
        if not self._clips:
            raise SourceError(f"no clips in {[str(f) for f in folders]}; give folders of videos")
        frames = np.array([len(clip) for clip in self._clips], dtype=np.float64)
        self._weights = frames / frames.sum()
        self._stills_share = stills_share if self._stills else 0.0

    def __len__(self) -> int:
        return len(self._clips) + len(self._stills)

    def require(self, shape: CropShape) -> None:
        """Check that there are samples of a size.

        Raises:
            SourceError: every clip is too small or too short.
        """
        if not any(_holds(clip, shape) for clip in self._clips):
            raise SourceError(
                f"no clip is large enough for samples of {shape.frames} frames of "
                f"{shape.size}x{shape.size}; give larger or longer clips"
            )

    def batches(self, batch: int, shape: CropShape, seed: int) -> Iterator[Tensor]:
        """Yield uint8 frames [b, 3, T, H, W] without end; the same seed gives the same samples."""
        self.require(shape)
        rng = np.random.default_rng(seed)
        while True:
            samples = np.stack([self._sample(shape, rng) for _ in range(batch)])
            yield torch.from_numpy(samples).permute(0, 4, 1, 2, 3)

    def _sample(self, shape: CropShape, rng: np.random.Generator) -> NDArray[np.uint8]:
        while True:
            if rng.random() < self._stills_share:
                crop = _pan(self._stills[rng.integers(len(self._stills))], shape, rng)
            else:
                crop = _crop(self._clips[rng.choice(len(self._clips), p=self._weights)], shape, rng)
            if crop is not None:
                return crop[:, :, ::-1] if rng.random() < 0.5 else crop


def _load(path: Path, cache: Path) -> NDArray[np.uint8]:
    """Memory-map the decoded frames of `path`, decoding it into `cache` first where needed."""
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    stored = cache / f"{path.name}.{key}.npy"
    if not stored.exists():
        with open_source(path) as source:
            frames = np.stack([frame.rgb for frame in source.frames()])
        partial = stored.with_suffix(".partial.npy")
        np.save(partial, frames)
        partial.replace(stored)
    array: NDArray[np.uint8] = np.load(stored, mmap_mode="r")
    return array


def _holds(clip: NDArray[np.uint8], shape: CropShape) -> bool:
    return len(clip) >= shape.frames and min(clip.shape[1:3]) >= shape.size


def _crop(
    clip: NDArray[np.uint8], shape: CropShape, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Cut a random block of frames from a clip, or None if the clip is too small."""
    frames, height, width, _ = clip.shape
    if not _holds(clip, shape):
        return None
    t = rng.integers(frames - shape.frames + 1)
    y = rng.integers(height - shape.size + 1)
    x = rng.integers(width - shape.size + 1)
    return np.array(clip[t : t + shape.frames, y : y + shape.size, x : x + shape.size])


def _pan(
    still: NDArray[np.uint8], shape: CropShape, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Move a crop over a photograph with a random constant velocity of up to 3 pixels a frame."""
    _, height, width, _ = still.shape
    if min(height, width) < shape.size:
        return None
    step = rng.uniform(-3, 3, size=2) * (rng.random() < 0.5)
    limit = np.array([height - shape.size, width - shape.size])
    at = rng.uniform(0, 1, size=2) * limit
    path = [np.clip(at + step * t, 0, limit).astype(int) for t in range(shape.frames)]
    return np.stack([still[0, y : y + shape.size, x : x + shape.size] for y, x in path])
