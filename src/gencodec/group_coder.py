"""One group: latents <-> payload. Joins transform, symbols and refinement as the format says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gencodec.container import (
    CODER_GNVC_VD,
    CODER_GVC,
    HALF_SIZE,
    USES_NOISE,
    GnvcVdBlock,
    GroupRecord,
    Header,
)
from gencodec.errors import UnsupportedError
from gencodec.geometry import anchor_at, group_quality, symbol_shape
from gencodec.packs.models import Models
from gencodec.refine import level_of_error, noise_for
from gencodec.symbols import GroupEncoder
from gencodec.tiles import TilePlan
from gencodec.transform import Reconstruction, Source, enlarged

Latents = NDArray[np.float32]
Pixels = NDArray[np.uint8]
_UNAIMED = 1  # start level of a group that may not be written


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedGroup:
    """What a group becomes at one quality index."""

    block: GnvcVdBlock
    payload: bytes
    digest: int

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return len(self.payload)

    def record(self, number: int, ticks: Sequence[int], *, cut: bool = False) -> GroupRecord:
        """Return the group as it is in a file.

        Args:
            number: of the group.
            ticks: when its frames are shown.
            cut: it starts at a scene cut.
        """
        return GroupRecord(
            number=number,
            ticks=tuple(ticks),
            cut=cut,
            coder=CODER_GNVC_VD,
            coder_block=self.block.to_bytes(),
            payload=self.payload,
            digest=self.digest,
        )


class GroupCoder:
    """Encodes and decodes groups with one pack's models."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._qualities = models.exact.prior.config.qualities
        self.rungs = self._qualities + models.defaults.half_shift
        self.always_half = self.rung_of(models.defaults.half_below)
        self.never_half = max(self.always_half, self.rung_of(models.defaults.half_tried_below))

    def rung_of(self, quality: int) -> int:
        """Return the rung that codes whole pictures at a quality index, or costs as much."""
        return quality + self._models.defaults.half_shift

    def tries_both(self, rung: int) -> bool:
        """Return whether either size may show more at a rung."""
        return self.always_half <= rung < self.never_half

    def place(self, rung: int, *, prefer_half: bool = False) -> tuple[int, bool]:
        """Return the quality index of a rung, and whether it is one of half-size pictures.

        The ladder goes through the quality indices of half-size pictures up to where those of
        whole pictures cost as much, and on through these.

        Args:
            rung: of the ladder.
            prefer_half: stay with half-size pictures as long as they may show more.
        """
        if rung < (self.never_half if prefer_half else self.always_half):
            return rung, True
        return rung - self._models.defaults.half_shift, False

    def encode(
        self, source: Source, rung: int, *, prefer_half: bool = False, plain: bool = False
    ) -> CodedGroup:
        """Code a group, made ready by the pack's transform, at a rung; see `place`.

        Args:
            source: the group.
            rung: of the ladder.
            prefer_half: see `place`.
            plain: without descent, faster.
        """
        defaults, exact = self._models.defaults, self._models.exact
        t, h, w = source.shape[-3:]
        offset = defaults.anchor_pairs(t)
        index, half_size = self.place(rung, prefer_half=prefer_half)
        pair = group_quality(index, offset, self._qualities)
        grid = symbol_shape((t, h, w), half_size=half_size)[1:]
        place = self._models.transform.anchor_place
        anchor = anchor_at(place, t)
        encoder = GroupEncoder(exact.prior, exact.tables, grid, turn=t - anchor if anchor else None)
        steps = self._steps(rung, half_size=half_size)
        descends = not plain and self.descends(rung, prefer_half=prefer_half)
        self._models.transform.encode(
            source,
            pair,
            encoder.encode_frame,
            shown=False,
            half_size=half_size,
            anchor=anchor,
            improve=self._improve if descends else None,
        )
        block = GnvcVdBlock(
            quality=index,
            anchor_offset=offset,
            steps=steps,
            start_level=_UNAIMED if steps else 0,
            flags=USES_NOISE * bool(steps and defaults.noise) + HALF_SIZE * half_size,
            anchor_place=place if anchor else 0,
        )
        return CodedGroup(block=block, payload=encoder.finish(), digest=encoder.digest)

    def _steps(self, rung: int, *, half_size: bool) -> int:
        """Return the steps of refinement of a group at a rung."""
        defaults = self._models.defaults
        level = min(rung, self.always_half - 1) if half_size else rung
        coarse = level < self.rung_of(defaults.refine_below)
        return defaults.steps if coarse and self._models.refiner is not None else 0

    def descends(self, rung: int, *, prefer_half: bool = False) -> bool:
        """Return whether a group is coded otherwise than plainly at a rung.

        Refined groups are not: what descent finds in a picture does not outlive the refinement.
        """
        if self._models.descent is None or not self._models.defaults.picture_steps:
            return False
        _, half_size = self.place(rung, prefer_half=prefer_half)
        return not self._steps(rung, half_size=half_size)

    def _improve(self, raw: Tensor, picture: Tensor, quality: Tensor) -> Tensor:
        steps = self._models.defaults.picture_steps
        descent = self._models.descent
        return raw if descent is None else descent.improve(raw, picture, quality, steps)

    def aimed(
        self,
        record: GroupRecord,
        prepared: Callable[[], Source],
        coded: Reconstruction | None = None,
    ) -> GroupRecord:
        """Return a coded group whose refinement starts at a level as strong as the codec's error.

        `encode` leaves it open: of the rungs that are tried one is written.

        Args:
            record: the group.
            prepared: returns what it was coded from; called if it is refined.
            coded: what `decode` makes of the group, if it is known.
        """
        block = read_block(record)
        if not block.steps:
            return record
        source = prepared()
        t, h, w = source.shape[-3:]
        transform = self._models.transform
        decoded = transform.decoded_latents(coded or self.decode(record, (t, h, w)))
        error = decoded - transform.clean_latents(source)
        level = level_of_error(math.sqrt(float(np.mean(error**2))))
        return replace(record, coder_block=replace(block, start_level=level).to_bytes())

    def decode(self, record: GroupRecord, shape: tuple[int, int, int]) -> Reconstruction:
        """Rebuild a group from its payload; the symbols are checked against the stored digest.

        Args:
            record: the group as it is in the file.
            shape: (t, h, w) of its latents.

        Raises:
            FormatError: the payload does not decode to the stored digest, or the pack cannot code
                a group in this way.
        """
        block, models = read_block(record), self._models
        found = models.exact.symbols(
            block, shape, record.payload, digest=record.digest, damaged=record.damaged
        )
        pair = group_quality(block.quality, block.anchor_offset, self._qualities)
        anchor = anchor_at(block.anchor_place, shape[0])
        coded = models.transform.decode([y for y, _ in found], pair, anchor)
        return enlarged(coded, shape[1:]) if block.half_size else coded

    def refinement_steps(self, record: GroupRecord, wanted: int | None) -> int:
        """Return the steps that `refine` runs for a group, its own or those wanted instead."""
        block = read_block(record)
        if block.start_level == 0 or self._models.refiner is None:
            return 0
        return block.steps if wanted is None else wanted

    def refine(
        self,
        coded: Reconstruction,
        record: GroupRecord,
        plan: TilePlan,
        *,
        seed: int,
        steps: int | None,
    ) -> Latents | None:
        """Refine decoded latents as the group says.

        Args:
            coded: from `decode`.
            record: the group as it is in the file.
            plan: windows, from the file's header.
            seed: of the noise, from the file's header.
            steps: instead of the group's own number of steps.

        Returns:
            Latents [c, t, h, w]; None if nothing changed or if a network produced a number that
            is not finite: what was decoded stands.
        """
        block = read_block(record)
        count = self.refinement_steps(record, steps)
        if count == 0 or self._models.refiner is None:
            return coded.latents
        latents, noise = self._models.transform.decoded_latents(coded), None
        if block.uses_noise:
            noise = noise_for(seed, record.number, latents.shape)
        return self._models.refiner.refine(
            latents,
            coded.features,
            start_level=block.start_level,
            steps=count,
            noise=noise,
            plan=plan,
        )

    def pictures(
        self,
        coded: Reconstruction,
        latents: Latents | None,
        size: tuple[int, int, int],
        tiles: TilePlan,
    ) -> Iterator[Pixels]:
        """Yield the frames [H, W, 3] of a group.

        Args:
            coded: from `decode`.
            latents: from `refine`; None shows a codec's own pictures.
            size: frames, height and width of the group.
            tiles: of the autoencoder, from the file's header.
        """
        frames, height, width = size
        if latents is not None:
            blocks = self._models.autoencoder.decode(latents, size, coded.pictures, tiles)
            yield from chain.from_iterable(blocks)
        elif coded.pictures is not None:
            yield from coded.pictures[:frames, :height, :width]


def tile_plan(header: Header) -> TilePlan:
    """Return the windows of refinement that a header asks for."""
    return TilePlan(
        frames=header.refine_window, size=header.refine_tile, overlap=header.refine_overlap
    )


def vae_tiles(header: Header) -> TilePlan:
    """Return the tiles of the autoencoder that a header asks for."""
    return TilePlan(size=header.vae_tile, overlap=header.vae_overlap)


def read_block(record: GroupRecord) -> GnvcVdBlock:
    """Return the coder block of a `gnvc-vd` group.

    Raises:
        UnsupportedError: another coder made the group.
        FormatError: the block breaks a rule.
    """
    if record.coder != CODER_GNVC_VD:
        raise UnsupportedError(
            f"group {record.number} was made by coder {record.coder}, this version decodes "
            f"{CODER_GNVC_VD} (gnvc-vd) and {CODER_GVC} (gvc); upgrade gencodec",
            offset=record.offset,
        )
    return GnvcVdBlock.from_bytes(record.coder_block, offset=record.offset)
