"""The first pass over a file: how long it is, whether its rate is constant, what its groups cost.

What is coded of an evenly spread sample of groups is kept, so memory does not grow with the video;
a short video is kept whole and is not analysed a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from gencodec.frames import FrameGroup, VideoInfo
from gencodec.group_coder import CodedGroup, GroupCoder
from gencodec.journal import GroupJournal
from gencodec.progress import Progress, Report
from gencodec.rate import FilePlan, find_quality
from gencodec.transform import Source

_KEPT_BYTES = 96 << 20  # of sources


@dataclass(slots=True, kw_only=True)
class Look:
    """What the first pass found.

    Attributes:
        frames: in the video.
        groups: frames of every group.
        constant_rate: every frame lasts `VideoInfo.frame_ticks`.
        duration: ticks from the first frame to the end of the last.
        samples: group index -> its coded sizes at the qualities tried so far.
    """

    frames: int = 0
    groups: list[int] = field(default_factory=list)
    constant_rate: bool = True
    duration: int = 0
    samples: dict[int, Sample] = field(default_factory=dict)

    def seconds(self, info: VideoInfo) -> Fraction:
        """Return the duration."""
        return self.duration * info.time_base


class Sample:
    """A group that is made ready and coded when it has to be, in each way at most once.

    Attributes:
        starts_scene: the group looks unlike the one before it.
        prefers_half: it is coded at half size where both sizes are possible; None: not tried yet.
    """

    def __init__(
        self,
        prepare: Callable[[], Source],
        coder: GroupCoder,
        journal: GroupJournal | None = None,
        *,
        starts_scene: bool = False,
    ) -> None:
        """Prepare.

        Args:
            prepare: makes the group ready; called at most once.
            coder: codes it.
            journal: where it may be found coded, and is kept.
            starts_scene: see the attributes.
        """
        self.starts_scene = starts_scene
        self.prefers_half: bool | None = None
        self._prepare: Callable[[], Source] | None = prepare
        self._source: Source | None = None
        self._coder, self._journal = coder, journal
        self._coded: dict[tuple[int, bool], CodedGroup] = {}

    @property
    def source(self) -> Source:
        """The group, ready to be coded."""
        if self._source is None and self._prepare is not None:
            self._source, self._prepare = self._prepare(), None
        if self._source is None:
            raise TypeError("a group is prepared once")
        return self._source

    def at(self, rung: int, *, half: bool | None = None) -> CodedGroup:
        """Return the group coded at a rung, as it prefers or as it is asked for."""
        prefer_half = bool(self.prefers_half) if half is None else half
        place = index, half_size = self._coder.place(rung, prefer_half=prefer_half)
        if place not in self._coded:
            found = self._journal.find(index, half_size=half_size) if self._journal else None
            coded = found or self._coder.encode(self.source, rung, prefer_half=prefer_half)
            if self._journal and not found:
                self._journal.add(coded)
            self._coded[place] = coded
        return self._coded[place]


def look_at(
    groups: Iterator[FrameGroup],
    info: VideoInfo,
    analyse: Callable[[FrameGroup], Sample] | None,
    on_progress: Report | None = None,
) -> Look:
    """Read a whole video.

    Args:
        groups: of the video.
        info: of the video.
        analyse: makes a sample of a group; None where only the frame times matter.
        on_progress: told about every group.
    """
    found = Look()
    stride, kept = 1, 0
    start = end = 0
    for group in groups:
        found.constant_rate &= _is_constant(group, info.frame_ticks, end if found.frames else None)
        start = group.ticks[0] if not found.frames else start
        end = group.ticks[-1] + info.frame_ticks
        if analyse is not None and group.index % stride == 0:
            found.samples[group.index] = sample = analyse(group)
            kept += sample.source.nbytes
            while kept > _KEPT_BYTES and len(found.samples) > 1:
                stride *= 2
                kept = _thin(found.samples, stride)
        found.groups.append(len(group.ticks))
        found.frames += len(group.ticks)
        if on_progress is not None:
            total = info.frame_count
            on_progress(Progress(stage="look", frames=found.frames, total=total, group=group.index))
    found.duration = end - start
    return found


def _is_constant(group: FrameGroup, frame_ticks: int, start: int | None) -> bool:
    """Whether the group's frames are `frame_ticks` apart from `start` on."""
    first = group.ticks[0] if start is None else start
    return group.ticks == tuple(range(first, first + frame_ticks * len(group.ticks), frame_ticks))


def _thin(samples: dict[int, Sample], stride: int) -> int:
    """Drop all samples but every `stride`-th group; return the bytes that stay."""
    for index in [i for i in samples if i % stride]:
        del samples[index]
    return sum(sample.source.nbytes for sample in samples.values())


def plan_file(look: Look, budget: float, per_group: int, qualities: int) -> FilePlan:
    """Choose the quality of a whole file from its samples.

    Args:
        look: the first pass.
        budget: bytes all groups may use together, framing included.
        per_group: bytes of framing a group.
        qualities: number of quality indices.
    """
    seen = sum(look.groups[index] for index in look.samples)
    scale = look.frames / seen
    framing = per_group * len(look.groups)

    def total(quality: int) -> int:
        payload = sum(sample.at(quality).size for sample in look.samples.values())
        return round(payload * scale) + framing

    quality = find_quality(total, budget, qualities, qualities // 2)
    above = min(quality + 1, qualities - 1)
    return FilePlan(
        quality if above > quality else quality - 1,
        _sizes(look, min(quality, above - 1), scale, per_group),
        _sizes(look, above, scale, per_group),
        budget,
    )


def _sizes(look: Look, quality: int, scale: float, per_group: int) -> list[float]:
    """Bytes of every group at a quality: real where sampled, the mean a frame elsewhere."""
    coded = {index: sample.at(quality).size for index, sample in look.samples.items()}
    rate = sum(coded.values()) * scale / look.frames
    return [per_group + coded.get(index, rate * frames) for index, frames in enumerate(look.groups)]
