"""One group of a stream -> its pictures, with what other groups leave to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gencodec.container import (
    CODER_GVC,
    FLF2V,
    I2V,
    T2V,
    GroupRecord,
    Header,
    IndexEntry,
    Reader,
)
from gencodec.errors import FormatError, UsageError
from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.group_coder import GroupCoder, tile_plan, vae_tiles
from gencodec.gvc import latent_frames, read_gvc_block
from gencodec.gvc_coder import GvcCoder, Picture
from gencodec.packs import find_pack
from gencodec.packs.models import Generator, load_generator


class GroupPictures:
    """Makes pictures of groups, by the packs that they name.

    Attributes:
        warnings: what the caller should pass on to people; grows while decoding.
        steps: refinement steps of the groups decoded so far.
    """

    def __init__(
        self,
        segments: Segments,
        execution: Execution,
        steps: int | None,
        pack_dirs: Sequence[Path],
    ) -> None:
        """Start without packs; each is loaded once.

        Args:
            segments: the groups that others depend on.
            execution: where the networks run.
            steps: refinement steps instead of each group's own; 0 shows the base.
            pack_dirs: searched for packs before the usual places.
        """
        self.warnings: list[str] = []
        self.steps: list[int] = []
        self._segments, self._wanted = segments, steps
        self._execution, self._pack_dirs = execution, pack_dirs
        self._packs: dict[tuple[bytes, str], Generator] = {}
        self._left: tuple[GroupRecord, Picture] | None = None  # by the last group that others need

    def load(self, header: Header) -> None:
        """Load the main pack of a header."""
        self._pack(header.main_pack, header.prompt)

    def refinement_steps(self, record: GroupRecord, header: Header) -> int:
        """Return the steps of the transformer that a group under a header gets."""
        if record.damaged:
            return 0
        if record.coder == CODER_GVC:
            return read_gvc_block(record).steps
        pack = self._pack(header.main_pack)
        return GroupCoder(pack.with_codec()).refinement_steps(record, self._wanted)

    def pictures(self, record: GroupRecord, header: Header) -> Iterator[Picture]:
        """Yield the pictures [H, W, 3] of a group under a header."""
        decode = self._steered if record.coder == CODER_GVC else self._refined
        return decode(record, header)

    def _refined(self, record: GroupRecord, header: Header) -> Iterator[Picture]:
        """Decode a group of coder 1."""
        models = self._pack(header.main_pack).with_codec()
        stride = models.autoencoder.stride
        shape = latent_shape(record.frames, header.height, header.width, stride)
        coder = GroupCoder(models)
        wanted = 0 if record.damaged else self._wanted
        steps = coder.refinement_steps(record, wanted)
        coded = coder.decode(record, shape)
        self.steps.append(steps)
        latents = coder.refine(
            coded, record, tile_plan(header), seed=header.noise_seed, steps=wanted
        )
        if latents is None and self.steps[-1] > 0:
            self.warnings.append(f"group {record.number}: refinement failed, shown without it")
            latents = coded.latents
        size = (record.frames, header.height, header.width)
        yield from coder.pictures(coded, latents, size, vae_tiles(header))

    def _steered(self, record: GroupRecord, header: Header) -> Iterator[Picture]:
        """Decode a group of coder 2."""
        if self._wanted is not None:
            raise UsageError(
                f"group {record.number} was made by gvc, whose steps carry the picture; "
                "leave out --steps and --base"
            )
        coder, size = self._gvc_coder(record, header), (header.height, header.width)
        left = self._ending(record, coder, size)
        latents, schedule = coder.decode(record, size, left)
        self.steps.append(schedule.block.steps)
        if not np.isfinite(latents).all():
            self.warnings.append(
                f"group {record.number}: the flow model gave numbers that are not finite"
            )
        whole = (latent_frames(record), *size)
        shown = coder.frames(latents, whole, skip=whole[0] - record.frames)
        if schedule.block.variant == I2V:
            self._left = (record, shown[-1])
        yield from shown

    def _ending(
        self, record: GroupRecord, coder: GvcCoder, size: tuple[int, int]
    ) -> Picture | None:
        """Return what the group before leaves to a group that depends on it.

        Of flf2v this is a reference picture, of i2v the last frame, which takes all groups from the
        last closed one on.
        """
        if record.closed:
            return None
        before = self._segments.before(record)
        if read_gvc_block(before).variant == FLF2V:
            return coder.end_picture(before, size)
        chained = [before]
        while self._left is None or self._left[0] != chained[-1]:
            if chained[-1].closed:
                self._left = None
                break
            chained.append(self._segments.before(chained[-1]))
        else:
            chained.pop()
        for each in reversed(chained):
            left = None if self._left is None else self._left[1]
            latents, _ = coder.decode(each, size, left)
            frames = latent_frames(each)
            self._left = (each, coder.frames(latents, (frames, *size), skip=frames - 1)[-1])
        return None if self._left is None else self._left[1]

    def _gvc_coder(self, record: GroupRecord, header: Header) -> GvcCoder:
        references = None
        if read_gvc_block(record).variant != T2V:
            references = self._pack(header.reference_pack).with_codec()
        return GvcCoder(
            self._pack(header.main_pack, header.prompt),
            references,
            self._execution,
            plan=tile_plan(header),
            tiles=vae_tiles(header),
            seed=header.noise_seed,
        )

    def _pack(self, identity: bytes, prompt: str = "") -> Generator:
        """Return the networks of a pack, loaded once for a prompt."""
        key = identity, prompt
        if key not in self._packs:
            folder = find_pack(identity.hex(), self._pack_dirs)
            self._packs[key] = load_generator(folder, self._execution, prompt)
        return self._packs[key]


class Segments:
    """The groups that later ones may depend on: those since the last closed one, or by the index.

    Groups that were read one after the other are kept, still coded, until a closed one comes.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._entries: dict[tuple[int, int], IndexEntry] = {}
        self._kept: dict[tuple[int, int], GroupRecord] = {}

    def index(self, entries: Iterable[IndexEntry]) -> None:
        """Note where all groups are."""
        self._entries = {(entry.part, entry.number): entry for entry in entries}

    def kept(self, records: Iterable[GroupRecord]) -> Iterator[GroupRecord]:
        """Pass groups on, and keep those that later ones may depend on."""
        for record in records:
            if record.closed:
                self._kept.clear()
            self._kept[record.part, record.number] = record
            yield record

    def before(self, record: GroupRecord) -> GroupRecord:
        """Return the group that a group depends on.

        Raises:
            FormatError: it is missing or damaged, or of another coder.
        """
        place = (record.part, record.number - 1)
        found = self._kept.get(place)
        if found is None and place in self._entries:
            found = self._reader.read_group(self._entries[place])
        if found is None or found.coder != record.coder or read_gvc_block(found).variant == T2V:
            raise FormatError(
                f"group {record.number} needs group {place[1]}, which is missing or leaves it "
                "nothing; decode from the next group on with --start",
                offset=record.offset,
            )
        return found
