"""The motion codec: pictures in a closed loop, motion as symbols, and stillness for nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests import tiny

import gencodec
from gencodec.geometry import GroupQuality, group_quality, latent_shape
from gencodec.packs.models import Models, build_codec
from gencodec.transform import (
    ANCHOR,
    INTER,
    MotionCodec,
    MotionCodecConfig,
    MotionState,
    Reconstruction,
)

if TYPE_CHECKING:
    from tests.transform.conftest import Code

C = tiny.MOTION_CHANNELS


def codec() -> MotionCodec:
    """The tiny pack's codec, its networks loud."""
    made = build_codec(tiny.MOTION_COMPONENTS["transform"])
    assert isinstance(made, MotionCodec)
    tiny.fill(made, "loud")
    made.picture.linear_synthesis.weight.data.mul_(4)
    for network in (made.filter, made.blend):
        network.pixels.weight.data.mul_(4)
    return made.eval()


def pan(frames: int, step: int = 2) -> Any:  # noqa: ANN401
    """Frames [T, 48, 80, 3] of a view that moves over a wall of random bricks."""
    bricks = np.random.default_rng(0).integers(0, 256, (12, 20 + step * frames, 3), np.uint8)
    wall = bricks.repeat(4, 0).repeat(4, 1)
    return np.stack([wall[:, step * t : step * t + 80] for t in range(frames)])


@pytest.mark.parametrize(
    ("frames", "height", "width", "quality"),
    [(1, 1, 1, 63), (2, 17, 15, 0), (5, 32, 48, 31), (6, 45, 61, 40), (9, 16, 20, 12)],
)
def test_the_decoder_rebuilds_the_encoder_s_pictures(
    motion_models: Models, code: Code, frames: int, height: int, width: int, quality: int
) -> None:
    """From the bytes alone, for any length and size."""
    source = motion_models.transform.prepare(np.stack(tiny.clip(width, height, frames)))
    pair = group_quality(quality, 2, 64)
    coded = code(motion_models, source, pair)
    assert all(np.array_equal(*both) for both in zip(coded.symbols, coded.received, strict=True))
    again = motion_models.transform.decode(coded.received, pair, coded.anchor)
    t, h, w = latent_shape(frames, height, width, 16)
    pictures = coded.result.pictures
    assert pictures.shape == (4 * t - 3, 16 * h, 16 * w, 3)
    assert pictures.dtype == np.uint8
    assert coded.result.features.shape == (C, t, h, w)
    assert again.pictures is not None
    assert np.array_equal(again.pictures, pictures)
    assert np.array_equal(again.features, coded.result.features)
    assert again.latents is None


def test_a_better_quality_costs_more_and_errs_less(motion_models: Models, code: Code) -> None:
    y, x = np.mgrid[0:48, 0:80]
    waves = np.stack([np.sin((y + x + 2 * t) / 30) for t in range(9)])
    rgb = np.round(127.5 + 90 * waves).astype(np.uint8)[..., None].repeat(3, -1)
    source = motion_models.transform.prepare(rgb)
    sizes, errors = [], []
    for quality in range(0, 64, 9):
        coded = code(motion_models, source, group_quality(quality, 0, 64))
        sizes.append(len(coded.payload))
        errors.append(float(np.mean((np.float64(coded.result.pictures) - rgb) ** 2)))
    assert all(b > 0.9 * a for a, b in pairwise(sizes))  # its prior is not trained
    assert sizes[-1] > 1.5 * sizes[0]
    assert all(b < 1.05 * a for a, b in pairwise(errors))
    assert errors[-1] < 0.5 * errors[0]


def test_a_pan_costs_one_vector_and_then_none(motion_models: Models, code: Code) -> None:
    """A vector is sent relative to its neighbours, the first of a field to the field before.

    The second of four latent frames comes first; before it all moves back.
    """
    source: Any = motion_models.transform.prepare(pan(13))
    assert source.shape == (4, 3, 5)
    coded = code(motion_models, source, GroupQuality(anchor=40, inter=4))
    assert coded.anchor == 1
    right, left = [[[16]], [[0]]], [[[-16]], [[0]]]
    assert (source.found[1, False].motion[..., 1:4] == [right, right, left]).all()
    fields = 2 * coded.result.features[:2].transpose(1, 0, 2, 3)
    assert (fields[2:] == right).all()
    assert (fields[0].reshape(2, -1)[:, 1:] == [[-16], [0]]).all()
    assert coded.symbols[1][:2].any(0).sum() == 1
    assert coded.symbols[1][:2, 0, 0].tolist() == [16, 0]
    assert not coded.symbols[2][:2].any()


