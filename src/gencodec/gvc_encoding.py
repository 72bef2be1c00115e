"""Video -> frames -> atoms -> bytes, group after group: the encoder of GVC."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np

from gencodec.container import CODER_GVC, FLF2V, T2V, GroupRecord, GvcBlock, Header, Totals
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
from gencodec.frames import FrameGroup, FrameSource, GroupLength
from gencodec.geometry import TEMPORAL_STRIDE, latent_shape
from gencodec.gvc import (
    BEST_REFERENCE,
    Ahead,
    GvcSettings,
    Schedule,
    checked,
    fitted,
    own_pictures,
)
from gencodec.gvc_coder import CodedGvc, Fit, GvcCoder, Picture
from gencodec.interleaving import Interleaver
from gencodec.look import Look, look_at
from gencodec.packs import find_pack
from gencodec.packs.models import Generator, Models, load_models
from gencodec.progress import Report
from gencodec.rate import Target, find_quality
from gencodec.symbols import choices_bytes

T = TypeVar("T")
_GROUP_OVERHEAD = 31  # bytes of a group's framing and index entry, besides its coder block
_QUICK_SECONDS = 5.0  # that somebody waits for once more
_MINI = "mini"  # the pack that is always there
_LEAST_FRAMES = 5  # that have a second latent frame


@dataclass(slots=True, kw_only=True)
class _Past:
    """What the group before left: its last frame as it was, and what its decoder gives others."""

    source: Picture
    ending: Picture


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What `GvcEncoder.time` found, in seconds.

    Attributes:
        analysis, synthesis: of the autoencoder, a frame.
        evaluation: of the flow model, on a whole group.
        latents: latent frames of that group.
    """

    analysis: float
    synthesis: float
    evaluation: float
    latents: int


class _Nowhere(io.RawIOBase):
    """A stream that keeps nothing."""

    def write(self, data: Any) -> int:  # noqa: ANN401
        return len(data)


