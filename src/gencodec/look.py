"""The first pass over a file: how long it is, whether its rate is constant, what its groups cost.

What is coded of an evenly spread sample of groups is kept, so memory does not grow with the video;
a short video is kept whole and is not analysed a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

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
        on_coded: told whenever the group was coded once more.
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
        self.on_coded: Callable[[], None] | None = None
        self._prepare: Callable[[], Source] | None = prepare
        self._source: Source | None = None
        self._coder, self._journal = coder, journal
        self._coded: dict[tuple[int, bool, bool], CodedGroup] = {}

    @property
    def source(self) -> Source:
        """The group, ready to be coded."""
        if self._source is None and self._prepare is not None:
            self._source, self._prepare = self._prepare(), None
        if self._source is None:
            raise TypeError("a group is prepared once")
        return self._source

    def at(self, rung: int, *, half: bool | None = None, plain: bool = False) -> CodedGroup:
        """Return the group coded at a rung.

        Args:
            rung: of the ladder.
            half: the size it is asked for; None: the one it prefers.
            plain: coded without descent, which is faster and costs about as many bytes.
        """
        prefer_half = bool(self.prefers_half) if half is None else half
        plain = plain or not self._coder.descends(rung, prefer_half=prefer_half)
        place = (*self._coder.place(rung, prefer_half=prefer_half), plain)
        if place not in self._coded:
            found = self._found(*place)
            self._coded[place] = found or self._code(rung, prefer_half=prefer_half, plain=plain)
        return self._coded[place]

    def _found(self, index: int, half_size: bool, plain: bool) -> CodedGroup | None:  # noqa: FBT001
        """Return what an interrupted run left."""
        journal = self._journal
        return journal.find(index, half_size=half_size, plain=plain) if journal else None

    def _code(self, rung: int, *, prefer_half: bool, plain: bool) -> CodedGroup:
        coded = self._coder.encode(self.source, rung, prefer_half=prefer_half, plain=plain)
        if self._journal:
            self._journal.add(coded, plain=plain)
        if self.on_coded:
            self.on_coded()
        return coded


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


def plain_quality(look: Look, budget: float, per_group: int, qualities: int) -> int:
    """Choose the quality of a whole file from its samples, coded plainly; as `plan_file`."""
    total = partial(_total, look, per_group, plain=True)
    return find_quality(total, budget, qualities, qualities // 2)


def plan_file(look: Look, budget: float, per_group: int, qualities: int) -> FilePlan:
    """Choose the quality of a whole file from its samples.

    Args:
        look: the first pass.
        budget: bytes all groups may use together, framing included.
        per_group: bytes of framing a group.
        qualities: number of quality indices.
    """
    near = plain_quality(look, budget, per_group, qualities)
    quality = find_quality(partial(_total, look, per_group), budget, qualities, near)
    scale = _unseen(look)
    above = min(quality + 1, qualities - 1)
    return FilePlan(
        quality if above > quality else quality - 1,
        _sizes(look, min(quality, above - 1), scale, per_group),
        _sizes(look, above, scale, per_group),
        budget,
    )


def _unseen(look: Look) -> float:
    """Return the frames of the video against those of the samples."""
    return look.frames / sum(look.groups[index] for index in look.samples)


def _total(look: Look, per_group: int, quality: int, *, plain: bool = False) -> int:
    """Return the bytes of all groups, framing included, as far as samples can tell."""
    payload = sum(sample.at(quality, plain=plain).size for sample in look.samples.values())
    return round(payload * _unseen(look)) + per_group * len(look.groups)


def _sizes(look: Look, quality: int, scale: float, per_group: int) -> list[float]:
    """Bytes of every group at a quality: real where sampled, the mean a frame elsewhere."""
    coded = {index: sample.at(quality).size for index, sample in look.samples.items()}
    rate = sum(coded.values()) * scale / look.frames
    return [per_group + coded.get(index, rate * frames) for index, frames in enumerate(look.groups)]
