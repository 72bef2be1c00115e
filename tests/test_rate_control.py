"""Rate control: the search, the plan for files, the controller for pipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.rate import TOLERANCE, FilePlan, PipeController, Target, find_quality

QUALITIES = 64
Curve = Sequence[int]

rising = st.lists(st.integers(0, 400), min_size=QUALITIES, max_size=QUALITIES).map(
    lambda steps: [100 + sum(steps[: q + 1]) for q in range(QUALITIES)]
)


def exponential(start: float = 300, growth: float = 1.078) -> list[int]:
    """Sizes as a codec has them."""
    return [round(start * growth**q) for q in range(QUALITIES)]


def asked(curve: Curve) -> tuple[Callable[[int], int], list[int]]:
    """Return a function of sizes and the list of what was asked."""
    log: list[int] = []

    def size_at(quality: int) -> int:
        log.append(quality)
        return curve[quality]

    return size_at, log


@given(curve=rising, wanted=st.floats(0, 30_000), start=st.integers(-5, 70))
def test_the_search_finds_the_largest_quality_that_fits(
    curve: Curve, wanted: float, start: int
) -> None:
    fitting = [q for q in range(QUALITIES) if curve[q] <= wanted]
    assert find_quality(curve.__getitem__, wanted, QUALITIES, start) == max(fitting, default=0)


@given(
    curve=st.lists(st.integers(0, 10_000), min_size=QUALITIES, max_size=QUALITIES),
    wanted=st.floats(0, 10_000),
    start=st.integers(0, 63),
)
def test_a_curve_in_disorder_ends_the_search_at_a_border(
    curve: Curve, wanted: float, start: int
) -> None:
    size_at, log = asked(curve)
    found = find_quality(size_at, wanted, QUALITIES, start)
    assert len(log) == len(set(log)) <= QUALITIES
    if min(curve) <= wanted < max(curve) and curve[found] <= wanted:
        assert found == QUALITIES - 1 or curve[found + 1] > wanted
    assert curve[found] <= wanted or found == 0


@pytest.mark.parametrize("start", [0, 21, 63])
@pytest.mark.parametrize("wanted", [301.0, 1_000.0, 5_000.0, 30_000.0])
def test_the_search_needs_few_trials_on_a_curve_of_the_usual_kind(
    wanted: float, start: int
) -> None:
    size_at, log = asked(exponential())
    find_quality(size_at, wanted, QUALITIES, start)
    assert len(log) <= 6


def test_the_search_ends_at_the_ends() -> None:
    curve = exponential()
    assert find_quality(curve.__getitem__, 1, QUALITIES, 20) == 0
    assert find_quality(curve.__getitem__, 1e9, QUALITIES, 20) == QUALITIES - 1
    assert find_quality(lambda _quality: 0, 0.0, QUALITIES, 20) == QUALITIES - 1


def planned(plan: FilePlan, sizes: Sequence[tuple[float, float]], quality: int) -> list[int]:
    """Run a plan over groups whose real sizes at both qualities are given."""
    chosen = []
    for group, pair in enumerate(sizes):
        chosen.append(plan.next_quality(group) - quality)
        plan.spent(round(pair[chosen[-1]]))
    return chosen


pairs = st.lists(
    st.tuples(st.integers(100, 5_000), st.floats(1.02, 1.12)).map(
        lambda pair: (pair[0], round(pair[0] * pair[1]) + 1)
    ),
    min_size=1,
    max_size=40,
)


@given(sizes=pairs, share=st.floats(0, 1))
def test_a_plan_meets_the_budget_within_a_group_s_step(
    sizes: list[tuple[int, int]], share: float
) -> None:
    low, high = (sum(pair[k] for pair in sizes) for k in (0, 1))
    budget = low + share * (high - low)
    plan = FilePlan(30, [p[0] for p in sizes], [p[1] for p in sizes], budget)
    chosen = planned(plan, sizes, 30)
    assert set(chosen) <= {0, 1}
    spent = sum(pair[k] for pair, k in zip(sizes, chosen, strict=True))
    assert abs(spent - budget) <= max(b - a for a, b in sizes)


@given(count=st.integers(1, 60), share=st.floats(0, 1))
def test_equal_groups_meet_the_budget_within_half_a_step_and_evenly(
    count: int, share: float
) -> None:
    sizes = [(1_000, 1_080)] * count
    budget = count * (1_000 + 80 * share)
    plan = FilePlan(30, [1_000] * count, [1_080] * count, budget)
    chosen = planned(plan, sizes, 30)
    assert abs(sum(sizes[0][k] for k in chosen) - budget) <= 40 + 1e-6
    for group in range(count):  # also of every beginning: nobody pays at the end
        assert abs(sum(chosen[: group + 1]) - share * (group + 1)) <= 0.5 + 1e-6


@given(error=st.floats(0.98, 1.02), share=st.floats(0.4, 0.6))
def test_a_plan_corrects_estimates_that_were_wrong(error: float, share: float) -> None:
    count = 30
    expected = [(1_000.0, 1_080.0)] * count
    real = [(error * 1_000, error * 1_080)] * count
    budget = count * (1_000 + 80 * share)
    plan = FilePlan(30, [p[0] for p in expected], [p[1] for p in expected], budget)
    chosen = planned(plan, real, 30)
    spent = sum(round(real[0][k]) for k in chosen)
    nearest = min(max(budget, count * real[0][0]), count * real[0][1])
    assert abs(spent - nearest) <= 0.01 * budget


def test_a_plan_whose_qualities_cost_the_same_takes_the_lower() -> None:
    plan = FilePlan(5, [100, 100], [100, 100], 500)
    assert planned(plan, [(100, 100)] * 2, 5) == [0, 0]


def piped(
    curves: Sequence[Curve], rate: float, *, overhead: int = 0, frames: int = 10, end: int = 10
) -> tuple[list[int], list[float]]:
    """Run a controller; return the qualities and the share by which each beginning was off.

    The last group has `end` frames, the others have `frames`.
    """
    control = PipeController(rate, overhead, QUALITIES)
    used, due = float(overhead), 0.0
    chosen: list[int] = []
    off: list[float] = []
    for curve in curves:
        last = len(chosen) == len(curves) - 1
        count = end if last else frames
        chosen.append(control.choose(curve.__getitem__, count, last=last))
        used, due = used + curve[chosen[-1]], due + rate * count
        off.append(used / due - 1)
    return chosen, off


@given(
    factors=st.lists(st.floats(0.5, 2.0), min_size=3, max_size=40),
    rate=st.floats(100, 500),
)
def test_a_pipe_stays_inside_the_tolerance_from_the_third_group_on(
    factors: list[float], rate: float
) -> None:
    curves = [exponential(300 * factor) for factor in factors]
    _, off = piped(curves, rate)
    assert abs(off[0]) <= 0.04  # one step of quality is the best that one group can do
    assert all(abs(value) <= TOLERANCE for value in off[2:])


def test_steady_material_keeps_its_quality() -> None:
    chosen, _ = piped([exponential()] * 40, 200, overhead=115)
    assert max(chosen[3:]) - min(chosen[3:]) <= 2
    assert sum(a != b for a, b in pairwise(chosen[3:])) <= 20


@pytest.mark.parametrize("calm", [3, 20])
def test_the_last_group_does_not_pay_for_the_first(calm: int) -> None:
    hard, easy = exponential(900), exponential(300)
    chosen, off = piped([hard, *[easy] * calm], 250)
    alone, _ = piped([easy], 250)
    assert all(abs(quality - alone[0]) <= 2 for quality in chosen[1:])
    assert abs(off[-1]) <= TOLERANCE


@given(
    steady=st.integers(2, 30),
    end=st.integers(1, 10),
    share=st.floats(0.3, 1),
    rate=st.floats(100, 500),
)
def test_a_short_last_group_is_spared_as_far_as_the_tolerance_allows(
    steady: int, end: int, share: float, rate: float
) -> None:
    """It has few frames and an anchor like the others, so it costs more than its share."""
    short = [round(share * size) for size in exponential()]
    chosen, off = piped([*[exponential()] * steady, short], rate, end=end)
    before, after = chosen[-2:]
    assert abs(off[-1]) <= TOLERANCE or after == 0
    if after < before:  # the next better quality would be too much
        due = rate * (10 * steady + end)
        better = off[-1] * due + short[after + 1] - short[after]
        assert better > 0.028 * due


def test_a_rate_nobody_can_reach_stays_at_the_end() -> None:
    curves = [exponential()] * 5
    assert piped(curves, 1.0)[0] == [0] * 5
    assert piped(curves, 1e6)[0] == [QUALITIES - 1] * 5


def test_too_little_is_not_made_up_by_an_outburst() -> None:
    """A still part costs less than was due; the moving part after it must not squander that."""
    still, moving = [50] * QUALITIES, exponential()
    chosen, _ = piped([*[still] * 10, *[moving] * 10], 100)
    alone, _ = piped([moving], 100)
    assert all(abs(quality - alone[0]) <= 2 for quality in chosen[13:])


@pytest.mark.parametrize(
    "given_values",
    [
        {},
        {"bpp": 0.01, "size": 5},
        {"bpp": 0.0},
        {"bpp": float("nan")},
        {"bitrate": float("inf")},
        {"bitrate": -1.0},
        {"size": 0},
        {"quality": -1},
        {"quality": 64},
    ],
)
def test_a_target_is_one_positive_number(given_values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"give exactly one|must be"):
        Target(**given_values)


def test_targets_become_bytes() -> None:
    pixels, seconds = 80_000, Fraction(5, 2)
    assert Target(bpp=0.1).file_bytes(pixels, seconds) == 1_000
    assert Target(bitrate=8_000).file_bytes(pixels, seconds) == 2_500
    assert Target(size=777).file_bytes(pixels, seconds) == 777
    assert Target(quality=0).file_bytes(pixels, seconds) is None
