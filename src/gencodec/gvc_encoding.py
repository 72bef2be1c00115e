"""Video -> frames -> atoms -> bytes, group after group: the encoder of GVC."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, cast

import numpy as np

from gencodec.container import CODER_GVC, FLF2V, T2V, GroupRecord, GvcBlock, Header, Totals
from gencodec.container.blocks import GVC_ATOMS_MAX
from gencodec.encoding import (
    Encoded,
    coding_progress,
    pack_fields,
    picture_fields,
    pipe_look,
    read_groups,
    write_groups,
)
from gencodec.errors import UsageError
from gencodec.execution import Execution
from gencodec.frames import FrameGroup, FrameSource, TrackCoder
from gencodec.geometry import TEMPORAL_STRIDE, latent_shape
from gencodec.gvc import GvcSettings, Schedule, own_pictures
from gencodec.gvc_coder import CodedGvc, Fit, GvcCoder, Picture
from gencodec.interleaving import Interleaver
from gencodec.look import Look, look_at
from gencodec.packs.models import Models
from gencodec.progress import Report
from gencodec.rate import Target
from gencodec.symbols import choices_bits, choices_bytes

_FILE_OVERHEAD = 40  # bytes of a file's end
_GROUP_OVERHEAD = 26  # bytes of a group's framing and index entry, besides its coder block
_LEAST_FRAMES = 5  # that have a second latent frame


@dataclass(slots=True, kw_only=True)
class _Past:
    """What the group before left: its last frame as it was, and what its decoder gives others."""

    source: Picture
    ending: Picture


@dataclass(slots=True, kw_only=True)
class _Ahead:
    """What is left to code, as far as the first pass knows.

    Attributes:
        wanted: bytes of the file without what is carried; of a pipe, of a frame.
        latents: latent frames of all groups from the next one on; empty for a pipe.
        pictures: reference pictures of each of them.
        picture_bytes: of those coded so far, and their number.
    """

    wanted: float | None
    latents: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    picture_bytes: tuple[int, int] = (0, 0)


_Coder = Callable[[FrameGroup, Picture, Picture | None, Fit], CodedGvc]
"""Group, its clip, what the group before left, and what chooses the atoms -> the coded group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What `GvcEncoder.rehearse` found.

    Attributes:
        encoded: as `run` would return it.
        evaluations: of the flow model.
        evaluated_latents: latent frames in all of them together.
    """

    encoded: Encoded
    evaluations: int
    evaluated_latents: int


class _Nowhere(io.RawIOBase):
    """A stream that keeps nothing."""

    def write(self, data: Any) -> int:  # noqa: ANN401
        return len(data)


class GvcEncoder:
    """Codes one video with GVC.

    Args:
        source: the video.
        models: the pack: autoencoder, flow model, and coder of reference pictures.
        settings: of the coder.
        target: what to aim at, unless the settings fix the atoms.
        group_frames: frames a group's latents stand for, 4n + 1.
        execution: where the encoder looks for atoms.
        on_progress: told about every group.
        interleaver: carries what the source has beside the video; None: nothing.

    Raises:
        UsageError: the settings do not fit the target or the groups.
        PackError: the pack has no flow model.
    """

    def __init__(  # noqa: PLR0913
        self,
        source: FrameSource,
        models: Models,
        settings: GvcSettings,
        *,
        target: Target,
        group_frames: int,
        execution: Execution,
        on_progress: Report | None,
        interleaver: Interleaver | None = None,
    ) -> None:
        if settings.atoms is None and target.quality is not None:
            raise UsageError(
                "gvc has no quality index: give --atoms, or a rate such as --bpp; the reference "
                "pictures have --reference-quality"
            )
        if settings.number != T2V and group_frames < _LEAST_FRAMES:
            raise UsageError(
                f"gvc-{settings.variant} needs groups of {_LEAST_FRAMES} frames at least, --gop is "
                f"{group_frames}; take gvc-t2v for single frames"
            )
        self._source, self._models, self._settings = source, models, settings
        self._target, self._on_progress = target, on_progress
        self._interleaver = interleaver
        self._references = models if settings.number != T2V else None
        # Those that share a frame with the group before have one less of their own.
        self._length = group_frames - (settings.number != T2V)
        self._block = settings.block(source.info.height)
        self._fields = pack_fields(models, self._references)
        self._coder = GvcCoder(
            models,
            self._references,
            execution,
            plan=models.defaults.tiles,
            tiles=models.defaults.vae_tiles,
            seed=self._fields["noise_seed"],
        )
        self._past: _Past | None = None
        self._atoms: list[float] = []

    def run(self, stream: BinaryIO) -> Encoded:
        """Write the whole file to `stream`."""
        info, fixed = self._source.info, self._settings.atoms is not None
        pixels = info.width * info.height
        if self._source.rewindable:
            look, cuts = self._look()
            seconds = look.seconds(info)
            wanted = None if fixed else self._target.file_bytes(pixels * look.frames, seconds)
            ahead = self._ahead(look, cuts, self._without_carried(wanted))
        else:
            look = pipe_look(info, None if fixed else self._target)
            rate = self._target.file_bytes(pixels, 1 / info.frame_rate)
            wanted = None if fixed else rate
            ahead = _Ahead(wanted=wanted)
        encoded = self._write(stream, look, ahead, self._coded)
        if not self._source.rewindable and wanted is not None:
            wanted *= encoded.totals.frames
        return replace(encoded, wanted_bytes=wanted)

    def rehearse(self) -> Rehearsal:
        """Go through a whole file as `run` does, without coding latents or writing anything."""
        look, cuts = self._look()
        pixels = self._source.info.width * self._source.info.height
        fixed = self._settings.atoms is not None
        wanted = self._target.file_bytes(pixels * look.frames, look.seconds(self._source.info))
        ahead = self._ahead(look, cuts, None if fixed else wanted)
        latents = list(ahead.latents)
        encoded = self._write(cast("BinaryIO", _Nowhere()), look, ahead, self._rehearsed)
        evaluations = Schedule(self._block, 1).evaluations
        return Rehearsal(
            encoded=encoded,
            evaluations=evaluations * len(latents),
            evaluated_latents=evaluations * sum(latents),
        )

    def evaluate(self) -> int:
        """Evaluate the flow model on noise as large as a whole group; return its latent frames."""
        info, stride = self._source.info, self._models.autoencoder.stride
        frames = self._length + (self._settings.number != T2V)
        shape = latent_shape(frames, info.height, info.width, stride)
        self._coder.evaluate(shape)
        return shape[0]

    def _rehearsed(
        self, group: FrameGroup, clip: Picture, before: Picture | None, fit: Fit
    ) -> CodedGvc:
        """Stand in for the coder of a group: the sizes are right, the contents are not."""
        block, rows, columns = self._block, *clip.shape[1:3]
        ends = [clip[0], clip[-1]][: 1 + (block.variant == FLF2V)] if before is None else [clip[-1]]
        count = own_pictures(block, closed=before is None)
        size = sum(self._coder.picture_bytes(end, block.quality) for end in ends[:count])
        stride = self._models.autoencoder.stride
        latents = latent_shape(len(clip), rows, columns, stride)[0]
        block = fit(block, latents, size)
        size += choices_bytes(Schedule(block, latents).sizes, block.codebook)
        nothing = np.zeros((1, 1, 1, 1), np.float32)
        end = clip[-1] if self._settings.number != T2V else None
        return CodedGvc(block=block, payload=bytes(size), digest=0, latents=nothing, end=end)

    def _coded(
        self, group: FrameGroup, clip: Picture, before: Picture | None, fit: Fit
    ) -> CodedGvc:
        return self._coder.encode(group.index, clip, before, self._block, fit)

    def _without_carried(self, wanted: float | None) -> float | None:
        """Return the bytes that are left for the video where the target counts all of them."""
        if wanted is None or self._interleaver is None or self._target.size is None:
            return wanted
        return wanted - self._interleaver.bytes

    def _look(self) -> tuple[Look, list[bool]]:
        """Read a whole file; return what was found, and which groups start at a cut."""
        cuts: list[bool] = []
        beside = self._interleaver

        def noted() -> Iterator[FrameGroup]:
            for group in self._groups(beside.measure() if beside else None):
                cuts.append(group.cut)
                yield group

        look = look_at(noted(), self._source.info, None, self._on_progress)
        if beside:
            beside.measured(look.seconds(self._source.info))
        return look, cuts

    def _ahead(self, look: Look, cuts: list[bool], wanted: float | None) -> _Ahead:
        closed = [self._settings.is_closed(n, cut=cut) for n, cut in enumerate(cuts)]
        ends = self._settings.number == FLF2V
        return _Ahead(
            wanted=wanted,
            latents=[_latents(n, c) for n, c in zip(look.groups, closed, strict=True)],
            pictures=[0 if self._references is None else int(c) + ends for c in closed],
        )

    def _write(self, stream: BinaryIO, look: Look, ahead: _Ahead, coder: _Coder) -> Encoded:
        def header(start_tick: int) -> Header:
            fields = picture_fields(self._source.info, constant_rate=look.constant_rate)
            return Header(
                **fields,
                **self._fields,
                start_tick=start_tick,
                group_frames=self._length,
                coder=CODER_GVC,
            )

        def code(group: FrameGroup, written: Totals) -> GroupRecord:
            times = 0 if look.constant_rate else len(group.ticks)
            return self._code(group, written, ahead, coder, times=times)

        def tell(totals: Totals) -> None:
            self._report(totals, look.frames or None)

        beside = self._interleaver
        totals, seconds = write_groups(
            stream,
            self._source.info,
            self._groups(beside.code() if beside else None),
            header=header,
            code=code,
            tell=tell,
            beside=beside,
        )
        return Encoded(
            totals=totals,
            seconds=seconds,
            wanted_bytes=None,
            quality=(self._block.quality, self._block.quality),
            atoms=(min(self._atoms), max(self._atoms)),
        )

    def _groups(self, tracks: TrackCoder | None) -> Iterator[FrameGroup]:
        return read_groups(self._source, self._length, tracks)

    def _code(
        self, group: FrameGroup, written: Totals, ahead: _Ahead, coder: _Coder, *, times: int
    ) -> GroupRecord:
        """Code a group; `times` is the bytes of its frames' times."""
        past = self._past
        if self._settings.is_closed(group.index, cut=group.cut):
            past = None
        clip = group.rgb if past is None else np.concatenate([past.source[None], group.rgb])

        def fit(block: GvcBlock, latents: int, pictures: int) -> GvcBlock:
            if ahead.wanted is None:
                return _checked(block, latents)
            framing = _GROUP_OVERHEAD + len(block.to_bytes()) + times
            frames = written.frames + len(group.ticks)
            spent = written.bytes - written.carried_bytes
            budget = _budget(ahead, spent, frames, framing, pictures)
            return _fitted(block, latents, budget)

        coded = coder(group, clip, None if past is None else past.ending, fit)
        self._past = self._leave(group, clip, coded)
        self._atoms.append(coded.block.atoms / coded.block.coded_steps)
        del ahead.latents[:1], ahead.pictures[:1]
        return GroupRecord(
            number=group.index,
            ticks=group.ticks,
            cut=group.cut,
            dependencies=() if past is None else (1,),
            coder=CODER_GVC,
            coder_block=coded.block.to_bytes(),
            payload=coded.payload,
            digest=coded.digest,
        )

    def _leave(self, group: FrameGroup, clip: Picture, coded: CodedGvc) -> _Past | None:
        """Return what the next group may need of this one."""
        if self._settings.number == T2V or group.last:
            return None
        ending = coded.end
        if ending is None:
            size = (len(clip), clip.shape[1], clip.shape[2])
            ending = self._coder.frames(coded.latents, size, skip=len(clip) - 1)[-1]
        return _Past(source=group.rgb[-1].copy(), ending=ending)

    def _report(self, totals: Totals, frames: int | None) -> None:
        if self._on_progress is not None:
            info = self._source.info
            coded = coding_progress(totals, frames, info.width * info.height)
            self._on_progress(replace(coded, detail=f"{self._atoms[-1]:.3g} atoms"))


