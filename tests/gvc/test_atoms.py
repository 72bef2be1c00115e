"""Atoms: integers that follow from counters alone, and as good as independent ones."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gencodec.errors import ExecutionError
from gencodec.gvc import atoms
from gencodec.gvc.atoms import Codebook, atom_table
from gencodec.refine.noise import philox

CPU = torch.device("cpu")


def book(values: int = 384, count: int = 4096, step: int = 3, frame: int = 2) -> Codebook:
    return Codebook(77, 5, (step, frame), values=values, count=count)


def plain_bytes(seed: int, group: int, stream: int, count: int) -> list[int]:
    """The bytes of a stream, one block after the other, as the specification says."""
    found: list[int] = []
    for block in range(-(-count // 16)):
        counter = np.array([[block, group, stream, 1]], np.uint32)
        for word in philox(counter, (seed & 0xFFFFFFFF, seed >> 32))[0]:
            found += [int(word) >> shift & 255 for shift in (0, 8, 16, 24)]
    return found


def test_every_table_entry_is_the_nearest_to_the_quantile() -> None:
    table = atom_table().astype(int)
    assert np.array_equal(table, -table[::-1])
    root = 32 * math.sqrt(2)
    for index in range(128):
        quantile, entry = (2 * index + 1) / 512, table[index]
        below, above = (math.erfc((side - entry) / root) for side in (0.5, -0.5))
        assert below < 2 * quantile < above
    assert ((table / 32) ** 2).mean() == pytest.approx(1, abs=2e-3)


def test_a_machine_whose_table_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atoms, "TABLE_SHA256", "00")
    atom_table.cache_clear()
    with pytest.raises(ExecutionError, match="another machine"):
        atom_table()


@pytest.mark.parametrize(("values", "count"), [(384, 300), (384, 4096), (50, 333), (7, 40), (1, 3)])
def test_an_atom_follows_from_the_specification(values: int, count: int) -> None:
    codebook = book(values, count, step=300, frame=9)
    stream, padded = 300 * 65536 + 9, 16 * -(-values // 16)
    noises = plain_bytes(77, 5, stream, padded * -(-count // values))
    signs = plain_bytes(77, 5, stream + 32768, -(-values // 8))
    table = atom_table()
    for index in {0, 1, values - 1, count // 2, count - 1}:
        noise, shift = index // values, index % values
        expected = [
            (1 - 2 * (signs[j // 8] >> j % 8 & 1))
            * int(table[noises[noise * padded + (j + shift) % values]])
            for j in range(values)
        ]
        if index < count:
            assert codebook.atom(index).tolist() == expected


def test_atoms_never_change() -> None:
    """A golden value: other atoms would show all files otherwise."""
    digest = hashlib.sha256()
    for values, count in ((384, 4096), (1000, 16_384), (16, 64)):
        codebook = book(values, count)
        for index in range(0, count, 61):
            digest.update(codebook.atom(index).tobytes())
        digest.update(codebook.sum(np.array([-1, 5, 64], np.int32)).astype("<f4").tobytes())
    assert digest.hexdigest() == "b50c25f37d816e663f8f2ab2301cc76c33f7c63babfc57bfd2bd606ae9831b3f"


def test_places_groups_and_seeds_have_codebooks_of_their_own() -> None:
    atoms_of = {
        Codebook(seed, group, (step, frame), values=64, count=64).atom(0).tobytes()
        for seed in (0, 1, 1 << 40)
        for group in (0, 1)
        for step in (0, 1)
        for frame in (0, 1)
    }
    assert len(atoms_of) == 24


@given(
    values=st.integers(1, 300),
    count=st.integers(2, 600),
    picks=st.lists(st.tuples(st.integers(0, 599), st.booleans()), max_size=40),
)
def test_a_sum_is_that_of_the_atoms_and_has_unit_energy(
    values: int, count: int, picks: list[tuple[int, bool]]
) -> None:
    codebook = book(values, count)
    signs = {index % count: -1 if negative else 1 for index, negative in picks}
    choice = np.array([sign * (i + 1) for i, sign in sorted(signs.items())], np.int32)
    total = np.zeros(values, np.int64)
    for index, sign in signs.items():
        total += sign * codebook.atom(index).astype(np.int64)
    found = codebook.sum(choice)
    assert found.dtype == np.float32
    if total.any():
        assert float((found.astype(np.float64) ** 2).mean()) == pytest.approx(1, abs=1e-6)
        assert np.allclose(found * np.abs(total).max(), total * np.abs(found).max(), rtol=1e-5)
    else:
        assert not found.any()


@pytest.mark.parametrize(("values", "count"), [(384, 300), (384, 2000), (97, 97), (30, 100)])
def test_the_best_atoms_are_chosen(values: int, count: int) -> None:
    codebook = book(values, count)
    residual = np.random.default_rng(1).normal(size=values).astype(np.float32)
    products = np.array([codebook.atom(i) @ residual.astype(np.float64) for i in range(count)])
    choice = codebook.choose(residual, 12, CPU)
    best = np.sort(np.argsort(-np.abs(products))[:12])
    assert (np.abs(choice) - 1).tolist() == best.tolist()
    assert np.array_equal(np.sign(choice), np.sign(products[best]))


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A residual with a strong spectrum, as real ones have."""
    spectrum = np.fft.rfft(values)
    return np.fft.irfft(spectrum / (1 + np.arange(len(spectrum))), n=len(values))


@pytest.mark.parametrize("coloured", [False, True])
def test_rotations_serve_as_well_as_independent_atoms(coloured: bool) -> None:
    """The share of a residual that the chosen sum points along, over 20 codebooks."""
    chance = np.random.default_rng(4)
    values, count, chosen = 1000, 512, 16
    shares: dict[str, list[float]] = {"rotations": [], "independent": []}
    for step in range(20):
        drawn = chance.normal(size=values)
        residual = (smooth(drawn) if coloured else drawn).astype(np.float32)
        residual /= np.linalg.norm(residual)
        codebook = book(values, count, step=step)
        along = codebook.sum(codebook.choose(residual, chosen, CPU)) @ residual
        shares["rotations"].append(float(along) / math.sqrt(values))
        others = chance.normal(size=(count, values)).astype(np.float32)
        products = others @ residual
        best = np.argsort(-np.abs(products))[:chosen]
        total = np.sign(products[best]) @ others[best]
        shares["independent"].append(float(total @ residual / np.linalg.norm(total)))
    one, other = (np.mean(shares[name]) for name in ("rotations", "independent"))
    assert other > 0.15
    assert one == pytest.approx(other, rel=0.05)