def test_frames_around_the_anchor_are_coded_alike_in_both_directions(
    motion_models: Models, code: Code
) -> None:
    """A clip that runs backwards is shown backwards, but for what learned from bits."""
    rgb = pan(17)
    pair = GroupQuality(anchor=40, inter=12)
    there, back = (
        code(motion_models, motion_models.transform.prepare(np.ascontiguousarray(frames)), pair)
        for frames in (rgb, rgb[::-1])
    )
    assert np.array_equal(there.result.pictures, back.result.pictures[::-1])
    turned = [back.symbols[position] for position in (0, 3, 4, 1, 2)]
    assert all(np.array_equal(*both) for both in zip(there.symbols, turned, strict=True))


@torch.no_grad()
def test_of_an_even_count_the_lower_median_counts() -> None:
    network, quality = codec(), torch.tensor([20])
    field = torch.tensor([[0.0, 10.0, 4.0, 9.0], [-3.0, 5.0, -7.0, 8.0]]).view(1, 2, 2, 2)
    black = torch.zeros(1, 3, 32, 32)
    state = MotionState(picture=black, first=black, motion=F.pad(field, (0, 0, 0, 0, 0, 1)))
    symbols = torch.zeros(1, C, 2, 2)
    symbols[:, 0, 1, 0] = 3
    after = network.synthesise(symbols, state, quality)[2].motion
    assert after is not None
    assert after[0, :2].tolist() == [[[4, 4], [7, 4]], [[-3, -3], [-3, -3]]]
    raw = network.analyse(
        torch.zeros(1, 3, 4, 32, 32), network.predict(after, state, quality), state, quality
    )
    assert torch.equal(raw[:, :2], symbols[:, :2])


@torch.no_grad()
def test_what_is_still_stays_still_bit_for_bit() -> None:
    """Where neither motion nor residual is sent, not even the loop filter moves a pixel."""
    network, quality = codec(), torch.tensor([20])
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(1, C, 3, 41, generator=generator).round()
    picture, _, state = network.synthesise(first, MotionState(), quality)
    assert picture.shape == (1, 3, 1, 48, 656)
    nothing = torch.zeros(1, C, 3, 41)
    for _ in range(3):
        frames, _, state = network.synthesise(nothing, state, quality)
        assert torch.equal(frames, picture.expand(-1, -1, 4, -1, -1))
    one = nothing.clone()
    one[:, 5, 1, 20] = 1
    change = (network.synthesise(one, state, quality)[0] != picture).any(2).any(1)[0]
    assert change[:, 304:352].float().mean() > 0.5  # the block and its neighbours
    change[:, 304:352] = False
    assert not change.any()


def test_a_still_clip_is_shown_still(motion_models: Models) -> None:
    rgb = np.stack([tiny.picture(61, 45, 0)] * 9)
    stage: Any = motion_models.transform
    assert not stage._moving(stage.prepare(rgb), 1, half_size=False).motion.any()
    symbols = [np.zeros((C, 3, 4), np.int16) for _ in range(3)]
    symbols[0][:] = np.random.default_rng(0).integers(-9, 10, symbols[0].shape)
    shown = motion_models.transform.decode(symbols, GroupQuality(anchor=30, inter=9)).pictures
    assert shown is not None
    assert shown[0].std() > 1
    assert (shown == shown[0]).all()


