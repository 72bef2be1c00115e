"""Half-size coding: what is made small and large again, and the ladder of rates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import tiny

import gencodec
from gencodec.container import GnvcVdBlock, GroupRecord
from gencodec.errors import PackError
from gencodec.geometry import latent_shape
from gencodec.group_coder import CodedGroup, GroupCoder, read_block
from gencodec.packs.models import Models, _check_ladder
from gencodec.transform import Reconstruction, enlarged
from gencodec.transform.scaling import halved

LADDER = {"half_below": 20, "half_shift": 15}


@pytest.fixture
def coder(motion_models: Models) -> GroupCoder:
    """Codes with a ladder whose lower part is of half size."""
    defaults = replace(motion_models.defaults, half_below=20, half_shift=15)
    return GroupCoder(replace(motion_models, defaults=defaults))


def clip(width: int, height: int, frames: int) -> NDArray[np.uint8]:
    return np.stack(tiny.clip(width, height, frames))


def record(coded: CodedGroup, frames: int) -> GroupRecord:
    return coded.record(0, range(frames))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (5, 7), (1, 1), (6, 3)])
def test_halved_pixels_are_means_and_odd_edges_count_twice(height: int, width: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    small = halved(rgb)
    assert small.shape == (2, -(-height // 2), -(-width // 2), 3)
    assert small.dtype == np.uint8
    last = rgb[:, [height - 1, height - 1] if height % 2 else [height - 2, height - 1]]
    corner = last[:, :, [width - 1, width - 1] if width % 2 else [width - 2, width - 1]]
    assert (small[:, -1, -1] == np.floor(corner.mean((1, 2)) + 0.5)).all()


def test_enlarged_pictures_follow_the_specification() -> None:
    """Shares of N5 in whole numbers, on random pictures with edges; halves may fall either way."""
    small = np.random.default_rng(1).integers(0, 256, (2, 32, 48, 3), np.uint8)
    features = np.random.default_rng(2).normal(size=(4, 1, 2, 3)).astype(np.float32)
    large = enlarged(Reconstruction(features=features, pictures=small), (3, 5))
    assert large.pictures is not None
    assert large.pictures.shape == (2, 48, 80, 3)
    assert large.features.shape == (4, 1, 3, 5)
    assert (large.features == features[:, :, [0, 0, 1]][..., [0, 0, 1, 1, 2]]).all()
    x = small.astype(np.int64)
    for axis in (1, 2):
        near = [
            np.take(x, np.clip(np.arange(x.shape[axis]) + k, 0, x.shape[axis] - 1), axis)
            for k in (-2, -1, 0, 1, 2)
        ]
        even = sum(share * part for share, part in zip((-9, 67, 225, -27), near[:4], strict=True))
        odd = sum(share * part for share, part in zip((-27, 225, 67, -9), near[1:], strict=True))
        x = np.stack([even, odd], axis + 1).reshape(
            [2 * n if k == axis else n for k, n in enumerate(x.shape)]
        )
    exact = np.clip(x / 65536, 0, 255)[:, :48, :80]
    assert np.abs(large.pictures - exact).max() <= 0.5001


def test_a_group_of_half_size_decodes_to_whole_frames(coder: GroupCoder) -> None:
    rgb = clip(75, 50, 6)
    source: Any = coder._models.transform.prepare(rgb)
    coded = coder.encode(source, 30)
    assert coded.block.half_size
    assert coded.block.quality == 30
    shape = latent_shape(6, 50, 75, 16)
    found = coder.decode(record(coded, 6), shape)
    assert found.pictures is not None
    assert found.pictures.shape == (9, 64, 80, 3)
    assert found.features.shape[1:] == shape
    error = found.pictures[:6, :50, :75].astype(float) - rgb
    assert float(np.sqrt((error**2).mean())) < 40


def test_the_ladder_goes_from_half_to_whole_pictures(coder: GroupCoder) -> None:
    source: Any = coder._models.transform.prepare(clip(64, 48, 5))
    assert coder.rungs == 64 + 15
    blocks = [coder.encode(source, rung).block for rung in (0, 34, 35, coder.rungs - 1)]
    assert [(block.half_size, block.quality) for block in blocks] == [
        (True, 0),
        (True, 34),
        (False, 20),
        (False, 63),
    ]
    assert coder.rung_of(20) == 35


def test_refined_groups_of_half_size_start_from_enlarged_latents(motion_models: Models) -> None:
    defaults = replace(
        motion_models.defaults, steps=1, refine_below=20, half_below=20, half_shift=15
    )
    coder = GroupCoder(replace(motion_models, defaults=defaults))
    source: Any = motion_models.transform.prepare(clip(64, 48, 5))
    small, whole = (record(coder.encode(source, rung), 5) for rung in (20, 40))
    assert (read_block(small).steps, read_block(whole).steps) == (1, 0)
    assert read_block(coder.aimed(small, lambda: source)).start_level > 10
    assert coder.aimed(whole, lambda: source) is whole


def test_a_block_says_half_size_in_its_fourth_byte() -> None:
    block = GnvcVdBlock(quality=7, flags=2)
    assert len(block.to_bytes()) == 4
    read = GnvcVdBlock.from_bytes(block.to_bytes())
    assert read.half_size
    assert not read.uses_noise


def test_a_ladder_that_cannot_be_is_refused(motion_models: Models, tiny_models: Models) -> None:
    for models, below, shift in (
        (motion_models, 50, 15),
        (motion_models, -1, 0),
        (tiny_models, 1, 0),
    ):
        defaults = replace(models.defaults, half_below=below, half_shift=shift)
        with pytest.raises(PackError, match="half"):
            _check_ladder(models.manifest, models.transform.config, defaults)


def test_files_of_half_size_verify_and_decode_to_whole_frames(
    clip_file: Path, motion_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCODEC_PACKS", str(motion_folder.parent))
    out = tmp_path / "half.gnv"
    gencodec.encode(
        clip_file, out, target=gencodec.Target(quality=3), pack=motion_folder, defaults=LADDER
    )
    told = gencodec.info(out)
    assert [(group.half_size, group.quality) for group in told.groups] == [(True, 18)] * 4
    assert gencodec.verify(out).groups == 4
    with gencodec.open(out) as video:
        frames = [rgb for rgb, _ in video]
    assert len(frames) == 29
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
