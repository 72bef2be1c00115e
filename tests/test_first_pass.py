"""The first pass over a file: times, samples that stay small, the plan that follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny

from gencodec import look as module
from gencodec.frames import FrameGroup
from gencodec.look import Look, Sample, look_at, plan_file
from gencodec.progress import Progress

QUALITIES = 64


class Coder:
    """Stands for a `GroupCoder`: sizes by formula, and a count of the work.

    What it descends on grows or shrinks by a factor.
    """

    def __init__(self, sizes: Sequence[int] | None = None, descended: float | None = None) -> None:
        self.sizes = sizes or [round(300 * 1.078**q) for q in range(QUALITIES)]
        self._descends, self._growth = descended is not None, descended or 1.0
        self.calls = 0
        self.descents: list[int] = []

    def place(self, rung: int, *, prefer_half: bool) -> tuple[int, bool]:
        return rung, prefer_half

    def descends(self, _rung: int, *, prefer_half: bool) -> bool:
        return self._descends and not prefer_half

    def encode(
        self,
        latents: Any,  # noqa: ANN401
        quality: int,
        *,
        prefer_half: bool,
        plain: bool,
    ) -> Any:  # noqa: ANN401
        self.calls += 1
        growth = 1.0 if plain else self._growth
        if not plain:
            self.descents.append(quality)
        return SimpleNamespace(size=round(self.sizes[quality] * float(latents.flat[0]) * growth))


def group_of(index: int, ticks: Sequence[int]) -> FrameGroup:
    rgb = np.zeros((len(ticks), 2, 2, 3), np.uint8)
    return FrameGroup(index=index, rgb=rgb, ticks=tuple(ticks), duration=1, cut=False, last=False)


def sample(factor: float = 1.0, size: int = 4, coder: Coder | None = None) -> Sample:
    latents = np.full((1, 1, 1, size), factor, np.float32)
    return Sample(lambda: latents, coder or Coder())  # type: ignore[arg-type]


def regular(count: int, frames: int = 4, step: int = 1) -> Iterator[FrameGroup]:
    for index in range(count):
        first = index * frames * step
        yield group_of(index, range(first, first + frames * step, step))


def test_a_sample_is_coded_once_a_quality() -> None:
    coder = Coder()
    one = sample(coder=coder)
    assert one.at(3) is one.at(3)
    assert one.at(4) is not one.at(3)
    assert coder.calls == 2
    assert one.at(3, half=False) is one.at(3)
    assert one.at(3, half=True) is not one.at(3)
    one.prefers_half = True
    assert one.at(3, half=True) is one.at(3)
    assert coder.calls == 3


def test_the_pass_counts_frames_groups_and_time() -> None:
    told: list[Progress] = []
    look = look_at(regular(3, step=2), tiny.video_info(8, 8), lambda _g: sample(), told.append)
    assert (look.frames, look.groups, look.duration) == (12, [4, 4, 4], 23)
    assert not look.constant_rate
    assert [(p.stage, p.frames) for p in told] == [("look", 4), ("look", 8), ("look", 12)]
    look = look_at(regular(3), tiny.video_info(8, 8), None)
    assert look.constant_rate
    assert look.seconds(tiny.video_info(8, 8)) * 25 == 12
    assert not look.samples


@pytest.mark.parametrize(
    ("ticks", "constant"),
    [
        ([[0, 1, 2], [3, 4]], True),
        ([[7, 8, 9], [10, 11]], True),
        ([[0, 1, 2], [4, 5]], False),
        ([[0, 1, 3], [4, 5]], False),
        ([[0, 2], [4, 6]], False),
        ([[-3]], True),
    ],
)
def test_a_constant_rate_has_no_gap_anywhere(ticks: list[list[int]], constant: bool) -> None:
    groups = (group_of(index, each) for index, each in enumerate(ticks))
    assert look_at(groups, tiny.video_info(8, 8), None).constant_rate is constant


@pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 100])
def test_samples_stay_few_even_and_small(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1_000
    monkeypatch.setattr(module, "_KEPT_BYTES", 8 * 4 * size)
    most = 0

    def analyse(_group: FrameGroup) -> Sample:
        nonlocal most
        return sample(size=size)

    look = look_at(regular(count), tiny.video_info(8, 8), analyse, lambda p: None)
    kept = sorted(look.samples)
    assert kept[0] == 0
    assert len(kept) <= 8
    stride = kept[1] - kept[0] if len(kept) > 1 else 1
    assert kept == list(range(0, count, stride))
    assert stride & (stride - 1) == 0
    assert len(kept) > 4 or stride == 1


def test_one_group_larger_than_the_room_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 1)
    look = look_at(regular(5), tiny.video_info(8, 8), lambda _g: sample())
    assert list(look.samples) == [0]


@given(
    factors=st.lists(st.floats(0.3, 3.0), min_size=3, max_size=20),
    wanted=st.floats(400, 20_000),
    overhead=st.integers(10, 60),
)
def test_a_plan_from_all_groups_meets_what_can_be_met(
    factors: list[float], wanted: float, overhead: int
) -> None:
    coder = Coder()
    samples = {index: sample(f, coder=coder) for index, f in enumerate(factors)}
    look = Look(frames=4 * len(factors), groups=[4] * len(factors), samples=dict(samples))
    budget = wanted * len(factors)
    plan = plan_file(look, budget, overhead, QUALITIES)
    spent, used = 0, []
    for index, each in samples.items():
        used.append(plan.next_quality(index))
        size = each.at(used[-1]).size + overhead
        plan.spent(size)
        spent += size
    assert max(used) - min(used) <= 1
    ends = [sum(s.at(q).size + overhead for s in samples.values()) for q in (0, QUALITIES - 1)]
    if ends[0] < budget < ends[1]:
        biggest_step = max(
            s.at(min(q + 1, 63)).size - s.at(q).size for s in samples.values() for q in used
        )
        assert abs(spent - budget) <= biggest_step + 1
    else:
        assert spent == ends[int(budget >= ends[1])]


@pytest.mark.parametrize("growth", [0.9, 0.98, 1.0, 1.03, 1.1, 1.2])
def test_descent_is_tried_at_few_qualities_and_meets_the_budget(growth: float) -> None:
    """The plain search is cheap; what is written was descended on, and is as large."""
    coder = Coder(descended=growth)
    one = sample(1.0, coder=coder)
    look = Look(frames=4, groups=[4], samples={0: one})
    plan = plan_file(look, 3_000, 24, QUALITIES)
    size = one.at(plan.next_quality(0)).size + 24
    assert size == pytest.approx(3_000, rel=0.04)  # half a step
    assert len(coder.descents) <= 4
    assert one.at(20, plain=True) is not one.at(20)
    assert one.at(20).size == round(coder.sizes[20] * growth)


def test_groups_without_a_sample_are_taken_as_the_mean() -> None:
    coder = Coder()
    samples = {0: sample(1.0, coder=coder), 2: sample(1.2, coder=coder)}
    look = Look(frames=16, groups=[4, 4, 4, 4], samples=samples)
    plan = plan_file(look, 4 * 1_500, 24, QUALITIES)
    used = [plan.next_quality(index) for index in range(4)]
    sizes = [round(coder.sizes[q] * 1.1) + 24 for q in used]
    assert sum(sizes) == pytest.approx(6_000, rel=0.05)
