"""Vectors as symbols: exact there and back, and cheap where cheap ones do."""

from __future__ import annotations

import statistics

import pytest
import torch
from tests.transform.test_motion import along, moved
from torch import Tensor

from gencodec.transform import vectors as module
from gencodec.transform.motion import search_motion
from gencodec.transform.vectors import choose_vectors, differences, vectors

NONE = torch.zeros(1, 2, 1, 1)


def integers(*shape: int, seed: int = 0) -> Tensor:
    """Random whole numbers as floats."""
    return torch.randint(-40, 41, shape, generator=torch.Generator().manual_seed(seed)).float()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (5, 8), (9, 4)])
def test_vectors_come_back_from_their_differences(size: tuple[int, int]) -> None:
    motion, typical = integers(2, 2, *size), integers(2, 2, 1, 1, seed=1)
    assert torch.equal(vectors(differences(motion, typical), typical), motion)


def test_differences_are_those_of_the_specification() -> None:
    """networks-1, N3, one vector after the other."""
    motion, typical = integers(1, 2, 4, 6), integers(1, 2, 1, 1, seed=1)
    sent = differences(motion, typical)
    field, outside = motion[0].tolist(), typical.flatten().tolist()
    for c in range(2):

        def at(i: int, j: int, c: int = c) -> float:
            return float(field[c][i][j] if i >= 0 and 0 <= j < 6 else outside[c])

        for i in range(4):
            for j in range(6):
                near = at(i, j - 1)
                if i:
                    near = statistics.median((near, at(i - 1, j), at(i - 1, j + 1)))
                assert float(sent[0, c, i, j]) == field[c][i][j] - near


def cost(before: Tensor, frames: Tensor, motion: Tensor, worth: float) -> float:
    """Squared error and price of a motion field."""
    bits = module._bits(differences(motion, NONE)[0].flatten(1)[None]).sum()
    return float((along(before, motion) - frames).square().sum() + worth * bits)


def noisy(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A moved texture under strong noise, which misleads the search."""
    generator = torch.Generator().manual_seed(seed)
    before, frames = moved(12, -6, 96, 128)
    return before, frames + 0.4 * torch.randn(frames.shape, generator=generator)


@pytest.mark.parametrize("worth", [0.3, 3.0, 20.0])
def test_chosen_vectors_cost_less_than_those_found(worth: float) -> None:
    before, frames = noisy()
    found = search_motion(before, frames) + integers(1, 2, 6, 8).div(20).round()
    chosen = choose_vectors(before, frames, found, None, NONE, torch.tensor([worth]))
    assert torch.equal(chosen, chosen.round())
    assert cost(before, frames, chosen, worth) < cost(before, frames, found, worth)


def test_the_dearer_a_bit_the_fewer_differences() -> None:
    before, frames = noisy()
    found = integers(1, 2, 6, 8).div(10).round() + torch.tensor([12.0, -6.0]).view(1, 2, 1, 1)
    counts = [
        int(
            differences(choose_vectors(before, frames, found, None, NONE, worth), NONE).any(1).sum()
        )
        for worth in torch.tensor([[1e-3], [3.0], [1e6]])
    ]
    assert counts[0] > counts[1] > counts[2] == 0


def test_the_field_before_is_tried() -> None:
    """Where the search found nothing."""
    before, frames = moved(12, -8, 96, 128)
    last = torch.tensor([12.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    chosen = choose_vectors(before, frames, torch.zeros(1, 2, 6, 8), last, NONE, torch.ones(1))
    assert torch.equal(chosen[:, :, 1:5, 1:7], last[:, :, 1:5, 1:7])


def test_each_clip_of_a_batch_is_chosen_for_by_itself() -> None:
    clips = [noisy(0), noisy(1)]
    before, frames = (torch.cat(x) for x in zip(*clips, strict=True))
    found = search_motion(before, frames)
    worth, typical = torch.tensor([0.1, 9.0]), integers(2, 2, 1, 1).div(10).round()
    together = choose_vectors(before, frames, found, found, typical, worth)
    for i, (one, others) in enumerate(clips):
        parts = (found[i : i + 1], found[i : i + 1], typical[i : i + 1], worth[i : i + 1])
        assert torch.equal(choose_vectors(one, others, *parts), together[i : i + 1])


def test_vectors_far_beyond_the_edge_are_priced_without_an_error() -> None:
    before, frames = moved(0, 0, 32, 48)
    wild = torch.full((1, 2, 2, 3), 30_000.0)
    chosen = choose_vectors(before, frames, wild, -wild, NONE, torch.ones(1))
    assert not chosen.any()
