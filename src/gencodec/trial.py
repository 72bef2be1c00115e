"""Analysis by synthesis: the encoder decodes a group in several ways and sends the best one.

Refinement invents detail, and not in every group for the better. Which start level and how many
steps a group gets is tried out on its beginning, without refinement among the candidates.

At middle rates what moves fast looks better at half size, what is slow and detailed does not.

What is nearer to its source the pack's judge says, together with how alike the edges are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gencodec.container import USES_NOISE, GnvcVdBlock, GroupRecord, Header
from gencodec.descent import SMALLEST, Judge
from gencodec.geometry import TEMPORAL_STRIDE, latent_shape
from gencodec.group_coder import CodedGroup, GroupCoder, Pixels, read_block, tile_plan, vae_tiles
from gencodec.look import Sample
from gencodec.packs.models import Models
from gencodec.transform import Reconstruction, Source

_STEPS = (1, 2, 5)
_LEVELS = (0.5, 1.0, 1.6)  # of the level that is as strong as the codec's error
_LEVEL_MAX = 999
_TRIED_FRAMES = 17  # of a group, by each refinement
_SEEN_FRAMES = 65  # of a group, at each size: half size gains with the distance of the anchor
_FLICKER = 2.0  # error of the change from frame to frame, against that of single frames
_SAME = 0.0026  # keeps the similarity of two flat places steady (Xue et al.)
_LESS_ERROR = 0.3  # power of its bytes by which the error of a group's edges falls
_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / 255


class SizeTrial:
    """Chooses whether scenes are coded at half size where both sizes are possible."""

    def __init__(self, models: Models, header: Header) -> None:
        self._models, self._header = models, header
        self._coder = GroupCoder(models)
        self._last: bool | None = None

    def choose_all(self, samples: Mapping[int, Sample], rung: int) -> None:
        """Let groups choose, each by the group before it if that is among them and of its scene."""
        for number in sorted(samples):
            if number - 1 not in samples:
                self._last = None
            self.choose(samples[number], rung)
        self._last = None

    def choose(self, sample: Sample, rung: int) -> None:
        """Let a group choose at a rung if it has not; within a scene as the group before it."""
        if sample.prefers_half is None and self._coder.tries_both(rung):
            if self._last is None or sample.starts_scene:
                sample.prefers_half = self._nearer_at_half(sample, rung)
            else:
                sample.prefers_half = self._last
        if sample.prefers_half is not None:
            self._last = sample.prefers_half

    def _nearer_at_half(self, sample: Sample, rung: int) -> bool:
        """Return whether half size shows a group nearer to its source, as if at equal bytes."""
        whole, half = (sample.at(rung, half=half, plain=True) for half in (False, True))
        room: float = (whole.size / half.size) ** _LESS_ERROR
        return self._error(half, sample.source) < room * self._error(whole, sample.source)

    def _error(self, coded: CodedGroup, source: Source) -> float:
        """Return how unlike its source what a decoder shows of its beginning is."""
        header, rgb = self._header, source.rgb  # type: ignore[attr-defined]
        t, h, w = source.shape[-3:]
        record = coded.record(0, range(len(rgb)))
        group = self._coder.decode(record, (t, h, w))
        record = self._coder.aimed(record, lambda: source, group)
        true = rgb[:_SEEN_FRAMES]
        beginning = latent_shape(len(true), 1, 1, 1)[0]
        decoded = first_latents(group, beginning)
        refined = self._coder.refine(
            decoded, record, tile_plan(header), seed=header.noise_seed, steps=None
        )
        frames = self._coder.pictures(decoded, refined, true.shape[:3], vae_tiles(header))
        shown = np.stack(list(frames))
        pairs = zip(shown, true, strict=True)
        edges = float(np.mean([_edge_error(_luma(a[None]), _luma(b[None])) for a, b in pairs]))
        judge = judge_of(self._models, true)
        return edges if judge is None else math.sqrt(edges * judge.between(shown, true))


class Trial:
    """Chooses the refinement of groups that one pack coded."""

    def __init__(self, models: Models, header: Header) -> None:
        self._models, self._header = models, header
        self._coder = GroupCoder(models)

    def choose(self, record: GroupRecord, source: Callable[[], Source]) -> GroupRecord:
        """Return a coded group with the start level and steps that show it nearest to its source.

        Args:
            record: the group, coded with refinement or without.
            source: returns what the transform made of its frames; called where there is a choice.
        """
        block = read_block(record)
        if not (self._models.defaults.search_refinement and block.steps):
            return record
        header = self._header
        shape = latent_shape(
            record.frames, header.height, header.width, self._models.autoencoder.stride
        )
        coded = self._coder.decode(record, shape)
        beginning = 1 + -(-(min(record.frames, _TRIED_FRAMES) - 1) // TEMPORAL_STRIDE)
        frames = min(record.frames, 1 + (beginning - 1) * TEMPORAL_STRIDE)
        coded = first_latents(coded, beginning)
        size = (frames, header.height, header.width)
        true = self._source(source(), beginning, size)
        judge = judge_of(self._models, true)
        best, least = None, np.inf
        for candidate in _candidates(block):
            shown = self._shown(coded, replace(record, coder_block=candidate.to_bytes()), size)
            error = np.inf if shown is None else distance(shown, true, judge)
            if best is None or error < least:
                best, least = candidate, error
        return replace(record, coder_block=(best or block).to_bytes())

    def _source(self, source: Source, latents: int, size: tuple[int, int, int]) -> Pixels:
        """Return what a group should look like: its frames, or all that latents tell of them."""
        rgb: Pixels | None = getattr(source, "rgb", None)
        if rgb is not None:
            return rgb[: size[0]]
        clean = self._models.transform.clean_latents(source)[:, :latents]
        blocks = self._models.autoencoder.decode(clean, size, None, vae_tiles(self._header))
        return np.concatenate(list(blocks))

    def _shown(
        self, coded: Reconstruction, record: GroupRecord, size: tuple[int, int, int]
    ) -> Pixels | None:
        """Return the frames that a decoder shows, or None if it could not refine."""
        header = self._header
        latents = self._coder.refine(
            coded, record, tile_plan(header), seed=header.noise_seed, steps=None
        )
        if latents is None and read_block(record).steps:
            return None
        shown = self._coder.pictures(coded, latents, size, vae_tiles(header))
        return np.stack(list(shown))


def _candidates(block: GnvcVdBlock) -> Iterator[GnvcVdBlock]:
    """Yield the block without refinement, then with few to as many steps as it has."""
    yield replace(block, steps=0, start_level=0, flags=block.flags & ~USES_NOISE)
    levels = {min(_LEVEL_MAX, max(1, round(block.start_level * share))) for share in _LEVELS}
    for steps in sorted({*(s for s in _STEPS if s < block.steps), block.steps}):
        for level in sorted(levels):
            yield replace(block, steps=steps, start_level=level)


def first_latents(coded: Reconstruction, count: int) -> Reconstruction:
    """Return the first latent frames of a reconstruction, and their pictures."""
    frames = 1 + (count - 1) * TEMPORAL_STRIDE
    return replace(
        coded,
        features=coded.features[:, :count],
        latents=None if coded.latents is None else coded.latents[:, :count],
        pictures=None if coded.pictures is None else coded.pictures[:frames],
    )


def judge_of(models: Models, frames: Pixels) -> Judge | None:
    """Return a pack's judge if it has one that sees frames [T, H, W, 3] of this size."""
    descent = models.descent
    return descent.judge if descent and min(frames.shape[1:3]) >= SMALLEST else None


