from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencodec.evaluation.bd_rate import Curve, bd_rate

_ANCHOR: Curve = [(0.0025, 24.0), (0.005, 26.5), (0.01, 29.0), (0.02, 31.0), (0.05, 34.5)]


def _halved(curve: Curve) -> Curve:
    return [(rate / 2, quality) for rate, quality in curve]


def test_half_the_bytes_for_the_same_quality_are_minus_fifty_percent() -> None:
    found = bd_rate(_ANCHOR, _halved(_ANCHOR), higher_is_better=True)
    assert found.percent == pytest.approx(-50)
    assert found.range == (24.0, 34.5)
    assert found.reason == ""


def test_of_a_metric_that_falls_the_range_is_told_in_its_own_numbers() -> None:
    anchor = [(rate, -quality) for rate, quality in _ANCHOR]
    found = bd_rate(anchor, _halved(anchor)[1:], higher_is_better=False)
    assert found.percent == pytest.approx(-50, abs=0.5)
    assert found.range == (-34.5, -26.5)


def test_the_order_of_points_does_not_matter_nor_does_a_point_that_is_there_twice() -> None:
    mixed = [_ANCHOR[k] for k in (3, 0, 4, 0, 1, 2)]
    assert bd_rate(mixed, _halved(_ANCHOR), higher_is_better=True) == bd_rate(
        _ANCHOR, _halved(_ANCHOR), higher_is_better=True
    )


@pytest.mark.parametrize(("shift", "word"), [(20, "better"), (-20, "worse")])
def test_curves_that_do_not_meet_have_no_number(shift: float, word: str) -> None:
    codec = [(rate, quality + shift) for rate, quality in _ANCHOR]
    found = bd_rate(_ANCHOR, codec, higher_is_better=True)
    assert found.percent is None
    assert found.range is None
    assert found.reason == f"no overlap: the codec is {word} at every rate measured"


def test_a_small_overlap_is_told_beside_the_number() -> None:
    codec = [(rate, quality + 9) for rate, quality in _ANCHOR]
    found = bd_rate(_ANCHOR, codec, higher_is_better=True)
    assert found.percent is not None
    assert found.reason == "the curves share 8% of their range only"


def test_one_point_is_no_curve() -> None:
    found = bd_rate(_ANCHOR, [_ANCHOR[0], _ANCHOR[0]], higher_is_better=True)
    assert (found.percent, found.reason) == (None, "the codec has 1 of 2 points")


@pytest.mark.parametrize("level", [26.5, 26.0])
def test_a_curve_that_does_not_rise_has_no_number(level: float) -> None:
    flat = [*_ANCHOR[:2], (0.01, level), *_ANCHOR[3:]]
    found = bd_rate(flat, _ANCHOR, higher_is_better=True)
    assert found.percent is None
    assert found.reason == "more bytes do not always make the anchor better"


_STEPS = st.lists(st.floats(0.05, 3.0), min_size=3, max_size=6)


@settings(max_examples=40)
@given(rates=st.tuples(_STEPS, _STEPS), qualities=st.tuples(_STEPS, _STEPS))
def test_numbers_agree_with_the_reference_package(
    rates: tuple[list[float], list[float]], qualities: tuple[list[float], list[float]]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a plotting library
        bjontegaard = pytest.importorskip("bjontegaard")
    curves = [
        list(zip(0.001 * np.exp(np.cumsum(r[: len(q)])), 20 + np.cumsum(q[: len(r)]), strict=True))
        for r, q in zip(rates, qualities, strict=True)
    ]
    found = bd_rate(curves[0], curves[1], higher_is_better=True)
    if found.percent is None:
        return
    columns = [np.array(column) for curve in curves for column in zip(*curve, strict=True)]
    wanted = bjontegaard.bd_rate(
        *columns, method="pchip", require_matching_points=False, min_overlap=0
    )
    assert found.percent == pytest.approx(wanted, rel=1e-6, abs=1e-6)
