"""Motion fields: round trips, their price, and what no encoder writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gencodec.errors import FormatError, PackError
from gencodec.symbols import Prior, PriorConfig, Tables
from gencodec.symbols.motion import CONTEXTS, MotionModel
from gencodec.symbols.range_coder import LEVELS, RangeReader, RangeWriter

NOTHING = np.zeros((CONTEXTS, 2), np.int64)


def model(shape: tuple[int, int], counts: NDArray[np.int64] = NOTHING) -> MotionModel:
    return MotionModel(counts, shape)


def written(
    fields: list[NDArray[np.int16]], counts: NDArray[np.int64] = NOTHING
) -> tuple[bytes, MotionModel]:
    writer, made = RangeWriter(), model(fields[0].shape[1:], counts)  # type: ignore[arg-type]
    for field in fields:
        made.write(writer, field)
    return writer.finish(), made


def moving(count: int, h: int = 9, w: int = 11) -> list[NDArray[np.int16]]:
    """Fields of one object that moves across a still picture, as symbols."""
    fields = np.zeros((count, 3, h, w), np.int16)
    for t, field in enumerate(fields):
        field[0, 3, 2 + t % 5], field[1, 3, 2 + t % 5] = 12, -3  # the object's edge
        field[0, 3, 6 + t % 5], field[1, 3, 6 + t % 5] = -12, 3
        field[2, 3, 1] = t % 2
    return list(fields)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    limit=st.sampled_from([0, 1, 6, 200, 32767]),
    busy=st.floats(0, 1),
)
def test_fields_survive_the_round_trip(
    seed: int, shape: tuple[int, int], limit: int, busy: float
) -> None:
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(3):
        field = rng.integers(-limit, limit + 1, (3, *shape)).astype(np.int16)
        field[:2] *= rng.random(shape) < busy
        field[2] = rng.random(shape) < busy
        fields.append(field)
    counts = rng.integers(0, 50, (CONTEXTS, 2))
    payload, coded = written(fields, counts)
    reader, decoded = RangeReader(payload), model(shape, counts)
    for field in fields:
        assert np.array_equal(decoded.read(reader), field)
    reader.finish()
    assert 8 * len(payload) <= 1.001 * coded.cost_bits + 8 * 16


def test_what_repeats_costs_less_and_less() -> None:
    fields = moving(40)
    _, first = written(fields[:10])
    _, all_of_them = written(fields)
    assert all_of_them.cost_bits < 3.7 * first.cost_bits  # of four times as many


def test_counts_of_like_material_make_fields_cheaper() -> None:
    counts = NOTHING.copy()
    counter = model((9, 11))
    for field in moving(20):
        counter.count(counts, field)
    _, plain = written(moving(6))
    _, told = written(moving(6), counts)
    assert told.cost_bits < 0.85 * plain.cost_bits
    assert counts.sum() > 20 * 2 * 9 * 11


def test_a_vector_like_its_neighbour_costs_less_than_another() -> None:
    alike, other = np.zeros((2, 3, 4, 4), np.int16)
    alike[0, 0, 0], alike[0, 0, 1] = 40, -40  # the second is zero again
    other[0, 0, 0], other[0, 0, 1] = 40, -39
    assert written([alike])[1].cost_bits < written([other])[1].cost_bits - 5


def test_a_spelt_out_vector_that_has_a_name_is_refused() -> None:
    field = np.zeros((3, 1, 2), np.int16)
    field[0, 0] = 5, -5  # the second block is still: zero, by name
    coded = _Recorded()
    model((1, 2)).write(coded, field)  # type: ignore[arg-type]
    assert coded.bits[-1] == 1
    spelt = [0, 1, 1, 1, 0, 1, 0, 1, 0]  # not zero by name, but x three digits, negative, 5; y 0
    with pytest.raises(FormatError, match="spells out a vector that has a name"):
        model((1, 2)).read(_Replayed([*coded.bits[:-1], *spelt]))  # type: ignore[arg-type]


class _Recorded:
    """Takes the bits that a model writes."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def write_bit(self, bit: int, level: int) -> None:
        assert 0 < level < LEVELS
        self.bits.append(bit)


class _Replayed:
    """Gives bits to a model that reads."""

    def __init__(self, bits: list[int]) -> None:
        self._bits = iter(bits)

    def read_bit(self, level: int) -> int:
        assert 0 < level < LEVELS
        return next(self._bits)


def test_a_reference_is_a_bit() -> None:
    field = np.zeros((3, 2, 2), np.int16)
    field[2, 1, 1] = 2
    with pytest.raises(ValueError, match="reference must be 0 or 1"):
        written([field])


@pytest.mark.parametrize("counts", [None, np.zeros((7, 2), np.uint32)])
def test_a_pack_without_the_counts_is_refused(
    counts: NDArray[np.uint32] | None, prior: Prior, tables: Tables, table_arrays: object
) -> None:
    config = replace(prior.config, motion=True)
    arrays = {k: v for k, v in table_arrays(config).items() if k != "motion.counts"}  # type: ignore[operator]
    if counts is not None:
        arrays["motion.counts"] = counts
    with pytest.raises(PackError, match=r"motion\.counts"):
        Tables(config, arrays)
    assert len(tables.motion) == 0


@pytest.mark.parametrize("sizes", [{"motion": 1}, {"motion": True, "split": 1}])
def test_sizes_that_leave_no_room_for_motion_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(PackError, match="motion"):
        PriorConfig(**{"channels": 5, "split": 2, **sizes})  # type: ignore[arg-type]
