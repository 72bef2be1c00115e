"""Bytes -> symbols -> latents -> refined latents -> frames, group after group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gencodec.concealing import Conceal, Concealer
from gencodec.container import (
    CODER_GVC,
    FLF2V,
    I2V,
    T2V,
    GroupRecord,
    Header,
    IndexEntry,
    Limits,
    Reader,
)
from gencodec.errors import FormatError, SourceError, UnsupportedError, UsageError
from gencodec.execution import Execution
from gencodec.frames import Colour, Frame, VideoInfo
from gencodec.geometry import latent_shape
from gencodec.group_coder import GroupCoder, tile_plan, vae_tiles
from gencodec.gvc import latent_frames, read_gvc_block
from gencodec.gvc_coder import GvcCoder, Picture
from gencodec.packs import find_pack
from gencodec.packs.models import Generator, load_generator
from gencodec.progress import Progress, Report
from gencodec.separating import Separator


class Decoder:
    """Decodes the groups of one .gnv stream to frames.

    Attributes:
        reader: of the container.
        info: the video, as the first header tells it.
        separator: what the stream carries beside the video; its tracks are complete.
        warnings: what the caller should pass on to people; grows while decoding.
        steps: refinement steps of the groups decoded so far.
        concealer: what was lost so far; None where damage is an error.
    """

    def __init__(
        self,
        stream: BinaryIO,
        execution: Execution,
        *,
        steps: int | None = None,
        pack_dirs: Sequence[Path] = (),
        limits: Limits | None = None,
        conceal: Conceal | None = None,
    ) -> None:
        """Read the first header and load its pack.

        Args:
            stream: the file.
            execution: where the networks run.
            steps: refinement steps instead of each group's own; 0 shows the base.
            pack_dirs: searched for packs before the usual places.
            limits: of the reader.
            conceal: go on behind damage, and show this in its place; None: damage is an error.
        """
        self.reader = Reader(
            stream,
            limits=limits or Limits(),
            recover=conceal is not None,
            damaged=conceal == "base",
        )
        self.concealer = None if conceal is None else Concealer(self.reader, conceal)
        self.info = video_info(self.reader.header)
        self.warnings: list[str] = []
        self.steps: list[int] = []
        self._wanted = steps
        self._execution, self._pack_dirs = execution, pack_dirs
        self._packs: dict[tuple[bytes, str], Generator] = {}
        self._clock = _Clock(self.reader)
        self._segments = _Segments(self.reader)
        self._left: tuple[GroupRecord, Picture] | None = None  # by the last group that others need
        self.separator = Separator(self._clock.shift, self._clock.start)
        self._first = self._first_group()
        self._pack(self.reader.header.main_pack, self.reader.header.prompt)

    def records(self, start: Fraction | None, end: Fraction | None) -> Iterator[GroupRecord]:
        """Yield the groups that show something between two times, by the index if there is one.

        Args:
            start: seconds from the first frame; None is the start of the video.
            end: seconds from the first frame; None is the end of the video.
        """
        if start is None and end is None:
            yield from self._segments.kept(self._in_order())
            return
        low, high = self._ticks(start), self._ticks(end)
        entries = self._entries()
        if entries is None:
            yield from self._from_pipe(low, high)
            return
        self._segments.index(entries)
        for entry, after in pairwise(entries):
            if entry.part != after.part:  # the clock goes on from the last frame of a part
                self._clock.ticks(self.reader.read_group(entry))
        starts = [self._clock.place(entry.part, entry.first_tick) for entry in entries]
        for entry, first, following in zip(entries, starts, [*starts[1:], None], strict=True):
            begins = high is None or first < high
            ends = low is None or following is None or following > low
            if begins and ends:
                record, units = self.reader.read_span(entry)
                yield record
                for unit in units:
                    self.separator.take(unit)

    def _entries(self) -> list[IndexEntry] | None:
        """Return where the groups are; None if they are to be met in order."""
        with suppress(SourceError):  # of a pipe: read all, use what is wanted
            return None if self.concealer else self.reader.index()
        return None

    def _passing(self) -> Iterator[GroupRecord]:
        """Yield the groups to come; what stands between them goes to the separator."""
        for record in self.reader.records():
            if isinstance(record, GroupRecord):
                yield record
            else:
                self.separator.take(record)

    def _first_group(self) -> GroupRecord | FormatError | None:
        """Read up to the first group; its damage matters to those that want it."""
        try:
            return next(self._passing(), None)
        except FormatError as error:
            return error

    def _in_order(self) -> Iterator[GroupRecord]:
        """Yield all groups; the first one was read in order to know the tracks."""
        first, self._first = self._first, None
        if isinstance(first, FormatError):
            raise first
        if first is not None:
            yield first
        yield from self._passing()

    def _from_pipe(self, low: Fraction | None, high: Fraction | None) -> Iterator[GroupRecord]:
        for record in self._segments.kept(self._in_order()):
            ticks = self._clock.ticks(record)
            if _overlaps(ticks, low, high):
                yield record
            elif self.concealer is not None:
                self.concealer.passed(record, ticks)
            if high is not None and ticks[0] >= high:
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
        for record in chain(records, [None]):
            for frame in self._shown(record, to_end=high is None):
                if (low is None or frame.ticks >= low) and (high is None or frame.ticks < high):
                    count += 1
                    if held is not None:
                        yield held
                    held = frame
            if on_progress is not None and record is not None:
                on_progress(Progress(stage="decode", frames=count, group=record.number + 1))
        if held is not None:
            yield replace(held, duration=self.reader.last_duration if high is None else 0)

    def _shown(self, record: GroupRecord | None, *, to_end: bool) -> Iterator[Frame]:
        """Yield the frames of a group and what takes the place of lost ones; None: the end."""
        if self.concealer is None:
            yield from self._group(record) if record else ()
        elif record is not None:
            yield from self.concealer.group(record, self._clock.ticks(record), self._group)
        elif to_end:
            yield from self.concealer.end()

    def refinement_steps(self, record: GroupRecord) -> int:
        """Return the steps of the transformer that a group gets."""
        if record.damaged:
            return 0
        if record.coder == CODER_GVC:
            return read_gvc_block(record).steps
        pack = self._pack(self.reader.parts[record.part].header.main_pack)
        return GroupCoder(pack.with_codec()).refinement_steps(record, self._wanted)

    def _group(self, record: GroupRecord) -> Iterator[Frame]:
        header = self.reader.parts[record.part].header
        if (header.width, header.height) != (self.info.width, self.info.height):
            raise UnsupportedError(
                f"part {record.part} is {header.width}x{header.height}, the first one "
                f"{self.info.width}x{self.info.height}; decode the parts one by one",
                offset=record.offset,
            )
        decode = self._steered if record.coder == CODER_GVC else self._refined
        for rgb, tick in zip(decode(record, header), self._clock.ticks(record), strict=True):
            yield Frame(rgb=rgb, ticks=tick)

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

    def _ticks(self, seconds: Fraction | None) -> Fraction | None:
        """Return a time of the video in ticks of its time base."""
        if seconds is None:
            return None
        return self.reader.header.start_tick + seconds / self.info.time_base


class _Segments:
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

    @property
    def start(self) -> Fraction:
        """Seconds on the first part's clock at which its video starts."""
        header = self._reader.header
        return header.start_tick * header.time_base

    def shift(self, part: int) -> Fraction:
        """Return the seconds by which a part is shown later than its own clock says."""
        header = self._reader.parts[part].header
        placed = self.place(part, header.start_tick) * self._reader.header.time_base
        return placed - header.start_tick * header.time_base

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
