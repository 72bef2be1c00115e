"""Bytes -> symbols -> latents -> refined latents -> frames, group after group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO

from gencodec.concealing import Conceal, Concealer
from gencodec.container import GroupRecord, Header, IndexEntry, Limits, Reader
from gencodec.errors import FormatError, SourceError, UnsupportedError
from gencodec.execution import Execution
from gencodec.frames import Colour, Frame, VideoInfo
from gencodec.group_pictures import GroupPictures, Segments
from gencodec.progress import Progress, Report
from gencodec.separating import Separator


class Decoder:
    """Decodes the groups of one .gnv stream to frames.

    Attributes:
        reader: of the container.
        info: the video, as the first header tells it.
        separator: what the stream carries beside the video; its tracks are complete.
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
        self._clock = _Clock(self.reader)
        self._segments = Segments(self.reader)
        self._groups = GroupPictures(self._segments, execution, steps, pack_dirs)
        self.separator = Separator(self._clock.shift, self._clock.start)
        self._first = self._first_group()
        self._groups.load(self.reader.header)

    @property
    def warnings(self) -> list[str]:
        """What the caller should pass on to people; grows while decoding."""
        return self._groups.warnings

    @property
    def steps(self) -> list[int]:
        """Refinement steps of the groups decoded so far."""
        return self._groups.steps

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
            first = ticks[0] if self.concealer is None else self.concealer.begin(ticks[0])
            if _overlaps((first, ticks[-1]), low, high):  # what takes the place of lost frames, too
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

    def runs_past(self, end: Fraction | None) -> bool:
        """Return whether a part of the video up to `end` seconds was to go on behind what is there.

        Told once its groups are decoded; None is the end of the video.
        """
        high = self._ticks(end)
        return not self.reader.complete and (high is None or self._clock.end < high)

    def refinement_steps(self, record: GroupRecord) -> int:
        """Return the steps of the transformer that a group gets."""
        return self._groups.refinement_steps(record, self.reader.parts[record.part].header)

    def _group(self, record: GroupRecord) -> Iterator[Frame]:
        header = self.reader.parts[record.part].header
        if (header.width, header.height) != (self.info.width, self.info.height):
            raise UnsupportedError(
                f"part {record.part} is {header.width}x{header.height}, the first one "
                f"{self.info.width}x{self.info.height}; decode the parts one by one",
                offset=record.offset,
            )
        pictures = self._groups.pictures(record, header)
        for rgb, tick in zip(pictures, self._clock.ticks(record), strict=True):
            yield Frame(rgb=rgb, ticks=tick)

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
        earlier = range(part - 1, -1, -1)  # of a part that is lost there is no end
        before = next((self._ends[each] for each in earlier if each in self._ends), Fraction(0))
        return before + (tick - header.start_tick) * scale

    @property
    def end(self) -> Fraction:
        """Tick at which the last frame met so far ends."""
        return max(self._ends.values(), default=Fraction(self._reader.header.start_tick))

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


def _overlaps(ticks: Sequence[int], low: Fraction | None, high: Fraction | None) -> bool:
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
