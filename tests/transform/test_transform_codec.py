"""The latent codec: a closed loop, any quality, finer with every index."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import tiny

from gencodec.execution import Execution
from gencodec.geometry import GroupQuality, group_quality, latent_shape
from gencodec.group_coder import GroupCoder
from gencodec.packs.models import Models
from gencodec.refine import noise_for
from gencodec.transform import INTER, LatentCodec, LatentStage, TransformConfig
from gencodec.transform.stage import integers

if TYPE_CHECKING:
    from tests.transform.conftest import Code


def latents_of(seed: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Latents as of a video: much from frame to frame stays."""
    still = noise_for(seed, 0, (tiny.CHANNELS, 1, *shape[1:]))
    return np.asarray(still + 0.3 * noise_for(seed, 1, (tiny.CHANNELS, *shape)), np.float32)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    t=st.integers(1, 4),
    h=st.integers(1, 7),
    w=st.integers(1, 7),
    quality=st.integers(0, 63),
    offset=st.integers(-2, 13),
)
def test_the_decoder_rebuilds_the_encoder_s_latents(
    tiny_models: Models, code: Code, seed: int, t: int, h: int, w: int, quality: int, offset: int
) -> None:
    pair = group_quality(quality, offset, 64)
    coded = code(tiny_models, latents_of(seed, (t, h, w)), pair)
    assert all(np.array_equal(*both) for both in zip(coded.symbols, coded.received, strict=True))
    again = tiny_models.transform.decode(coded.received, pair)
    assert again.latents is not None
    assert np.array_equal(again.latents, coded.result.latents)
    assert np.array_equal(again.features, coded.result.features)
    assert again.latents.shape == (tiny.CHANNELS, t, h, w)
    assert again.features.shape == (tiny.WIDTH, t, h, w)
    assert again.pictures is None


def test_a_better_quality_costs_more_and_errs_less(tiny_models: Models, code: Code) -> None:
    latents = latents_of(1, (3, 6, 8))
    sizes, errors = [], []
    for quality in range(0, 64, 9):
        coded = code(tiny_models, latents, group_quality(quality, 0, 64))
        sizes.append(len(coded.payload))
        errors.append(float(np.mean((coded.result.latents - latents) ** 2)))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 5 * sizes[0]
    assert all(b < 1.1 * a for a, b in pairwise(errors))
    assert errors[-1] < 0.05 * errors[0]


def test_steps_fall_with_every_quality_index() -> None:
    codec = LatentCodec(TransformConfig(channels=4, width=4), torch.tensor([4.0, 2.0, 1.0, 0.5]))
    for kind in (0, INTER):
        steps = codec.steps(kind, torch.arange(64))[:, :, 0, 0]
        assert steps.shape == (64, 4)
        assert (steps.diff(dim=0) < 0).all()
        assert torch.allclose(steps[0], torch.tensor([3.0, 6.0, 12.0, 24.0]), rtol=1e-4)
        assert torch.allclose(steps[63], torch.tensor([0.1, 0.2, 0.4, 0.8]), rtol=1e-4)


def test_a_new_codec_is_a_plain_quantiser() -> None:
    """Its networks start silent: the error is that of rounding, also of the later latents."""
    torch.manual_seed(0)
    codec = LatentCodec(TransformConfig(channels=4, width=4, depth=1))
    stage = LatentStage(codec, Execution.choose("cpu"), lambda rgb: rgb.astype(np.float32))
    latents = np.asarray(4 * noise_for(3, 0, (4, 3, 5, 5)), np.float32)
    sent: list[Any] = []

    def write(y: Any, z: Any, quality: int) -> NDArray[np.int16]:  # noqa: ANN401
        sent.append((y, z, quality))
        return y.astype(np.int16)  # type: ignore[no-any-return]

    made = stage.encode(latents, GroupQuality(anchor=63, inter=40), write).latents
    assert made is not None
    assert [quality for *_, quality in sent] == [63, 40, 40]
    steps = codec.steps(0, torch.tensor([63, 40]))[:, :, 0, 0].detach().numpy()
    error = np.abs(made - latents).max(axis=(1, 2, 3))
    assert np.all(error[:, None] <= 0.62 * steps.max(0)[:, None] + 1e-4)
    assert np.abs(made - latents)[:, 0].max() <= 0.62 * steps[0].max() + 1e-4
    assert sent[0][1].shape == (8, 2, 2)


def test_rounding_has_a_dead_zone_and_bounds() -> None:
    values = torch.tensor([0.61, 0.63, -0.61, -0.63, 1.5, 1e9, float("nan")]).view(1, 7, 1, 1)
    rounded = integers(values, 0.12)[:, 0, 0]
    assert rounded.tolist() == [0, 1, 0, -1, 1, 32767, 0]
    assert integers(values, 0.0)[:4, 0, 0].tolist() == [1, 1, -1, -1]


def test_wild_latents_are_coded_without_an_error(tiny_models: Models) -> None:
    latents = np.full((tiny.CHANNELS, 2, 3, 3), 1e6, np.float32)
    latents[0] = np.nan
    latents[1] = -np.inf
    group = GroupCoder(tiny_models).encode(np.nan_to_num(latents, posinf=1e9, neginf=-1e9), 63)
    assert group.size > 0
    assert group.block.start_level <= 1000


@pytest.mark.parametrize(
    ("frames", "size", "shape"),
    [
        (1, (16, 16), (1, 1, 1)),
        (2, (17, 15), (2, 2, 1)),
        (5, (16, 32), (2, 1, 2)),
        (6, (1, 1), (3, 1, 1)),
        (33, (288, 352), (9, 18, 22)),
    ],
)
def test_shapes_of_latents(frames: int, size: tuple[int, int], shape: tuple[int, int, int]) -> None:
    assert latent_shape(frames, *size, 16) == shape


def test_quality_indices_are_clamped() -> None:
    assert group_quality(60, 9, 64) == GroupQuality(anchor=63, inter=60)
    assert group_quality(2, -2, 64) == GroupQuality(anchor=0, inter=2)
    assert [group_quality(20, 3, 64).of(t) for t in range(3)] == [26, 20, 20]
