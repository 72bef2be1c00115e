"""Times of frames: kept where told, sensible where not."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.frames.clock import Clock, nominal_rate


def _ticks(told: list[int | None], *, rate: int = 25, time_base: Fraction) -> list[int]:
    clock = Clock(Fraction(rate), time_base)
    return [clock.ticks(each) for each in told]


@given(st.lists(st.integers(-(2**40), 2**40), unique=True, max_size=30).map(sorted))
def test_increasing_times_are_kept(told: list[int]) -> None:
    assert _ticks([*told], time_base=Fraction(1, 90000)) == told


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=30))
def test_any_times_become_strictly_increasing(told: list[int | None]) -> None:
    ticks = _ticks(told, time_base=Fraction(1, 1000))
    assert all(before < after for before, after in pairwise(ticks))


def test_missing_times_continue_without_drift() -> None:
    ticks = _ticks([None] * 301, rate=30, time_base=Fraction(1, 1000))
    assert (ticks[0], ticks[1], ticks[2], ticks[300]) == (0, 33, 67, 10000)


def test_missing_times_continue_from_the_last_told_one() -> None:
    assert _ticks([7, None, None, 200], time_base=Fraction(1, 1000)) == [7, 47, 87, 200]


def test_a_repeated_time_moves_by_one_tick_and_leaves_the_rest_alone() -> None:
    assert _ticks([0, 40, 40, 39, 120], time_base=Fraction(1, 1000)) == [0, 40, 41, 42, 120]


def test_a_joined_recording_continues_after_the_first() -> None:
    ticks = _ticks([0, 90000, 180000, 0, 3600, 7200], time_base=Fraction(1, 90000))
    assert ticks == [0, 90000, 180000, 183600, 187200, 190800]


@pytest.mark.parametrize(
    ("average", "base", "expected"),
    [
        (Fraction(24000, 1001), Fraction(24000, 1001), Fraction(24000, 1001)),
        (Fraction(12000, 401), Fraction(30000, 1001), Fraction(30000, 1001)),  # short file
        (Fraction(100000, 3913), Fraction(30000, 1001), Fraction(100000, 3913)),  # varying
        (Fraction(25), Fraction(50), Fraction(25)),  # the base counts fields
        (Fraction(25), Fraction(90000), Fraction(25)),
        (None, Fraction(30), Fraction(30)),
        (None, None, Fraction(25)),
    ],
)
def test_the_nominal_rate_is_exact_where_there_is_one(
    average: Fraction | None, base: Fraction | None, expected: Fraction
) -> None:
    assert nominal_rate(average, base, None) == expected
