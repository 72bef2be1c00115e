"""Vectors as symbols: exact there and back, and cheap where cheap ones do."""

from __future__ import annotations

import statistics

import pytest
import torch
import torch.nn.functional as F
from tests.transform.test_motion import along, moved
from torch import Tensor

from gencodec.transform import vectors as module
from gencodec.transform.motion import LUMA, predict, search_motion
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
    assert not motion[:, 2:].any()
    sent = F.pad(differences(motion[:, :2], NONE)[0].flatten(1), (0, 0, 0, 1))
    bits = module._bits(sent[None], 0).sum()
    return float((along(before, motion[:, :2]) - frames).square().sum() + worth * bits)


def alone(before: Tensor) -> Tensor:
    """References of which only the last key picture shows anything."""
    return torch.stack([before, torch.ones_like(before)], 1)


def noisy(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A moved texture under strong noise, which misleads the search."""
    generator = torch.Generator().manual_seed(seed)
    before, frames = moved(12, -6, 96, 128)
    return before, frames + 0.4 * torch.randn(frames.shape, generator=generator)


@pytest.mark.parametrize("worth", [0.3, 3.0, 20.0])
def test_chosen_vectors_cost_less_than_those_found(worth: float) -> None:
    before, frames = noisy()
    found = search_motion(before, frames) + integers(1, 2, 6, 8).div(20).round()
    chosen = choose_vectors(alone(before), frames, found, None, NONE, torch.tensor([worth]))
    assert torch.equal(chosen, chosen.round())
    assert cost(before, frames, chosen, worth) < cost(before, frames, found, worth)


def test_the_dearer_a_bit_the_fewer_differences() -> None:
    before, frames = noisy()
    found = integers(1, 2, 6, 8).div(10).round() + torch.tensor([24.0, -12.0]).view(1, 2, 1, 1)
    fields = [
        choose_vectors(alone(before), frames, found, None, NONE, worth)
        for worth in torch.tensor([[1e-3], [3.0], [1e6]])
    ]
    counts = [int(differences(field[:, :2], NONE).any(1).sum()) for field in fields]
    assert counts[0] > counts[1] > counts[2] == 0


def test_the_field_before_is_tried() -> None:
    """Where the search found nothing."""
    before, frames = moved(12, -8, 96, 128)
    last = torch.tensor([24.0, -16.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 6, 8)
    chosen = choose_vectors(
        alone(before), frames, torch.zeros(1, 2, 6, 8), last, NONE, torch.ones(1)
    )
    assert torch.equal(chosen[:, :, 1:5, 1:7], last[:, :, 1:5, 1:7])


def test_far_from_the_corner_a_picture_is_still_where_it_was() -> None:
    """Rows and columns of large pictures are compared with what is there."""
    for size in ((48, 400), (400, 48)):
        before, frames = moved(6, -4, *size)
        found = torch.tensor([12.0, -8.0]).view(1, 2, 1, 1).expand(1, 2, *(n // 16 for n in size))
        chosen = choose_vectors(
            alone(before),
            frames,
            0 * found,
            F.pad(found, (0, 0, 0, 0, 0, 1)),
            NONE,
            torch.full((1,), 1e-3),
        )
        assert torch.equal(chosen[:, :2, 1:-1, 1:-1], found[:, :, 1:-1, 1:-1])


def test_each_clip_of_a_batch_is_chosen_for_by_itself() -> None:
    clips = [noisy(0), noisy(1)]
    before, frames = (torch.cat(x) for x in zip(*clips, strict=True))
    found = search_motion(before, frames)
    worth, typical = torch.tensor([0.1, 9.0]), integers(2, 2, 1, 1).div(10).round()
    last = F.pad(found, (0, 0, 0, 0, 0, 1))
    together = choose_vectors(alone(before), frames, found, last, typical, worth)
    for i, (one, others) in enumerate(clips):
        parts = (found[i : i + 1], last[i : i + 1], typical[i : i + 1], worth[i : i + 1])
        assert torch.equal(choose_vectors(alone(one), others, *parts), together[i : i + 1])


def test_vectors_far_beyond_the_edge_are_priced_without_an_error() -> None:
    before, frames = moved(0, 0, 32, 48)
    wild = torch.full((1, 2, 2, 3), 30_000.0)
    last = F.pad(-wild, (0, 0, 0, 0, 0, 1))
    chosen = choose_vectors(alone(before), frames, wild, last, NONE, torch.ones(1))
    assert not chosen.any()


def test_noise_that_seems_to_move_is_left_where_it_is() -> None:
    """The picture stands still; its finest detail would fit better one pixel to the side."""
    still, frames = moved(0, 0, 96, 128)
    chess = 0.2 * ((torch.arange(96)[:, None] + torch.arange(128)) % 2) - 0.1
    before, frames = still + chess, frames - chess
    found = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    chosen = choose_vectors(alone(before), frames, found, None, NONE, torch.tensor([0.1]))
    at_fault = F.pad(found, (0, 0, 0, 0, 0, 1))
    assert cost(before, frames, at_fault, 0.0) < cost(before, frames, chosen, 0.0)
    assert not chosen.any()


def test_what_was_uncovered_comes_from_the_first_picture() -> None:
    """A patch hides the blocks in the middle of the last key picture, and is gone after it."""
    first, frames = moved(0, 0, 96, 128)
    hidden = first.clone()
    hidden[..., 32:64, 48:80] = 1
    references, nothing = torch.stack([hidden, first], 1), torch.zeros(1, 2, 6, 8)
    chosen = choose_vectors(references, frames, nothing, None, NONE, torch.ones(1))
    assert not chosen[:, :2].any()
    assert chosen[:, 2, 2:4, 3:5].all()
    assert not chosen[:, 2, 0].any()
    assert torch.allclose(predict(hidden, first, chosen), first, atol=1e-5)


def test_what_is_as_bright_but_of_another_colour_is_not_the_same() -> None:
    """A grey frame comes from where the picture before is grey, not from what is red there."""
    grey, red = torch.full((3,), 0.2), torch.tensor([0.8, -0.08, 0.05])
    luma = torch.tensor(LUMA)
    red = red + (luma @ (grey - red))  # as bright as the grey
    before = red.view(1, 3, 1, 1).expand(1, 3, 48, 96).clone()
    before[..., 48:] = grey.view(3, 1, 1)
    frames = grey.view(1, 3, 1, 1, 1).expand(1, 3, 4, 48, 96)
    found = torch.zeros(1, 2, 3, 6)
    found[:, 0, :, :3] = 192  # half pixels to the right, where it is grey
    chosen = choose_vectors(alone(before), frames, found, None, NONE, torch.tensor([0.01]))
    assert (chosen[:, 0, :, 0] > 80).all()
