"""Video -> frames -> latents -> symbols -> bytes, group after group."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain, count
from typing import Any, BinaryIO

from gencodec.container import CODER_GNVC_VD, GroupRecord, Header, Pack, Totals, Writer
from gencodec.errors import UsageError
from gencodec.frames import (
    CutDetector,
    FrameGroup,
    FrameSource,
    GroupLength,
    TrackCoder,
    VideoInfo,
    groups,
)
from gencodec.group_coder import GroupCoder
from gencodec.interleaving import Interleaver
from gencodec.journal import Journal
from gencodec.look import Look, Sample, look_at, plain_quality, plan_file
from gencodec.packs.models import Generator, Models
from gencodec.progress import Progress, Report
from gencodec.rate import PipeController, Target
from gencodec.tiles import TilePlan
from gencodec.trial import SizeTrial, Trial

_FILE_OVERHEAD = 122  # bytes of the header and the end, with one pack
_SECOND_HEADER = 75  # bytes that files of several groups have besides
_GROUP_OVERHEAD = 22  # bytes of a group's framing and index entry
_LONG_OVERHEAD = 6  # bytes more in long files: larger offsets, and a share of repeated headers
_SHORT = 24  # groups

Choose = Callable[[FrameGroup, Sample], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What one run of an encoder wrote.

    Attributes:
        totals: bytes, groups, frames.
        seconds: duration of the video.
        wanted_bytes: what the target means for it, of what the target counts; None for none.
        quality: lowest and highest quality index, of gvc that of the reference pictures.
        atoms: gvc: lowest and highest of the groups' atoms of a step and latent frame.
    """

    totals: Totals
    seconds: Fraction
    wanted_bytes: float | None
    quality: tuple[int, int]
    atoms: tuple[float, float] | None = None


