"""Groups hold what they should, and start where scenes do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gencodec.frames import Change, CutDetector, Frame, Watch, groups
from gencodec.frames.cuts import small_luma

Picture = NDArray[np.float32]


def _frames(count: int) -> Iterator[Frame]:
    for index in range(count):
        rgb = np.full((2, 3, 3), index, np.uint8)
        yield Frame(rgb=rgb, ticks=10 * index - 5, duration=4)


def _cut_at(cuts: set[int]) -> Watch:
    return lambda frame, _: Change(cut=int(frame[0, 0, 0]) in cuts)


@given(st.integers(0, 40), st.integers(1, 12), st.sets(st.integers(0, 40)))
def test_groups_hold_all_frames_in_order(count: int, length: int, cuts: set[int]) -> None:
    found = list(groups(_frames(count), length=length, watch=_cut_at(cuts)))
    values = [int(rgb[0, 0, 0]) for group in found for rgb in group.rgb]
    starts = {int(group.rgb[0, 0, 0, 0]) for group in found}
    assert values == list(range(count))
    assert [t for group in found for t in group.ticks] == [10 * v - 5 for v in values]
    assert all(1 <= len(group.rgb) == len(group.ticks) <= length for group in found)
    assert [group.index for group in found] == list(range(len(found)))
    assert [group.last for group in found] == [False] * (len(found) - 1) + [True] * bool(found)
    assert cuts & set(range(count)) <= starts
    assert {int(g.rgb[0, 0, 0, 0]) for g in found if g.cut} == (cuts & set(range(1, count)))
    assert [group.duration for group in found] == [10] * (len(found) - 1) + [4] * bool(found)


@pytest.mark.parametrize(
    ("change", "count", "expected"),
    [
        (0.0, 129, [129]),
        (0.7, 129, [129]),
        (1.0, 200, [105, 95]),
        (2.0, 129, [53, 53, 23]),
        (2.0, 121, [53, 68]),
        (50.0, 69, [9, 9, 9, 9, 9, 9, 15]),
        (12.0, 69, [13, 13, 13, 13, 17]),
        (50.0, 33, [9, 9, 15]),
        (50.0, 17, [17]),
    ],
)
def test_where_much_moves_groups_are_shorter(
    change: float, count: int, expected: list[int]
) -> None:
    """They end after a change of 100, but hold 9 frames and no scene ends in a shorter one."""
    found = groups(
        _frames(count), length=129, watch=lambda _, __: Change(size=change), most_change=100
    )
    sizes = [len(group.ticks) for group in found]
    assert sizes == expected
    assert all(size % 4 == 1 for size in sizes[:-1])


def test_the_change_of_a_frame_is_that_of_its_luma() -> None:
    detector = CutDetector()
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (10, 14, 14)]
    changes = [detector(one, None) for one in frames]
    assert [round(each.size, 3) for each in changes] == [0, 4, 0]
    assert not any(each.cut for each in changes)


@given(st.integers(18, 60), st.integers(0, 200), st.sets(st.integers(1, 200), max_size=3))
def test_a_scene_does_not_end_in_a_short_group(length: int, count: int, cuts: set[int]) -> None:
    found = list(groups(_frames(count), length=length, watch=_cut_at(cuts)))
    values = [int(rgb[0, 0, 0]) for group in found for rgb in group.rgb]
    assert values == list(range(count))
    assert [group.duration for group in found] == [10] * (len(found) - 1) + [4] * bool(found)
    bounds = [0, *sorted(cut for cut in cuts if cut < count), count]
    scenes: list[list[int]] = [[] for _ in bounds[1:]]
    for group in found:
        first = int(group.rgb[0, 0, 0, 0])
        scenes[sum(first >= bound for bound in bounds[1:])].append(len(group.rgb))
    for sizes, (start, end) in zip(scenes, pairwise(bounds), strict=True):
        assert sum(sizes) == end - start
        assert len(sizes) == -(-(end - start) // length)  # none more than needed
        assert all(size <= length for size in sizes)
        assert all(size == length for size in sizes[:-2])
        if len(sizes) > 1:
            before, last = sizes[-2:]
            assert last >= 17 or abs(before - last) <= 4
            assert before == length or (before % 4 == 1 and abs(before - last) <= 4)


def test_frames_wait_no_longer_than_they_must() -> None:
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in _frames(300):
            taken += 1
            yield frame

    for length, ahead in ((9, 1), (17, 1), (18, 17), (129, 17)):
        taken = 0
        next(groups(counted(), length=length))
        assert taken <= length + ahead + 1  # the detector of cuts asks for one more


def test_a_group_needs_room_for_a_frame() -> None:
    with pytest.raises(ValueError, match="length is 0"):
        list(groups(_frames(3), length=0))


def _scene(seed: int, *, height: int = 270, width: int = 480) -> Picture:
    """Draw overlapping soft blobs: like a photograph, strong at all sizes. 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width), np.float32)
    for size in (90, 45, 20, 10):
        for _ in range(3600 // size):
            cy, cx, weight = rng.uniform(0, height), rng.uniform(0, width), rng.normal()
            ys = slice(max(0, int(cy - 2 * size)), int(cy + 2 * size))
            xs = slice(max(0, int(cx - 2 * size)), int(cx + 2 * size))
            away = (y[ys, xs] - cy) ** 2 + (x[ys, xs] - cx) ** 2
            image[ys, xs] += weight * np.exp(-away / (2 * (size / 2) ** 2))
    spread: Picture = ((image - image.min()) / (image.max() - image.min())).astype(np.float32)
    return spread


SCENES = [_scene(seed) for seed in range(3)]


def _rgb(image: Picture) -> NDArray[np.uint8]:
    return np.repeat(np.clip(np.round(image * 255), 0, 255).astype(np.uint8)[..., None], 3, -1)


def _cuts(images: list[Picture]) -> list[int]:
    detector, frames = CutDetector(), [_rgb(image) for image in images]
    following = [*frames[1:], None]
    return [i for i, (now, then) in enumerate(zip(frames, following, strict=True))
            if detector(now, then).cut]  # fmt: skip


def _noisy(image: Picture, count: int, *, seed: int = 9) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [image + rng.normal(0, 0.02, image.shape).astype(np.float32) for _ in range(count)]


def test_hard_cuts_are_found() -> None:
    images = _noisy(SCENES[0], 9) + _noisy(SCENES[1], 8) + _noisy(SCENES[2], 6)
    assert _cuts(images) == [9, 17]


def test_cuts_that_follow_closely_are_found_when_certain() -> None:
    assert _cuts([SCENES[0]] * 8 + [SCENES[1]] * 2 + [SCENES[2]] * 6) == [8, 10]


def test_cuts_between_fast_pans_are_found() -> None:
    pans = [[np.roll(scene, 16 * i, axis=1) for i in range(10)] for scene in SCENES[:2]]
    assert _cuts(pans[0] + pans[1]) == [10]


def test_a_cut_to_black_is_found() -> None:
    assert _cuts(_noisy(SCENES[0], 8) + [np.zeros_like(SCENES[0])] * 8) == [8]


@pytest.mark.parametrize("speed", [1, 8, 20, 60, 150])
def test_pans_are_no_cuts(speed: int) -> None:
    assert _cuts([np.roll(SCENES[0], speed * i, axis=1) for i in range(20)]) == []


def test_a_flash_is_no_cut() -> None:
    flash = [np.clip(0.8 + SCENES[0], 0, 1)]
    assert _cuts(_noisy(SCENES[0], 8) + flash + _noisy(SCENES[0], 8)) == []


def test_one_blank_frame_is_no_cut() -> None:
    blank = [np.ones_like(SCENES[0])]
    assert _cuts(_noisy(SCENES[0], 8) + blank + _noisy(SCENES[0], 8)) == []


@pytest.mark.parametrize("frames", [8, 16, 40])
def test_fades_through_black_are_no_cuts(frames: int) -> None:
    levels = np.abs(np.linspace(1, -1, 2 * frames))
    images = [SCENES[0 if i < frames else 1] * level for i, level in enumerate(levels)]
    assert _cuts(images) == []


def test_dissolves_are_no_cuts() -> None:
    images = [SCENES[0] * (1 - s) + SCENES[1] * s for s in np.linspace(0, 1, 20)]
    assert _cuts(images) == []


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (36, 64), (271, 481), (1080, 1920)])
def test_small_luma_is_the_mean_of_the_picture(shape: tuple[int, int]) -> None:
    luma = small_luma(np.full((*shape, 3), (255, 0, 0), np.uint8))
    assert luma.shape == (min(36, shape[0]), min(64, shape[1]))
    np.testing.assert_allclose(luma, 255 * 77 / 256, atol=0.02)
