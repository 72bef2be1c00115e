"""Video -> frames -> latents -> symbols -> bytes, group after group."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from gencodec.container import CODER_GNVC_VD, GroupRecord, Header, Pack, Totals, Writer
from gencodec.errors import UsageError
from gencodec.frames import CutDetector, FrameGroup, FrameSource, TrackCoder, VideoInfo, groups
from gencodec.group_coder import CodedGroup, GroupCoder
from gencodec.interleaving import Interleaver
from gencodec.journal import Journal
from gencodec.look import Look, Sample, look_at, plan_file
from gencodec.packs.models import Models
from gencodec.progress import Progress, Report
from gencodec.rate import PipeController, Target

_FILE_OVERHEAD = 115  # bytes of header and end, with one pack
_GROUP_OVERHEAD = 24  # bytes of a group's framing and index entry

Choose = Callable[[FrameGroup, Sample], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What one run of the encoder wrote; `wanted_bytes` counts what its target counts."""

    totals: Totals
    seconds: Fraction
    wanted_bytes: float | None
    quality: tuple[int, int]


class Encoder:
    """Codes one video with one pack.

    Args:
        source: the video.
        models: the pack.
        target: what to aim at.
        group_frames: frames of a group at most.
        on_progress: told about every group.
        interleaver: carries what the source has beside the video; None: nothing.
        journal: keeps finished groups; None: none are kept.
    """

    def __init__(  # noqa: PLR0913 - the last two are left out by tests and tools
        self,
        source: FrameSource,
        models: Models,
        target: Target,
        group_frames: int,
        on_progress: Report | None,
        interleaver: Interleaver | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._source, self._models, self._target = source, models, target
        self._length = group_frames
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
        read = self._groups(beside.measure() if beside else None)
        look = look_at(read, info, analyse, self._on_progress)
        if beside:
            beside.measured(look.seconds(info))
        wanted = target.file_bytes(self._pixels * look.frames, look.seconds(info))
        if wanted is None:
            return self._write(stream, look, lambda _group, _sample: _fixed(target))
        overhead = self._overhead(look)
        carried = beside.bytes if beside and target.size is not None else 0
        budget = wanted - carried - _FILE_OVERHEAD
        plan = plan_file(look, budget, overhead, self._coder.qualities)

        def choose(group: FrameGroup, sample: Sample) -> int:
            quality = plan.next_quality(group.index)
            plan.spent(sample.at(quality).size + overhead)
            return quality

        return self._write(stream, look, choose, wanted)

    def _run_pipe(self, stream: BinaryIO) -> Encoded:
        info, target = self._source.info, self._target
        if target.size is not None:
            raise UsageError("--size needs a file, a pipe's length is not known; use --bitrate")
        look = Look(constant_rate=info.frame_ticks * info.time_base * info.frame_rate == 1)
        look.constant_rate &= info.frame_ticks == 1  # as in y4m, where nothing else can be said
        wanted = target.file_bytes(self._pixels, 1 / info.frame_rate)
        if wanted is None:
            return self._write(stream, look, lambda _group, _sample: _fixed(target))
        control = PipeController(wanted, _FILE_OVERHEAD, self._coder.qualities)
        overhead = self._overhead(look)

        def choose(group: FrameGroup, sample: Sample) -> int:
            frames = len(group.ticks)
            return control.choose(lambda q: sample.at(q).size + overhead, frames, last=group.last)

        encoded = self._write(stream, look, choose)
        return replace(encoded, wanted_bytes=wanted * encoded.totals.frames)

    def _overhead(self, look: Look) -> int:
        """Bytes of framing a group, one a frame for the times of a variable rate."""
        return _GROUP_OVERHEAD + (0 if look.constant_rate else self._length)

    def _write(
        self, stream: BinaryIO, look: Look, choose: Choose, wanted: float | None = None
    ) -> Encoded:
        """Code every group at the quality `choose` returns."""
        frame_ticks, time_base = self._source.info.frame_ticks, self._source.info.time_base
        qualities: list[int] = []
        beside = self._interleaver
        coming = self._groups(beside.code() if beside else None)
        group = first = next(coming)
        start = first.ticks[0]
        with Writer(stream, self._header(start, constant_rate=look.constant_rate)) as writer:
            if beside:
                beside.begin(writer)
            for group in chain([first], coming):
                sample = look.samples.pop(group.index, None) or self._sample(group)
                quality = choose(group, sample)
                if beside and group.index:
                    beside.until(group.ticks[0] * time_base)
                writer.write_group(_record(group, sample.at(quality)))
                qualities.append(quality)
                self._report(writer.totals, look.frames or None, quality)
            if beside:
                beside.until(None)
            told = group.duration if group.duration != frame_ticks else 0
            writer.close(last_duration=told)
        return Encoded(
            totals=writer.totals,
            seconds=(group.ticks[-1] + frame_ticks - start) * time_base,
            wanted_bytes=wanted,
            quality=(min(qualities), max(qualities)),
        )

    def _groups(self, tracks: TrackCoder | None) -> Iterator[FrameGroup]:
        frames = self._source.frames(tracks) if tracks else self._source.frames()
        return groups(frames, length=self._length, is_cut=CutDetector())

    def _sample(self, group: FrameGroup) -> Sample:
        kept = self._journal.group(group.rgb) if self._journal else None
        return Sample(partial(self._models.transform.prepare, group.rgb), self._coder, kept)

    def _header(self, start_tick: int, *, constant_rate: bool) -> Header:
        tiles = self._models.defaults.tiles
        identity = bytes.fromhex(self._models.manifest.sha256)
        return Header(
            **_picture(self._source.info),
            constant_rate=constant_rate,
            nominal_rate=Fraction(0) if constant_rate else self._source.info.frame_rate,
            start_tick=start_tick,
            group_frames=self._length,
            coder=CODER_GNVC_VD,
            noise_seed=zlib.crc32(identity),
            refine_tile=tiles.size,
            refine_overlap=tiles.overlap,
            refine_window=tiles.frames,
            packs=(Pack(sha256=identity),),
        )

    def _report(self, totals: Totals, frames: int | None, quality: int) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Progress(
                    stage="code",
                    frames=totals.frames,
                    total=frames,
                    group=totals.groups,
                    bits_per_pixel=8 * totals.bytes / (self._pixels * totals.frames),
                    quality=quality,
                )
            )


def _fixed(target: Target) -> int:
    return target.quality or 0


def _picture(info: VideoInfo) -> dict[str, Any]:
    """Return the header fields that follow from the source."""
    return {
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


def _record(group: FrameGroup, coded: CodedGroup) -> GroupRecord:
    return GroupRecord(
        number=group.index,
        ticks=group.ticks,
        cut=group.cut,
        coder=CODER_GNVC_VD,
        coder_block=coded.block.to_bytes(),
        payload=coded.payload,
        digest=coded.digest,
    )
