"""Bytes -> symbols -> latents -> refined latents -> frames, group after group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from gencodec.container import GroupRecord, Header, Limits, Reader
from gencodec.errors import SourceError, UnsupportedError
from gencodec.execution import Execution
from gencodec.frames import Colour, Frame, VideoInfo
from gencodec.geometry import latent_shape
from gencodec.group_coder import GroupCoder, tile_plan, vae_tiles
from gencodec.packs import find_pack
from gencodec.packs.models import Models, load_models
from gencodec.progress import Progress, Report


class Decoder:
    """Decodes the groups of one .gnv stream to frames.

    Attributes:
        reader: of the container.
        info: the video, as the first header tells it.
        warnings: what the caller should pass on to people; grows while decoding.
        steps: refinement steps of the groups decoded so far.
    """

    def __init__(
        self,
        stream: BinaryIO,
        execution: Execution,
        *,
        steps: int | None = None,
        pack_dirs: Sequence[Path] = (),
        limits: Limits | None = None,
    ) -> None:
        """Read the first header and load its pack.

        Args:
            stream: the file.
            execution: where the networks run.
            steps: refinement steps instead of each group's own; 0 shows the base.
            pack_dirs: searched for packs before the usual places.
            limits: of the reader.
        """
        self.reader = Reader(stream, limits=limits or Limits())
        self.info = video_info(self.reader.header)
        self.warnings: list[str] = []
        self.steps: list[int] = []
        self._wanted = steps
        self._execution, self._pack_dirs = execution, pack_dirs
        self._models: dict[bytes, Models] = {}
        self._clock = _Clock(self.reader)
        self._pack(self.reader.header)

    def records(self, start: Fraction | None, end: Fraction | None) -> Iterator[GroupRecord]:
        """Yield the groups that show something between two times, by the index if there is one.

        Args:
            start: seconds from the first frame; None is the start of the video.
            end: seconds from the first frame; None is the end of the video.
        """
        if start is None and end is None:
            yield from self.reader.groups()
            return
        low, high = self._ticks(start), self._ticks(end)
        try:
            entries = self.reader.index()
        except SourceError:  # a pipe: read all, use what is wanted
            yield from self._from_pipe(low, high)
            return
        for entry, after in pairwise(entries):
            if entry.part != after.part:  # the clock goes on from the last frame of a part
                self._clock.ticks(self.reader.read_group(entry))
        starts = [self._clock.place(entry.part, entry.first_tick) for entry in entries]
        for entry, first, following in zip(entries, starts, [*starts[1:], None], strict=True):
            begins = high is None or first < high
            ends = low is None or following is None or following > low
            if begins and ends:
                yield self.reader.read_group(entry)

    def _from_pipe(self, low: Fraction | None, high: Fraction | None) -> Iterator[GroupRecord]:
        for record in self.reader.groups():
            ticks = self._clock.ticks(record)
            if _overlaps(ticks, low, high):
                yield record
            elif high is not None and ticks[0] >= high:
                return

    def frames(
        self,
        records: Iterable[GroupRecord],
        start: Fraction | None = None,
        end: Fraction | None = None,
        on_progress: Report | None = None,
    ) -> Iterator[Frame]:
        """Decode groups to frames, those before `start` and from `end` on left out."""
        low, high = self._ticks(start), self._ticks(end)
        count = 0
        held: Frame | None = None  # until it is known whether it is the last one
        for record in records:
            for frame in self._group(record):
                if (low is None or frame.ticks >= low) and (high is None or frame.ticks < high):
                    count += 1
                    if held is not None:
                        yield held
                    held = frame
            if on_progress is not None:
                on_progress(Progress(stage="decode", frames=count, group=record.number + 1))
        if held is not None:
            yield replace(held, duration=self.reader.last_duration if high is None else 0)

    def refinement_steps(self, record: GroupRecord) -> int:
        """Return the refinement steps that a group gets."""
        models = self._pack(self.reader.parts[record.part].header)
        return GroupCoder(models).refinement_steps(record, self._wanted)

    def _group(self, record: GroupRecord) -> Iterator[Frame]:
        header = self.reader.parts[record.part].header
        if (header.width, header.height) != (self.info.width, self.info.height):
            raise UnsupportedError(
                f"part {record.part} is {header.width}x{header.height}, the first one "
                f"{self.info.width}x{self.info.height}; decode the parts one by one",
                offset=record.offset,
            )
        models = self._pack(header)
        stride = models.autoencoder.stride
        shape = latent_shape(record.frames, header.height, header.width, stride)
        coder = GroupCoder(models)
        self.steps.append(coder.refinement_steps(record, self._wanted))
        coded = coder.decode(record, shape)
        latents = coder.refine(
            coded, record, tile_plan(header), seed=header.noise_seed, steps=self._wanted
        )
        if latents is None and self.steps[-1] > 0:
            self.warnings.append(f"group {record.number}: refinement failed, shown without it")
            latents = coded.latents
        ticks = self._clock.ticks(record)
        size = (record.frames, header.height, header.width)
        pictures = coder.pictures(coded, latents, size, vae_tiles(header))
        for rgb, tick in zip(pictures, ticks, strict=True):
            yield Frame(rgb=rgb, ticks=tick)

    def _pack(self, header: Header) -> Models:
        """Return the models that a header names, loaded once."""
        identity = header.main_pack
        if identity not in self._models:
            folder = find_pack(identity.hex(), self._pack_dirs)
            self._models[identity] = load_models(folder, self._execution)
        return self._models[identity]

    def _ticks(self, seconds: Fraction | None) -> Fraction | None:
        """Return a time of the video in ticks of its time base."""
        if seconds is None:
            return None
        return self.reader.header.start_tick + seconds / self.info.time_base


class _Clock:
    """Times of all parts of a stream in ticks of the first: they play one after the other."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ends: dict[int, Fraction] = {}  # of the parts met so far

    def place(self, part: int, tick: int) -> Fraction:
        """Return a time of a part; the part before it must have been met."""
        if part == 0:
            return Fraction(tick)
        header = self._reader.parts[part].header
        scale = header.time_base / self._reader.header.time_base
        return self._ends.get(part - 1, Fraction(0)) + (tick - header.start_tick) * scale

    def ticks(self, record: GroupRecord) -> tuple[int, ...]:
        """Return the times of a group's frames, and note where it ends."""
        last = record.ticks[-1] + self._reader.parts[record.part].header.frame_ticks
        self._ends[record.part] = self.place(record.part, last)
        return tuple(round(self.place(record.part, tick)) for tick in record.ticks)


def _overlaps(ticks: tuple[int, ...], low: Fraction | None, high: Fraction | None) -> bool:
    begins = high is None or ticks[0] < high
    return begins and (low is None or ticks[-1] >= low)


def video_info(header: Header) -> VideoInfo:
    """Return the picture a header describes."""
    return VideoInfo(
        width=header.width,
        height=header.height,
        time_base=header.time_base,
        frame_rate=header.frame_rate,
        rotation=header.rotation,
        sample_aspect=header.sample_aspect,
        bit_depth=header.bit_depth,
        colour=Colour(
            primaries=header.primaries,
            transfer=header.transfer,
            matrix=header.matrix,
            range=header.colour_range,
        ),
        field_order=header.field_order,
        chroma_location=header.chroma_location,
    )
