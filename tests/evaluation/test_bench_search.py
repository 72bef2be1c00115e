from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.evaluation.search import Search, reached
from gencodec.peers import Dial

_CRF = Dial(option="crf", first=37, best=0, worst=51, step=0.25)
_WHOLE = Dial(option="qp", first=38, best=0, worst=63, step=1)


def _falling(at_best: float, bend: float) -> Callable[[float], int]:
    """Return sizes like an encoder's: halved every few steps, more slowly or faster at the end."""
    return lambda crf: round(at_best * 2 ** -(crf / 6) * math.exp(-bend * (crf / 51) ** 2))


@given(
    target=st.floats(2_000, 500_000),
    at_best=st.floats(500_000, 2_000_000),
    bend=st.floats(-1.5, 3),
)
def test_a_size_that_can_be_had_is_found_in_few_tries(
    target: float, at_best: float, bend: float
) -> None:
    size_at = _falling(at_best, bend)
    search = Search(size_at, _CRF)
    setting = search.near(target)
    if size_at(_CRF.worst) <= target <= size_at(_CRF.best):
        assert reached(size_at(setting), target)
    assert len(search.tried) <= 9
    assert all(_CRF.best <= tried <= _CRF.worst for tried in search.tried)


def test_later_targets_use_what_is_known() -> None:
    calls: list[float] = []
    sizes = _falling(1_000_000, 1)

    def size_at(crf: float) -> int:
        calls.append(crf)
        return sizes(crf)

    search = Search(size_at, _CRF)
    for target in (40_000, 16_000, 8_000, 4_000, 2_000):
        assert reached(sizes(search.near(target)), target)
    assert len(calls) == len(set(calls)) <= 12


@pytest.mark.parametrize(("target", "end"), [(10, 51), (10**9, 0)])
def test_a_size_out_of_reach_gives_the_end_of_the_dial(target: float, end: float) -> None:
    size_at = _falling(1_000_000, 0)
    assert Search(size_at, _CRF).near(target) == end


def test_between_two_coarse_steps_the_nearer_one_is_taken() -> None:
    sizes = {q: 100_000 * 0.85**q for q in range(64)}
    search = Search(lambda q: round(sizes[int(q)]), _WHOLE)
    target = sizes[20] * 0.95
    assert search.near(target) == 20
    assert not reached(round(sizes[20]), target)


def test_a_bump_in_the_sizes_does_not_send_the_search_astray() -> None:
    smooth = _falling(1_000_000, 1)

    def bumpy(crf: float) -> int:
        return round(smooth(crf) * (1.04 if crf % 1 else 1))

    for target in (3_000, 9_000, 27_000):
        assert reached(bumpy(Search(bumpy, _CRF).near(target)), target)


def test_three_percent_are_the_limit() -> None:
    assert reached(1030, 1000)
    assert reached(970, 1000)
    assert not reached(1031, 1000)