def _latents(frames: int, closed: bool) -> int:  # noqa: FBT001
    """Return the latent frames of a group of frames."""
    return 1 + -(-(frames - closed) // TEMPORAL_STRIDE)


def _budget(ahead: _Ahead, written: int, frames: int, framing: int, pictures: int) -> float:
    """Return the bytes that the atoms of the next group may take.

    Args:
        ahead: what is left to code.
        written: bytes of the video written so far.
        frames: in the file behind this group.
        framing: bytes of a group besides its payload.
        pictures: bytes of this group's reference pictures.
    """
    wanted = ahead.wanted or 0.0
    if not ahead.latents:
        return wanted * frames - written - framing - pictures
    spent, count = ahead.picture_bytes
    spent, count = spent + pictures, count + ahead.pictures[0]
    ahead.picture_bytes = spent, count
    later = sum(ahead.pictures[1:]) * spent / count if count else 0.0
    left = wanted - _FILE_OVERHEAD - written - framing * len(ahead.latents) - pictures - later
    return left * ahead.latents[0] / sum(ahead.latents)


def _checked(block: GvcBlock, latents: int) -> GvcBlock:
    """Return a block whose atoms were asked for.

    Raises:
        UsageError: they are too many for a group.
    """
    most = 16 * GVC_ATOMS_MAX // ((16 + block.tail_share) * latents * block.coded_steps)
    if block.atoms > most * block.coded_steps:
        raise UsageError(
            f"--atoms {block.atoms // block.coded_steps} is too much for groups of {latents} "
            f"latent frames and {block.coded_steps} coded steps, at most {most}; "
            "or take a smaller --gop"
        )
    return block


def _fitted(block: GvcBlock, latents: int, budget: float) -> GvcBlock:
    """Return a block with the most atoms whose choices take at most `budget` bytes."""
    bits = 8 * budget

    def at(atoms: int) -> GvcBlock:
        return replace(block, atoms=atoms)

    def sizes(atoms: int) -> list[int]:
        return Schedule(at(atoms), latents).sizes

    low, high = 0, 1 + _most(block, latents)
    while high - low > 1:
        middle = (low + high) // 2
        fits = choices_bits(sizes(middle), block.codebook) <= bits
        low, high = (middle, high) if fits else (low, middle)
    while low and choices_bytes(sizes(low), block.codebook) > budget:
        low -= 1
    return at(low)


def _most(block: GvcBlock, latents: int) -> int:
    """Return the largest number of atoms: half the codebook a step, and what a group may have."""
    share = 16 + block.tail_share
    codebook = 16 * (block.codebook // 2) * block.coded_steps // share
    return min(codebook, 16 * GVC_ATOMS_MAX // (share * latents))