@torch.no_grad()
def test_a_new_codec_is_a_pair_of_block_transforms() -> None:
    """Its networks start silent; coefficients within the span of the transforms come back."""
    torch.manual_seed(0)
    network = MotionCodec(MotionCodecConfig(channels=C, picture={"fine_width": 4}))
    tiny.set_codec(network)
    quality, start = torch.tensor([31]), MotionState()
    symbols = torch.randint(-9, 10, (1, C, 2, 3)).float()
    picture, features, state = network.synthesise(symbols, start, quality)
    assert torch.allclose(network.analyse(picture, None, start, quality), symbols, atol=1e-3)
    assert features.shape == symbols.shape
    assert (start.kind, state.kind) == (ANCHOR, INTER)
    symbols[:, [0, 1, -1]] = 0
    frames, features, _ = network.synthesise(symbols, state, quality)
    still = torch.zeros(1, 3, 2, 3)
    prediction = network.predict(still, state, quality)
    assert torch.allclose(network.analyse(frames, prediction, state, quality), symbols, atol=1e-3)
    assert not features[:, :2].any()


def test_the_worth_of_a_bit_sets_the_steps() -> None:
    config = MotionCodecConfig(channels=C, worth=(1.0, 0.01), inter_worth=(4.0, 0.09))
    network = MotionCodec(config)
    every = torch.arange(64)
    worth = network.worth(every, ANCHOR)
    assert (worth.diff() < 0).all()
    assert torch.allclose(worth[[0, 63]], torch.tensor([1.0, 0.01]))
    assert torch.allclose(network.worth(every, INTER)[[0, 63]], torch.tensor([4.0, 0.09]))
    ends = [
        steps.detach().exp()[[0, -1], 0]
        for steps in (network.picture_steps, network.residual_steps)
    ]
    assert torch.allclose(ends[0], (worth[[0, 63]] / 0.115).sqrt())
    assert torch.allclose(2 * ends[1] / ends[0], torch.tensor([2.0, 3.0]))  # it counts four times


def test_latents_of_a_motion_codec_are_those_of_its_pictures(
    motion_models: Models, code: Code
) -> None:
    transform = motion_models.transform
    rgb = np.stack(tiny.clip(30, 20, 6))
    source = transform.prepare(rgb)
    coded = code(motion_models, source, GroupQuality(anchor=63, inter=63)).result
    clean, decoded = transform.clean_latents(source), transform.decoded_latents(coded)
    assert clean.shape == decoded.shape == (tiny.CHANNELS, 3, 2, 2)
    assert np.array_equal(clean, motion_models.autoencoder.encode(rgb))
    assert np.abs(clean - decoded).mean() < 0.5 * np.abs(clean).mean()


def test_a_reconstruction_of_the_other_kind_is_refused(
    motion_models: Models, tiny_models: Models
) -> None:
    nothing = Reconstruction(features=np.zeros((1, 1, 1, 1), np.float32))
    with pytest.raises(TypeError, match="rebuilds pictures"):
        motion_models.transform.decoded_latents(nothing)
    with pytest.raises(TypeError, match="rebuilds latents"):
        tiny_models.transform.decoded_latents(replace(nothing, pictures=None))


@pytest.mark.parametrize("value", [32_767, -32_768])
def test_wild_symbols_are_shown_without_an_error(motion_models: Models, value: int) -> None:
    """Whatever a hostile file decodes to: pictures, of the right size."""
    symbols = [np.full((C, 2, 2), value, np.int16) for _ in range(4)]
    decoded = motion_models.transform.decode(symbols, GroupQuality(anchor=0, inter=0))
    assert decoded.pictures is not None
    assert decoded.pictures.shape == (13, 32, 32, 3)
    assert math.isfinite(float(motion_models.transform.decoded_latents(decoded).sum()))


def test_a_video_is_coded_at_a_rate_and_shown(
    motion_folder: Path, clip_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCODEC_PACKS", str(motion_folder))
    coded, bpp = tmp_path / "clip.gnv", 0.2
    made = gencodec.encode(clip_file, coded, target=gencodec.Target(bpp=bpp), pack=motion_folder)
    assert made.frames == 29
    assert coded.stat().st_size * 8 == pytest.approx(bpp * 64 * 48 * 29, rel=0.1)
    assert gencodec.verify(coded).complete
    with gencodec.open(coded) as video:
        shown = np.stack([rgb for rgb, _ in video])
    error = np.mean((shown.astype(np.float64) - np.stack(tiny.clip(64, 48, 29))) ** 2)
    assert 10 * np.log10(255**2 / error) > 15
