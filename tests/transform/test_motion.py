"""Motion of blocks: what the search finds, and what moving a picture by it does."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gencodec.transform.motion import move, predict, search_motion


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth random pictures [1, 3, H, W] in about -1..1."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, height // 4, width // 4, generator=generator)
    fine = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return 0.5 * fine


def along(picture: Tensor, motion: Tensor) -> Tensor:
    """The picture moved to each of four frames [b, 3, 4, H, W], by vectors in half pixels."""
    return torch.stack([move(picture, motion, k / 4) for k in range(1, 5)], 2)


def moved(x: int, y: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A picture and the four frames after it, through which it moves by (x, y)."""
    canvas, margin = texture(height + 64, width + 64), 32

    def cut(share: float) -> Tensor:
        top, left = margin + round(share * y), margin + round(share * x)
        return canvas[:, :, top : top + height, left : left + width]

    return cut(0), torch.stack([cut(k / 4) for k in range(1, 5)], 2)


@pytest.mark.parametrize("vector", [(0, 0), (6, -2), (-14, 10), (28, -20), (2, 0), (0, -8)])
def test_the_search_finds_a_known_translation(vector: tuple[int, int]) -> None:
    """In the blocks whose content was in the picture before; all agree, to half a pixel."""
    before, frames = moved(*vector, 96, 128)
    motion = search_motion(before, frames)
    assert motion.shape == (1, 2, 6, 8)
    inner = motion[0, :, 2:4, 2:6].flatten(1)
    assert torch.equal(inner, 2 * torch.tensor(vector).float()[:, None].expand_as(inner))


