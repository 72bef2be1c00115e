"""Noise: known answers, the table against the definition, any value alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.errors import ExecutionError
from gencodec.refine.noise import (
    DOMAIN_ATOMS,
    TABLE_SHA256,
    gaussian_table,
    noise_at,
    noise_for,
    philox,
    words,
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # Random123, examples/kat_vectors, philox4x32 with 10 rounds
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_published_answers(counter: str, key: str, expected: str) -> None:
    k0, k1 = (int(word, 16) for word in key.split())
    block, group, stream, domain = (int(word, 16) for word in counter.split())
    found = philox(np.array([[block, group, stream, domain]], np.uint32), (k0, k1))
    assert " ".join(f"{word:08x}" for word in found[0]) == expected
    named = words(k1 << 32 | k0, group, np.array([block]), stream=stream, domain=domain)
    assert np.array_equal(named, found)


def test_every_table_entry_is_the_nearest_to_the_quantile() -> None:
    table = gaussian_table()
    assert len(table) == 65536
    assert np.array_equal(table, -table[::-1])
    root = 65536 * math.sqrt(2)
    for index in range(32768):  # the lower half, where erfc is exact
        quantile, entry = (2 * index + 1) / 131072, int(table[index])
        below, above = (math.erfc((side - entry) / root) for side in (0.5, -0.5))
        assert below < 2 * quantile < above


def test_table_has_the_moments_of_a_gaussian() -> None:
    values = gaussian_table() / 65536
    assert values.mean() == 0
    assert values.var() == pytest.approx(1, abs=1e-4)
    assert (values**4).mean() == pytest.approx(3, abs=5e-3)
    for limit in (0.5, 1, 2, 3, 4):  # tails
        assert (values > limit).mean() == pytest.approx(math.erfc(limit / 2**0.5) / 2, abs=2**-16)
    assert np.diff(gaussian_table()).min() >= 1


def test_a_machine_with_inexact_functions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gaussian_table.cache_clear()
    monkeypatch.setattr("gencodec.refine.noise.TABLE_SHA256", "another")
    with pytest.raises(ExecutionError, match="digest"):
        gaussian_table()


def test_first_values_are_golden_and_in_the_specification() -> None:
    text = (Path(__file__).parents[2] / "formats" / "noise-1.md").read_text()
    assert f"    {TABLE_SHA256}\n" in text
    noise = noise_for(2**63 + 12345, 7, (2, 5), stream=3)
    assert noise.dtype == np.float32
    values = (noise * 65536).astype(int)
    assert values.tolist() == [
        [12277, -28071, 2348, -181908, -28616],
        [89718, 47045, 58239, -111862, -57252],
    ]
    assert "    " + " ".join(map(str, values.ravel())) + "\n" in text


@given(
    seed=st.integers(0, 2**64 - 1),
    group=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(0, 7), max_size=4),
    stream=st.integers(0, 2**32 - 1),
)
def test_any_value_follows_from_its_index_alone(
    seed: int, group: int, shape: list[int], stream: int
) -> None:
    noise = noise_for(seed, group, tuple(shape), stream=stream)
    assert noise.shape == tuple(shape)
    indices = np.arange(noise.size)[::-1].reshape(-1, 1)
    assert np.array_equal(noise_at(seed, group, indices, stream=stream)[::-1, 0], noise.ravel())


def test_noise_does_not_depend_on_how_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = noise_for(5, 6, (3, 111))
    monkeypatch.setattr("gencodec.refine.noise._CHUNK_BLOCKS", 3)
    assert np.array_equal(noise_for(5, 6, (3, 111)), whole)
    assert np.array_equal(noise_for(5, 6, (50,)), whole.ravel()[:50])


def test_noise_is_normal_and_fields_of_the_counter_are_independent() -> None:
    count = 200_000
    draws = np.stack(
        [
            noise_for(1, 0, (count,)),
            noise_for(2, 0, (count,)),
            noise_for(1 << 32, 0, (count,)),
            noise_for(1, 1, (count,)),
            noise_for(1, 0, (count,), stream=1),
            np.roll(noise_for(1, 0, (count,)), 1),
        ]
    ).astype(np.float64)
    assert np.abs(draws.mean(1)).max() < 5 / count**0.5
    assert np.abs(draws.var(1) - 1).max() < 8 / count**0.5
    assert np.abs(np.corrcoef(draws) - np.eye(6)).max() < 5 / count**0.5
    blocks = np.arange(100)
    assert not np.any(words(1, 0, blocks) == words(1, 0, blocks, domain=DOMAIN_ATOMS))


def test_arguments_out_of_range_are_refused() -> None:
    for seed, group, index, stream, name in (
        (-1, 0, 0, 0, "seed"),
        (2**64, 0, 0, 0, "seed"),
        (0, 2**32, 0, 0, "group"),
        (0, 0, 0, -1, "stream"),
        (0, 0, 2**35, 0, "blocks"),
        (0, 0, -1, 0, "blocks"),
    ):
        with pytest.raises(ValueError, match=name):
            noise_at(seed, group, np.array([index]), stream=stream)