class Encoder:
    """Codes one video with one pack.

    Args:
        source: the video.
        models: the pack.
        target: what to aim at.
        length: of a group at most.
        on_progress: told about every group.
        interleaver: carries what the source has beside the video; None: nothing.
        journal: keeps finished groups; None: none are kept.
    """

    def __init__(  # noqa: PLR0913 - the last two are left out by tests and tools
        self,
        source: FrameSource,
        models: Models,
        target: Target,
        length: GroupLength,
        on_progress: Report | None,
        interleaver: Interleaver | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._source, self._models, self._target = source, models, target
        self._length = length
        self._interleaver, self._on_progress, self._journal = interleaver, on_progress, journal
        self._coder = GroupCoder(models)
        self._pixels = source.info.width * source.info.height

    def run(self, stream: BinaryIO) -> Encoded:
        """Write the whole file to `stream`."""
        if self._source.rewindable:
            return self._run_file(stream)
        return self._run_pipe(stream)

    def _run_file(self, stream: BinaryIO) -> Encoded:
        info, target = self._source.info, self._target
        fixed = target.quality
        analyse = self._sample if fixed is None else None
        beside = self._interleaver
        read = read_groups(self._source, self._length, beside.measure() if beside else None)
        look = look_at(read, info, analyse, self._on_progress)
        if beside:
            beside.measured(look.seconds(info))
        wanted = target.file_bytes(self._pixels * look.frames, look.seconds(info))
        if wanted is None:
            return self._write(stream, look, self._fixed)
        overhead = self._overhead(look, math.ceil(look.frames / max(len(look.groups), 1)))
        carried = beside.bytes if beside and target.size is not None else 0
        budget = wanted - carried - _FILE_OVERHEAD - (len(look.groups) > 1) * _SECOND_HEADER
        sizes = SizeTrial(self._models, self._header(0, constant_rate=look.constant_rate))
        with self._searching(look):
            near = plain_quality(look, budget, overhead, self._coder.rungs)
            if self._coder.tries_both(near):
                sizes.choose_all(look.samples, near)
            plan = plan_file(look, budget, overhead, self._coder.rungs)

        def choose(group: FrameGroup, sample: Sample) -> int:
            rung = plan.next_quality(group.index)
            sizes.choose(sample, rung)
            plan.spent(sample.at(rung).size + overhead)
            return rung

        return self._write(stream, look, choose, wanted)

    @contextmanager
    def _searching(self, look: Look) -> Iterator[None]:
        """Report each group that is coded while the quality is searched."""
        report, tried = self._on_progress, count(1)

        def tell() -> None:
            if report is not None:
                report(Progress(stage="search", frames=next(tried)))

        for sample in look.samples.values():
            sample.on_coded = tell
        yield
        for sample in look.samples.values():
            sample.on_coded = None

    def _run_pipe(self, stream: BinaryIO) -> Encoded:
        info, target = self._source.info, self._target
        look = pipe_look(info, target)
        wanted = target.file_bytes(self._pixels, 1 / info.frame_rate)
        if wanted is None:
            return self._write(stream, look, self._fixed)
        control = PipeController(wanted, _FILE_OVERHEAD + _SECOND_HEADER, self._coder.rungs)
        sizes = SizeTrial(self._models, self._header(0, constant_rate=look.constant_rate))

        def choose(group: FrameGroup, sample: Sample) -> int:
            if control.quality is not None:
                sizes.choose(sample, control.quality)
            frames = len(group.ticks)
            overhead = self._overhead(look, frames)

            def size_at(rung: int, *, plain: bool = False) -> int:
                return sample.at(rung, plain=plain).size + overhead

            near = partial(size_at, plain=True)
            return control.choose(size_at, frames, last=group.last, near=near)

        encoded = self._write(stream, look, choose)
        return replace(encoded, wanted_bytes=wanted * encoded.totals.frames)

    def _overhead(self, look: Look, frames: int) -> int:
        """Bytes of framing a group of `frames`, one a frame for the times of a variable rate."""
        long = not 0 < len(look.groups) <= _SHORT  # a pipe may be
        times = 0 if look.constant_rate else frames
        return _GROUP_OVERHEAD + long * _LONG_OVERHEAD + times

    def _write(
        self, stream: BinaryIO, look: Look, choose: Choose, wanted: float | None = None
    ) -> Encoded:
        """Code every group at the rung that `choose` returns."""
        qualities: list[int] = []
        beside = self._interleaver
        trial = Trial(self._models, self._header(0, constant_rate=look.constant_rate))

        def code(group: FrameGroup, _written: Totals) -> GroupRecord:
            sample = look.samples.pop(group.index, None) or self._sample(group)
            coded = sample.at(choose(group, sample))
            qualities.append(coded.block.quality)
            record = coded.record(group.index, group.ticks, cut=group.cut)
            record = self._coder.aimed(record, lambda: sample.source)
            return trial.choose(record, lambda: sample.source)

        def header(start_tick: int) -> Header:
            return self._header(start_tick, constant_rate=look.constant_rate)

        def tell(totals: Totals) -> None:
            self._report(totals, look.frames or None, qualities[-1])

        totals, seconds = write_groups(
            stream,
            self._source.info,
            read_groups(self._source, self._length, beside.code() if beside else None),
            header=header,
            code=code,
            tell=tell,
            beside=beside,
        )
        return Encoded(
            totals=totals,
            seconds=seconds,
            wanted_bytes=wanted,
            quality=(min(qualities), max(qualities)),
        )

    def _fixed(self, _group: FrameGroup, _sample: Sample) -> int:
        return self._coder.rung_of(self._target.quality or 0)

    def _sample(self, group: FrameGroup) -> Sample:
        kept = self._journal.group(group.rgb) if self._journal else None
        prepare = partial(self._models.transform.prepare, group.rgb)
        return Sample(prepare, self._coder, kept, starts_scene=group.cut)

    def _header(self, start_tick: int, *, constant_rate: bool) -> Header:
        return Header(
            **picture_fields(self._source.info, constant_rate=constant_rate),
            **pack_fields(self._models, self._models.defaults.tiles),
            start_tick=start_tick,
            group_frames=self._length.frames,
            coder=CODER_GNVC_VD,
        )

    def _report(self, totals: Totals, frames: int | None, quality: int) -> None:
        if self._on_progress is not None:
            coded = coding_progress(totals, frames, self._pixels)
            self._on_progress(replace(coded, quality=quality))


def pipe_look(info: VideoInfo, target: Target | None) -> Look:
    """Return what is known of a pipe before it is read.

    Args:
        info: of the video.
        target: what to aim at, if anything.

    Raises:
        UsageError: the target needs the length of the video.
    """
    if target is not None and target.size is not None:
        raise UsageError("--size needs a file, a pipe's length is not known; use --bitrate")
    constant = info.frame_ticks == 1 and info.time_base * info.frame_rate == 1
    return Look(constant_rate=constant)  # as in y4m, where nothing else can be said


def read_groups(
    source: FrameSource, length: GroupLength, tracks: TrackCoder | None
) -> Iterator[FrameGroup]:
    """Read a video in groups of at most `length`, cut where scenes change.

    Args:
        source: the video.
        length: of a group.
        tracks: takes what the source has beside the video; None: nobody does.
    """
    frames = source.frames(tracks) if tracks else source.frames()
    return groups(frames, length=length.frames, watch=CutDetector(), most_change=length.change)


def coding_progress(totals: Totals, frames: int | None, pixels: int) -> Progress:
    """Return how far coding is.

    Args:
        totals: what was written so far.
        frames: of the whole video, if it is known.
        pixels: of a frame.
    """
    return Progress(
        stage="code",
        frames=totals.frames,
        total=frames,
        group=totals.groups,
        bits_per_pixel=8 * totals.bytes / (pixels * totals.frames),
    )


def write_groups(  # noqa: PLR0913
    stream: BinaryIO,
    info: VideoInfo,
    groups: Iterator[FrameGroup],
    *,
    header: Callable[[int], Header],
    code: Callable[[FrameGroup, Totals], GroupRecord],
    tell: Callable[[Totals], None],
    beside: Interleaver | None = None,
) -> tuple[Totals, Fraction]:
    """Write a whole file and return what was written and the seconds it lasts.

    Args:
        stream: for the file.
        info: of the video.
        groups: of the video, at least one.
        header: makes the file's header from the tick of the first frame.
        code: codes a group, told what was written before it.
        tell: told what was written after each group.
        beside: carries what the source has beside the video; None: nothing.
    """
    group = first = next(groups)
    start = first.ticks[0]
    with Writer(stream, header(start)) as writer:
        if beside:
            beside.begin(writer)
        for group in chain([first], groups):
            record = code(group, writer.totals)
            if beside and group.index:
                beside.until(group.ticks[0] * info.time_base)
            writer.write_group(record)
            tell(writer.totals)
        if beside:
            beside.until(None)
        told = group.duration if group.duration != info.frame_ticks else 0
        writer.close(last_duration=told)
    return writer.totals, (group.ticks[-1] + info.frame_ticks - start) * info.time_base


def pack_fields(
    pack: Generator, windows: TilePlan, references: Models | None = None
) -> dict[str, Any]:
    """Return the header fields that follow from the packs.

    Args:
        pack: the main one.
        windows: of its transformer.
        references: the pack that codes reference pictures, if there are any.
    """
    vae = pack.defaults.vae_tiles
    identity = bytes.fromhex(pack.manifest.sha256)
    packs = [Pack(sha256=identity)]
    if references is not None:
        packs.append(Pack(role=1, sha256=bytes.fromhex(references.manifest.sha256)))
    return {
        "noise_seed": zlib.crc32(identity),
        "refine_tile": windows.size,
        "refine_overlap": windows.overlap,
        "refine_window": windows.frames,
        "vae_tile": vae.size,
        "vae_overlap": vae.overlap,
        "packs": tuple(packs),
    }


def picture_fields(info: VideoInfo, *, constant_rate: bool) -> dict[str, Any]:
    """Return the header fields that follow from the source."""
    return {
        "constant_rate": constant_rate,
        "nominal_rate": Fraction(0) if constant_rate else info.frame_rate,
        "width": info.width,
        "height": info.height,
        "rotation": info.rotation,
        "sample_aspect": info.sample_aspect,
        "time_base": info.time_base,
        "frame_ticks": info.frame_ticks,
        "bit_depth": info.bit_depth,
        "primaries": info.colour.primaries,
        "transfer": info.colour.transfer,
        "matrix": info.colour.matrix,
        "colour_range": info.colour.range,
        "chroma_location": info.chroma_location,
        "field_order": info.field_order,
    }
