"""Choices of atoms: one number for a group, all ranks used, nothing lost, nothing else accepted."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.errors import FormatError
from gencodec.symbols import (
    Choice,
    choices_bits,
    choices_bytes,
    choices_digest,
    decode_choices,
    encode_choices,
)


def random_choices(sizes: list[int], codebook: int, seed: int = 0) -> list[Choice]:
    chance = np.random.default_rng(seed)
    made = []
    for size in sizes:
        atoms = np.sort(chance.choice(codebook, size, replace=False)) + 1
        made.append((atoms * chance.choice([-1, 1], size)).astype(np.int32))
    return made


def equal(one: list[Choice], other: list[Choice]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@given(
    codebook=st.integers(2, 3000),
    shares=st.lists(st.floats(0, 1), max_size=9),
    seed=st.integers(0, 1000),
)
def test_choices_come_back(codebook: int, shares: list[float], seed: int) -> None:
    sizes = [round(share * min(codebook, 60)) for share in shares]
    choices = random_choices(sizes, codebook, seed)
    payload = encode_choices(choices, codebook)
    assert len(payload) == choices_bytes(sizes, codebook)
    assert equal(decode_choices(payload, sizes, codebook), choices)


def test_a_group_costs_less_than_a_byte_more_than_there_are_choices() -> None:
    """17 steps of 9 latent frames, as published; the ordered code takes 15 bits an atom."""
    for atoms, saved in ((64, 0.30), (80, 0.32), (128, 0.36)):
        sizes = [atoms] * (17 * 9)
        ideal = len(sizes) * (math.log2(math.comb(16_384, atoms)) + atoms)
        size = choices_bytes(sizes, 16_384)
        assert ideal / 8 <= size < ideal / 8 + 1
        assert choices_bits(sizes, 16_384) == pytest.approx(ideal)
        assert 8 * size < (1 - saved) * 15 * sum(sizes)
    choices = random_choices([128] * 20, 16_384)
    assert equal(decode_choices(encode_choices(choices, 16_384), [128] * 20, 16_384), choices)


def test_ranks_number_the_sets_without_a_gap() -> None:
    numbers = set()
    for atoms in combinations(range(1, 8), 3):
        payload = encode_choices([np.array(atoms, np.int32)], 7)
        numbers.add(int.from_bytes(payload, "big") >> 3)
    assert numbers == set(range(math.comb(7, 3)))


@given(payload=st.binary(min_size=4, max_size=4))
def test_any_bytes_are_a_choice_or_refused(payload: bytes) -> None:
    sizes = [3, 0, 5]
    assert choices_bytes(sizes, 17) == 4
    try:
        choices = decode_choices(payload, sizes, 17)
    except FormatError:
        most = math.comb(17, 3) * math.comb(17, 5)
        assert int.from_bytes(payload, "big") >> 8 >= most
    else:
        assert encode_choices(choices, 17) == payload


def test_another_length_is_refused() -> None:
    payload = encode_choices(random_choices([4, 4], 100), 100)
    for other in (payload[:-1], payload + b"\0", b""):
        with pytest.raises(FormatError, match=f"must be {len(payload)}"):
            decode_choices(other, [4, 4], 100)


def test_what_is_no_choice_cannot_be_coded() -> None:
    wrong = (([1, 3, 2, 4], "rise"), ([2, -2], "rise"), ([101], "codebook"), ([0], "-1 to"))
    for atoms, words in wrong:
        with pytest.raises(ValueError, match=words):
            encode_choices([np.array(atoms, np.int32)], 100)
    with pytest.raises(ValueError, match="cannot be chosen"):
        choices_bytes([101], 100)


def test_the_bytes_of_an_example_and_its_digest() -> None:
    """As formats/gvc-1.md has it."""
    choices = [np.array([-1, 3, 200], np.int32), np.array([256], np.int32)]
    assert encode_choices(choices, 256).hex() == "02a1492841"
    assert f"{choices_digest(choices):08x}" == "20e01bba"