@pytest.mark.parametrize("kind", ["texture", "flat", "noise"])
def test_what_is_still_has_no_motion(kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    before = {
        "texture": texture(48, 64),
        "flat": torch.full((1, 3, 48, 64), 0.3),
        "noise": torch.rand(1, 3, 48, 64, generator=generator) * 2 - 1,
    }[kind]
    frames = before.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    assert not search_motion(before, frames).any()


def test_vectors_are_whole_numbers_whatever_is_shown() -> None:
    generator = torch.Generator().manual_seed(2)
    before, frames = (torch.rand(2, 3, *s, generator=generator) for s in ((32, 48), (4, 32, 48)))
    motion = search_motion(before, frames)
    assert motion.shape == (2, 2, 2, 3)
    assert torch.equal(motion, motion.round())
    assert motion.abs().max() < 2 * 64


def test_the_search_finds_half_pixels() -> None:
    """A picture of four times the size moves by 10 and -6 of its pixels; most blocks see it."""
    large = F.interpolate(texture(128, 160), scale_factor=4, mode="bicubic")

    def seen(share: float) -> Tensor:
        top, left = 64 + round(-6 * share), 64 + round(10 * share)
        return large[:, :, top : top + 384 : 4, left : left + 512 : 4]

    motion = search_motion(seen(0), torch.stack([seen(k / 4) for k in range(1, 5)], 2))
    assert motion[0].flatten(1).median(1).values.tolist() == [5, -3]


def test_moving_the_picture_by_what_was_found_predicts_the_frames() -> None:
    before, frames = moved(8, -4, 64, 96)
    predicted = along(before, search_motion(before, frames))
    still = before.unsqueeze(2).expand_as(frames)
    errors = [(each - frames)[..., 16:48, 16:80].square().mean() for each in (predicted, still)]
    assert errors[0] < 1e-3 * errors[1]


@pytest.mark.parametrize("size", [(16, 16), (48, 80), (16, 656)])
def test_zero_motion_gives_the_picture_back_bit_for_bit(size: tuple[int, int]) -> None:
    """Any rounding would add up over a group."""
    picture = texture(*size)
    frames = along(picture, torch.zeros(1, 2, size[0] // 16, size[1] // 16))
    assert torch.equal(frames, picture.unsqueeze(2).expand(-1, -1, 4, -1, -1))


def test_a_whole_motion_is_a_shift_at_constant_speed() -> None:
    """The picture of the position plus the vector; edges are repeated."""
    picture = texture(48, 80)
    vectors = torch.tensor([[8.0, -16.0], [-24.0, 8.0]]).view(2, 2, 1, 1).expand(-1, -1, 3, 5)
    frames = along(picture.expand(2, -1, -1, -1), vectors)
    wide = F.pad(picture, (16, 16, 16, 16), mode="replicate")
    for sample, (x, y) in zip(frames, ((1, -2), (-3, 1)), strict=True):
        for k in range(1, 5):
            expected = wide[0, :, 16 + k * y : 64 + k * y, 16 + k * x : 96 + k * x]
            assert torch.allclose(sample[:, k - 1], expected, atol=1e-3)


def test_between_pixels_it_samples_as_the_specification_says() -> None:
    """networks-1, N4: overlapping blocks, cubic weights with a = -0.75, taps kept inside."""
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randint(-20, 21, (1, 2, 2, 3), generator=generator).float()
    picture = texture(32, 48)
    frames = along(picture, vectors)[0].numpy()
    y, x = np.indices((32, 48))
    for k in range(1, 5):
        expected = np.zeros((3, 32, 48))
        for down, across in product((0, 1), repeat=2):
            (row, vertical), (column, horizontal) = around(y, down), around(x, across)
            field = vectors[0].numpy()[:, row.clip(0, 1), column.clip(0, 2)] * k / 8
            expected += (
                vertical * horizontal * sampled(picture[0].numpy(), x + field[0], y + field[1])
            )
        assert np.allclose(frames[:, k - 1], expected, atol=1e-3)


def around(position: Any, following: int) -> tuple[Any, Any]:  # noqa: ANN401
    """The block before or after each position, counted by centres, and its share."""
    first = (position + 8) // 16 - 1
    share = (((position + 8) % 16 - 3.5) / 8).clip(0, 1)
    return first + following, share if following else 1 - share


def sampled(picture: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Bicubic samples of a picture [3, H, W]."""
    height, width = picture.shape[1:]
    total = np.zeros(picture.shape)
    for row, column in product(range(-1, 3), repeat=2):
        top, left = np.floor(y) + row, np.floor(x) + column
        rows, columns = top.clip(0, height - 1), left.clip(0, width - 1)
        taps = picture[:, rows.astype(int), columns.astype(int)]
        total += taps * cubic(y - top) * cubic(x - left)
    return total


def cubic(distance: Any) -> Any:  # noqa: ANN401
    """Weight of a tap."""
    a, d = -0.75, np.abs(distance)
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, far)


def field(*parts: float, rows: int, columns: int) -> Tensor:
    """The same for all blocks [1, n, rows, columns]."""
    return torch.tensor(parts).float().view(1, -1, 1, 1).repeat(1, 1, rows, columns)


def test_a_key_picture_is_predicted_pixel_by_pixel() -> None:
    """Whole pixels move the last picture as `move` does; blocks of the first show that one."""
    last, first = texture(48, 80), texture(48, 80, seed=1)
    motion, inside = field(4, -8, 0, rows=3, columns=5), (..., slice(-3))
    for reference, picture in enumerate((last, first)):
        motion[:, 2] = reference
        shown, expected = predict(last, first, motion), move(picture, motion[:, :2], 1)
        assert torch.allclose(shown[inside], expected[inside], atol=1e-4)
    still = field(0, 0, 0, rows=3, columns=5)
    assert torch.equal(predict(last, first, still), last)
    still[:, 2, 1, 1] = 1
    shown = predict(last, first, still)
    assert torch.equal(shown[..., 40:], last[..., 40:])
    middle = (..., slice(22, 26), slice(22, 26))
    errors = [(shown - each)[middle].square().mean() for each in (first, last)]
    assert errors[0] < 0.2 * errors[1]


def test_a_picture_moves_back_as_well() -> None:
    picture, vectors = texture(32, 48), field(4, -8, rows=2, columns=3)
    back, ahead = move(picture, vectors, -0.25), move(picture, -vectors, 0.25)
    assert torch.equal(back, ahead)


def test_between_pixels_a_key_picture_is_predicted_as_the_specification_says() -> None:
    """networks-1, N4: eight taps to the middle between two pixels, rows after columns."""
    generator = torch.Generator().manual_seed(4)
    picture, taps = texture(32, 48), np.array((-1, 4, -11, 40, 40, -11, 4, -1)) / 64
    vectors = torch.randint(-21, 22, (1, 2, 2, 3), generator=generator).float()
    predicted = predict(picture, picture, F.pad(vectors, (0, 0, 0, 0, 0, 1)))[0].numpy()

    def doubled(rows: Any) -> Any:  # noqa: ANN401
        """Along the last axis."""
        places = np.arange(rows.shape[-1])[:, None] + np.arange(-3, 5)
        between = rows[..., places.clip(0, rows.shape[-1] - 1)] @ taps
        return np.stack([rows, between], -1).reshape(*rows.shape[:-1], -1)

    fine = doubled(doubled(picture[0].numpy().astype(float)).swapaxes(1, 2)).swapaxes(1, 2)
    y, x = np.indices((32, 48))
    expected = np.zeros((3, 32, 48))
    for down, across in product((0, 1), repeat=2):
        (row, vertical), (column, horizontal) = around(y, down), around(x, across)
        across_by, down_by = vectors[0].numpy().astype(int)[:, row.clip(0, 1), column.clip(0, 2)]
        seen = fine[:, (2 * y + down_by).clip(0, 63), (2 * x + across_by).clip(0, 95)]
        expected += vertical * horizontal * seen
    assert np.allclose(predicted, expected, atol=1e-5)


def test_a_vector_reaches_a_quarter_of_a_block_beyond_its_block() -> None:
    picture, motion = texture(80, 80), torch.zeros(1, 2, 5, 5)
    motion[:, :, 2, 2] = 12
    difference = (along(picture, motion) - picture.unsqueeze(2)).abs().amax((0, 1, 2))
    outside = torch.ones(80, 80, dtype=torch.bool)
    outside[24:56, 24:56] = False
    assert not difference[outside].any()  # all four vectors are zero there
    changed = difference > 1e-4
    assert changed[28:52, 28:52].float().mean() > 0.9
    changed[28:52, 28:52] = False
    assert not changed.any()
