"""What a pack ships: every broken rule is a PackError; builders make valid tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.errors import PackError
from gencodec.symbols import (
    Prior,
    PriorConfig,
    Tables,
    array_shapes,
    hyper_tables,
    integer_frequencies,
    sigma_bank,
    symbol_tables,
)

MakePrior = Callable[[PriorConfig, int], dict[str, Any]]
MakeTables = Callable[[PriorConfig], dict[str, Any]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 1},
        {"hidden": 0},
        {"split": 48},
        {"fractions": 3},
        {"scales": 257},
        {"qualities": 0},
        {"hyper_stride": 4.0},
    ],
)
def test_sizes_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PackError, match=next(iter(wrong))):
        PriorConfig(**wrong)


def test_the_specification_lists_the_arrays_of_a_pack(
    config: PriorConfig, table_arrays: MakeTables
) -> None:
    text = (Path(__file__).parents[2] / "formats" / "entropy-1.md").read_text()
    rows = re.findall(r"^\| (\S+\.\S+) \| (\S+) \| \[(.*)\] \|$", text, re.MULTILINE)
    sizes = {"N": config.hidden, "C": config.channels, "C0": config.split, "S": config.scales}
    sizes |= {"Q": config.qualities, "Z": config.hyper_channels}

    def size(term: str) -> int:
        return eval(term, {}, sizes)  # type: ignore[no-any-return] # noqa: S307

    shapes = array_shapes(config)
    listed = {name: shape for name, _, shape in rows}
    assert set(listed) == set(shapes) | set(table_arrays(config))
    for name, shape in shapes.items():
        assert tuple(size(term) for term in listed[name].split(",")) == shape, name


def test_the_largest_prior_with_16_bit_weights_stays_exact() -> None:
    # so that a PackError for inexact sums can only come from 64-bit biases
    config = PriorConfig(channels=512, hidden=512)
    rows = [np.prod(shape[2:]) for shape in array_shapes(config).values()]
    assert 2**15 * 4095 * int(max(rows)) + 2**31 < 2**50


@pytest.mark.parametrize("name", list(array_shapes(PriorConfig())))
def test_missing_misshapen_and_mistyped_arrays_are_refused(
    config: PriorConfig, prior_arrays: MakePrior, name: str
) -> None:
    arrays = prior_arrays(config, 1)
    good = arrays[name]
    for bad in (None, good[..., :-1], good.astype(np.float32), good.astype(np.uint8)):
        arrays[name] = bad
        if bad is None:
            del arrays[name]
        with pytest.raises(PackError, match=name):
            Prior(config, arrays)


@pytest.mark.parametrize("value", [2**50, -(2**50), -(2**63), 2**50 - 1])
def test_sums_that_could_be_inexact_are_refused(
    config: PriorConfig, prior_arrays: MakePrior, value: int
) -> None:
    for name in ("trunk0.bias", "step.bias", "out1.bias", "state.bias"):
        arrays = prior_arrays(config, 1)
        arrays[name] = arrays[name].astype(np.int64)
        for kind in (0, 1):
            changed = arrays | {name: arrays[name].copy()}
            changed[name][kind].flat[-1] = value
            with pytest.raises(PackError, match=r"2\*\*50|1125899906842624"):
                Prior(config, changed)


def test_the_bound_is_the_largest_row(config: PriorConfig, prior_arrays: MakePrior) -> None:
    arrays = {name: np.zeros_like(array) for name, array in prior_arrays(config, 1).items()}
    arrays["ctx.weight"][1, 3, 2] = -2
    arrays["step3.weight"][1, 2] = 1
    arrays["step.bias"][1, 3, 2] = -7
    arrays["ctx.weight"][0, 3, 2] = 9  # of the other kind: does not count
    arrays["trunk0.bias"][1, 2, 0] = 8
    inputs = 2 * config.hidden + 9 * config.channels
    assert Prior(config, arrays).bound == 4095 * inputs + 7


def test_eight_bit_weights_are_taken(config: PriorConfig, prior_arrays: MakePrior) -> None:
    arrays = prior_arrays(config, 1)
    arrays["ctx.weight"] = np.clip(arrays["ctx.weight"], -128, 127)
    wide = Prior(config, arrays)
    arrays["ctx.weight"] = arrays["ctx.weight"].astype(np.int8)
    assert Prior(config, arrays).bound == wide.bound


def test_broken_tables_are_refused(config: PriorConfig, table_arrays: MakeTables) -> None:
    def broken(name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
        arrays = {key: array.copy() for key, array in table_arrays(config).items()}
        arrays[name] = change(arrays[name])
        return arrays

    def moved(table: Any) -> Any:  # noqa: ANN401
        table[1] += 1
        table[-1] -= 1
        return table

    def zeroed(table: Any) -> Any:  # noqa: ANN401
        table[1] += table[0]
        table[0] = 0
        return table

    for bank in ("tables", "hyper"):
        for text, name, change in (
            ("sums to", "frequencies", moved),
            ("outside 1", "frequencies", zeroed),
            ("radii need", "frequencies", lambda table: table[:-1]),
            ("must be integers", "frequencies", lambda table: table.astype(np.float32)),
            ("must be integers", "frequencies", lambda table: table[:0]),
            ("must be integers", "radii", lambda radii: radii[:-1]),
            ("limit", "radii", lambda radii: radii + np.uint16(4095)),
        ):
            with pytest.raises(PackError, match=text):
                Tables(config, broken(f"{bank}.{name}", change))
        arrays = table_arrays(config)
        del arrays[f"{bank}.radii"]
        with pytest.raises(PackError, match=f"no array '{bank}.radii'"):
            Tables(config, arrays)


def test_built_tables_are_valid_small_and_follow_the_gaussian() -> None:
    config = PriorConfig()
    arrays = symbol_tables(config, tail=0.0)
    arrays |= hyper_tables(config, [np.array([0.1, 0.7, 0.1]), np.array([1.0])] * 8)
    bank = Tables(config, arrays).symbols
    assert sum(array.nbytes for array in arrays.values()) < 160_000
    for scale, sigma in enumerate(sigma_bank(config), 1):
        for fraction in range(4):
            table = (scale - 1) * 4 + fraction
            p = bank.frequencies[bank.offsets[table] : bank.offsets[table + 1]] / 2**24
            r = np.arange(-bank.radii[table], bank.radii[table] + 1)
            mean = float((p[:-1] * r).sum())
            assert mean == pytest.approx(fraction / 4, abs=0.005 * sigma + 0.25 * (sigma < 0.6))
            assert p[-1] < 2e-5
            if sigma > 1:
                assert (p[:-1] * (r - mean) ** 2).sum() == pytest.approx(
                    sigma**2 + 1 / 12, rel=0.01
                )


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=50).filter(lambda p: sum(p) > 1e-9),
    st.floats(0.01, 1),
)
def test_frequencies_sum_to_two_to_the_24_with_none_zero(
    weights: list[float], share: float
) -> None:
    weights_array = np.array(weights)
    probabilities = share * weights_array / weights_array.sum()
    frequencies = integer_frequencies(probabilities).astype(np.int64)
    assert frequencies.sum() == 2**24
    assert frequencies.min() >= 1
    assert np.abs(frequencies[:-1] / 2**24 - probabilities).max() < 60 / 2**24


@pytest.mark.parametrize("wrong", [[-0.1, 0.5], [0.0], [0.6, 0.6], [np.nan], [np.inf]])
def test_what_is_no_distribution_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities must be"):
        integer_frequencies(np.array(wrong))


def test_hyper_tables_need_the_right_number_and_odd_lengths() -> None:
    config = PriorConfig(hyper_channels=1)
    with pytest.raises(ValueError, match="got 1 tables, need 2"):
        hyper_tables(config, [np.array([1.0])])
    with pytest.raises(ValueError, match="odd length"):
        hyper_tables(config, [np.array([0.5, 0.5])] * 2)