class GvcEncoder:
    """Codes one video with GVC.

    Args:
        source: the video.
        models: the pack: autoencoder, flow model, and coder of reference pictures; where it has no
            codec, the embedded pack codes those.
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
        models: Generator,
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
        self._references = _references(models, settings, execution)
        # Those that share a frame with the group before have one less of their own.
        self._length = group_frames - (settings.number != T2V)
        self._block = settings.block(source.info.height)
        windows = models.defaults.prior_tiles
        self._fields = pack_fields(models, windows, self._references)
        self._coder = GvcCoder(
            models,
            self._references,
            execution,
            plan=windows,
            tiles=models.defaults.vae_tiles,
            seed=self._fields["noise_seed"],
        )
        self._past: _Past | None = None
        self._atoms: list[float] = []
        self._qualities: list[int] = []

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
            ahead = Ahead(wanted=wanted)
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

    def time(self) -> Timed:
        """Run each network once, on as much as it gets at a time, and time it.

        What is quick runs a second time, warm.
        """
        info, stride = self._source.info, self._models.autoencoder.stride
        size = (_LEAST_FRAMES, info.height, info.width)
        clip = np.zeros((*size, 3), np.uint8)
        latents, analysis = _seconds(lambda: self._coder.analyse(clip))
        _, synthesis = _seconds(lambda: self._coder.frames(latents, size, skip=0))
        frames = self._length + (self._settings.number != T2V)
        shape = latent_shape(frames, *size[1:], stride)
        _, evaluation = _seconds(lambda: self._coder.evaluate(shape))
        return Timed(
            analysis=analysis / _LEAST_FRAMES,
            synthesis=synthesis / _LEAST_FRAMES,
            evaluation=evaluation,
            latents=shape[0],
        )

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
            tracks = beside.measure() if beside else None
            for group in read_groups(self._source, GroupLength(frames=self._length), tracks):
                cuts.append(group.cut)
                yield group

        look = look_at(noted(), self._source.info, None, self._on_progress)
        if beside:
            beside.measured(look.seconds(self._source.info))
        return look, cuts

    def _ahead(self, look: Look, cuts: list[bool], wanted: float | None) -> Ahead:
        closed = [self._settings.is_closed(n, cut=cut) for n, cut in enumerate(cuts)]
        ends = self._settings.number == FLF2V
        return Ahead(
            wanted=wanted,
            latents=[_latents(n, c) for n, c in zip(look.groups, closed, strict=True)],
            pictures=[0 if self._references is None else int(c) + ends for c in closed],
        )

    def _write(self, stream: BinaryIO, look: Look, ahead: Ahead, coder: _Coder) -> Encoded:
        def header(start_tick: int) -> Header:
            fields = picture_fields(self._source.info, constant_rate=look.constant_rate)
            made = Header(
                **fields,
                **self._fields,
                start_tick=start_tick,
                group_frames=self._length,
                coder=CODER_GVC,
                prompt=self._settings.prompt,
            )
            ahead.header_bytes = 0 if len(look.groups) == 1 else len(made.to_bytes())
            return made

        def code(group: FrameGroup, written: Totals) -> GroupRecord:
            times = 0 if look.constant_rate else len(group.ticks)
            return self._code(group, written, ahead, coder, times=times)

        def tell(totals: Totals) -> None:
            self._report(totals, look.frames or None)

        beside = self._interleaver
        totals, seconds = write_groups(
            stream,
            self._source.info,
            read_groups(
                self._source, GroupLength(frames=self._length), beside.code() if beside else None
            ),
            header=header,
            code=code,
            tell=tell,
            beside=beside,
        )
        return Encoded(
            totals=totals,
            seconds=seconds,
            wanted_bytes=None,
            quality=(min(self._qualities), max(self._qualities)),
            atoms=(min(self._atoms), max(self._atoms)),
        )

    def _code(
        self, group: FrameGroup, written: Totals, ahead: Ahead, coder: _Coder, *, times: int
    ) -> GroupRecord:
        """Code a group; `times` is the bytes of its frames' times."""
        past = self._past
        if self._settings.is_closed(group.index, cut=group.cut):
            past = None
        clip = group.rgb if past is None else np.concatenate([past.source[None], group.rgb])
        frames = written.frames + len(group.ticks)
        spent = written.bytes - written.carried_bytes

        def fit(block: GvcBlock, latents: int, pictures: int) -> GvcBlock:
            if ahead.wanted is None:
                return checked(block, latents)
            framing = _GROUP_OVERHEAD + len(block.to_bytes()) + times
            budget = ahead.bytes_for(spent, frames, framing, pictures)
            return fitted(block, latents, budget)

        count = own_pictures(self._block, closed=past is None)
        if count and ahead.wanted is not None and self._settings.reference_quality is None:
            share = ahead.bytes_for_picture(spent, frames, count)
            self._block = replace(self._block, quality=self._reference_quality(clip[-1], share))
        coded = coder(group, clip, None if past is None else past.ending, fit)
        self._past = self._leave(group, clip, coded)
        self._qualities.append(self._block.quality)
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

    def _reference_quality(self, picture: Picture, budget: float) -> int:
        """Return the best quality index at which a picture [H, W, 3] fits, or the lowest."""

        def size_at(quality: int) -> int:
            return self._coder.picture_bytes(picture, quality)

        return find_quality(size_at, budget, BEST_REFERENCE + 1, BEST_REFERENCE)

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


def _seconds(work: Callable[[], T]) -> tuple[T, float]:
    """Return what some work makes, and its time."""
    started = time.perf_counter()
    made = work()
    spent = time.perf_counter() - started
    if spent < _QUICK_SECONDS:
        started = time.perf_counter()
        made = work()
        spent = time.perf_counter() - started
    return made, spent


def _references(models: Generator, settings: GvcSettings, execution: Execution) -> Models | None:
    """Return the pack that codes reference pictures, if there are any."""
    if settings.number == T2V:
        return None
    coding = models if models.manifest.has_codec else load_models(find_pack(_MINI), execution)
    return coding.with_codec()


def _latents(frames: int, closed: bool) -> int:  # noqa: FBT001
    """Return the latent frames of a group of frames."""
    return 1 + -(-(frames - closed) // TEMPORAL_STRIDE)