def distance(shown: Pixels, true: Pixels, judge: Judge | None = None) -> float:
    """Return how unlike frames [T, H, W, 3] are, and their change in time; 0 is equal.

    Args:
        shown: by a decoder.
        true: what they should be.
        judge: says how unlike single frames are; None: their edges do.

    Source: W. Xue et al., "Gradient magnitude similarity deviation", TIP 2014 (of edges; its mean,
    at full and half size).
    """
    a, b = _luma(shown), _luma(true)
    flicker = float(np.abs(np.diff(a, axis=0) - np.diff(b, axis=0)).mean()) if len(a) > 1 else 0.0
    if judge is not None:
        return judge.between(shown, true) + _FLICKER * flicker
    return _edge_error(a, b) + _edge_error(_halved(a), _halved(b)) + _FLICKER * flicker


def _luma(frames: Pixels) -> NDArray[np.float32]:
    """Return the luma [T, H, W] of frames, 0..1."""
    luma: NDArray[np.float32] = frames.astype(np.float32) @ _LUMA
    return luma


def _edge_error(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = _gradient(a), _gradient(b)
    similarity = (2 * np.sqrt(x * y) + _SAME) / (x + y + _SAME)
    return float(1 - similarity.mean())


def _gradient(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the squared gradient of [T, H, W], edges repeated."""
    padded = np.pad(luma, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    squared: NDArray[np.float32] = across**2 + down**2
    return squared


def _halved(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of 2x2 of [T, H, W], an odd edge left out; what is too small stays."""
    t, height, width = luma.shape
    if min(height, width) < 2:
        return luma
    even = luma[:, : height // 2 * 2, : width // 2 * 2]
    halves: NDArray[np.float32] = even.reshape(t, height // 2, 2, width // 2, 2).mean((2, 4))
    return halves
