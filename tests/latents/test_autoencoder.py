"""The autoencoder: the linear path, any size, block by block, diffusers' own order of pixels."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import tiny
from torch import Tensor

from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.latents import Autoencoder, AutoencoderStage, LinearConfig, LinearPath
from gencodec.latents.autoencoder import split_blocks
from gencodec.packs.models import Models
from gencodec.tiles import TilePlan

WAN: dict[str, Any] = tiny.COMPONENTS["autoencoder"]["wan"]
LINEAR = LinearConfig(stride=8, analysis_kernel=3, synthesis_kernel=3)


def psnr(a: Any, b: Any) -> float:  # noqa: ANN401
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b)) ** 2)
    return float(10 * np.log10(255**2 / error))


def autoencoder(linear: LinearConfig | None, *, gain: float = 1.0) -> Autoencoder:
    """A network with the tiny pack's sizes and repeatable weights."""
    network = Autoencoder(WAN, linear)
    tiny.fill(network, "test", gain)
    return network.eval()


def stage(network: Autoencoder) -> AutoencoderStage:
    return AutoencoderStage(network, Execution.choose("cpu"))


VARIANTS = {
    "linear": LinearConfig(stride=8, network_encoder=False),
    "both": LINEAR,
    "wan": None,
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def network(request: pytest.FixtureRequest) -> Autoencoder:
    return autoencoder(VARIANTS[request.param])


def pixels(frames: int, height: int, width: int) -> Tensor:
    rgb = np.stack(tiny.clip(width, height, frames))
    return torch.from_numpy(rgb).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@torch.no_grad()
def test_shapes(network: Autoencoder) -> None:
    for frames in (1, 5, 9):
        latents = network.encode(pixels(frames, 16, 24))
        assert latents.shape == (1, 8, 1 + (frames - 1) // 4, 2, 3)
        assert network.decode(latents).shape == (1, 3, frames, 16, 24)


@torch.no_grad()
def test_block_by_block_equals_the_whole(network: Autoencoder) -> None:
    frames = pixels(13, 16, 24)
    latents = network.encode(frames)
    blocks = list(network.encode_blocks(split_blocks(frames)))
    assert torch.equal(torch.cat(blocks, 2), latents)
    assert [b.shape[2] for b in split_blocks(frames)] == [1, 4, 4, 4]
    pieces = list(network.decode_blocks(latents.chunk(4, 2)))
    assert [piece.shape[2] for piece in pieces] == [1, 4, 4, 4]
    assert torch.equal(torch.cat(pieces, 2), network.decode(latents))


@torch.no_grad()
def test_the_past_does_not_depend_on_the_future(network: Autoencoder) -> None:
    frames = pixels(13, 16, 24)
    changed = frames.clone()
    changed[:, :, 9:] = 0
    before, after = network.encode(frames), network.encode(changed)
    assert torch.equal(before[:, :, :3], after[:, :, :3])
    assert not torch.equal(before[:, :, 3], after[:, :, 3])
    short = network.decode(before[:, :, :3])
    assert torch.equal(network.decode(before)[:, :, :9], short)


@torch.no_grad()
def test_two_videos_in_a_row_do_not_meet(network: Autoencoder) -> None:
    first, second = pixels(5, 16, 24), 0.3 * pixels(9, 16, 24)
    alone = network.encode(second), network.decode(network.encode(second))
    network.decode(network.encode(first))
    assert torch.equal(network.encode(second), alone[0])
    assert torch.equal(network.decode(alone[0]), alone[1])


def test_pixels_are_rearranged_as_diffusers_does() -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify

    network = autoencoder(None)
    x = torch.randn(2, 3, 5, 8, 12)
    packed = network._patchify(x)
    assert torch.equal(packed, patchify(x, 2))
    assert torch.equal(network._unpatchify(packed), unpatchify(packed, 2))
    assert torch.equal(network._unpatchify(packed), x)


@torch.no_grad()
def test_without_a_linear_path_it_is_diffusers_autoencoder() -> None:
    network = autoencoder(None)
    frames = pixels(9, 16, 24)
    mean, std = network.mean, network.std
    expected = (network.wan.encode(frames).latent_dist.mode() - mean) / std
    assert torch.allclose(network.encode(frames), expected, atol=1e-4)
    decoded = network.wan.decode(expected * std + mean).sample
    assert torch.allclose(network.decode(expected).clamp(-1, 1), decoded, atol=1e-3)


@torch.no_grad()
def test_a_new_autoencoder_with_a_linear_path_is_linear() -> None:
    torch.manual_seed(0)
    network = Autoencoder(WAN, LINEAR).eval()
    path = network.linear
    assert path is not None
    frames = pixels(5, 16, 24)
    coefficients = torch.cat([path.analyse(block) for block in split_blocks(frames)], 2)
    assert torch.allclose(network.encode(frames) * network.std, coefficients, atol=1e-5)
    pictures = [path.synthesise(coefficients[:, :, t : t + 1], first=t == 0) for t in range(2)]
    assert torch.allclose(network.decode(network.encode(frames)), torch.cat(pictures, 2), atol=1e-4)


@torch.no_grad()
def test_pictures_that_a_codec_made_stand_for_the_linear_picture() -> None:
    """Latents of their own change nothing, others add what the linear path makes of the change."""
    torch.manual_seed(0)
    network = Autoencoder(WAN, VARIANTS["linear"]).eval()
    path = network.linear
    assert path is not None
    made = 0.9 * pixels(5, 16, 24)
    own = network.encode(made)
    assert torch.allclose(network.decode(own, made), made, atol=1e-5)
    change = torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    added = network.decode(own + change, made) - made
    expected = network.decode(own + change) - network.decode(own)
    assert torch.allclose(added, expected, atol=1e-4)
    assert float(added.abs().mean()) > 0.01


@torch.no_grad()
def test_what_a_trained_decoder_adds_to_pictures_depends_on_them() -> None:
    network = autoencoder(VARIANTS["linear"])
    made = pixels(9, 16, 24)
    latents = network.encode(made)
    added = network.decode(latents, made) - made
    start = network.decode(latents[:, :, :2], made[:, :, :5]) - made[:, :, :5]
    assert torch.equal(start, added[:, :, :5])
    assert not torch.allclose(network.decode(latents, 0.5 * made) - 0.5 * made, added, atol=1e-3)


def test_the_linear_path_of_the_tiny_pack_is_a_transform_and_its_inverse() -> None:
    path = LinearPath(8, LinearConfig(stride=8, synthesis_kernel=3))
    tiny.set_linear_path(path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for first in (True, False):
            latents = torch.randn(2, 8, 1, 3, 4, generator=generator)
            again = path.analyse(path.synthesise(latents, first=first))
            assert torch.allclose(again, latents, atol=1e-4)


def test_a_still_picture_has_the_same_coefficients_in_every_block() -> None:
    path = LinearPath(8, LinearConfig(stride=8, synthesis_kernel=1))
    tiny.set_linear_path(path)
    still = pixels(1, 16, 24)
    with torch.no_grad():
        image = path.analyse(still)
        clip = path.analyse(still.expand(-1, -1, 4, -1, -1))
    assert torch.allclose(image[:, :6], clip[:, :6], atol=1e-4)
    assert torch.allclose(clip[:, 6:], torch.zeros(()), atol=1e-4)


# -- the door --------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(frames=st.integers(1, 14), height=st.integers(1, 30), width=st.integers(1, 30))
def test_any_size_and_length(tiny_models: Models, frames: int, height: int, width: int) -> None:
    door = tiny_models.autoencoder
    rgb = np.stack(tiny.clip(width, height, frames))
    latents = door.encode(rgb)
    assert latents.dtype == np.float32
    assert latents.shape == (8, *latent_shape(frames, height, width, tiny.STRIDE))
    blocks = list(door.decode(latents, (frames, height, width)))
    assert [len(block) for block in blocks[:-1]] == ([1] + [4] * len(blocks))[: len(blocks) - 1]
    decoded = np.concatenate(blocks)
    assert decoded.shape == rgb.shape
    assert decoded.dtype == np.uint8


def test_the_tiny_pack_shows_what_it_was_given(tiny_models: Models) -> None:
    rgb = np.stack(tiny.clip(64, 48, 13))
    door = tiny_models.autoencoder
    decoded = np.concatenate(list(door.decode(door.encode(rgb), (13, 48, 64))))
    assert psnr(decoded, rgb) > 22


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_pictures_pass_the_door(motion_models: Models, frames: int) -> None:
    """Whole blocks go in; what was asked for comes out, close to what went in."""
    door = motion_models.autoencoder
    whole = 1 + 4 * -(-(frames - 1) // 4)
    rgb = np.stack(tiny.clip(32, 16, whole))
    shown = np.concatenate(list(door.decode(door.encode(rgb), (frames, 13, 30), rgb)))
    assert shown.shape == (frames, 13, 30, 3)
    assert psnr(shown, rgb[:frames, :13, :30]) > 24


def test_the_edge_is_repeated_not_darkened(tiny_models: Models) -> None:
    door = tiny_models.autoencoder
    grey = np.full((5, 13, 11, 3), 90, np.uint8)
    padded = np.full((5, 16, 16, 3), 90, np.uint8)
    assert np.array_equal(door.encode(grey), door.encode(padded))


def test_missing_frames_repeat_the_last(tiny_models: Models) -> None:
    door = tiny_models.autoencoder
    rgb = np.stack(tiny.clip(16, 16, 7))
    longer = np.concatenate([rgb, rgb[-1:], rgb[-1:]])
    assert np.array_equal(door.encode(rgb), door.encode(longer))


def test_pixels_out_of_range_are_clipped(tiny_models: Models) -> None:
    door = tiny_models.autoencoder
    latents = np.zeros((8, 1, 1, 1), np.float32)
    for value, level in ((50, 255), (-50, 0)):
        latents[0] = value
        assert (np.concatenate(list(door.decode(latents, (1, 8, 8)))) == level).mean() > 0.9


# -- the closed form -------------------------------------------------------------------------------


def test_the_fitted_path_describes_what_it_was_fitted_to(training: ModuleType) -> None:
    """Smooth moving waves need few coefficients: a fit on them is nearly exact."""
    rng = np.random.default_rng(0)

    def batches() -> Any:  # noqa: ANN401
        while True:
            crops = []
            for _ in range(16):
                y, x, t = np.meshgrid(range(48), range(48), range(5), indexing="ij")
                a, b, c, d = rng.uniform(-1, 1, 4)
                wave = np.sin((a * x + b * y) / 12 + c * t / 6 + 3 * d)
                crops.append(0.8 * np.stack([wave, 0.5 * wave, -wave]))
            yield torch.from_numpy(np.stack(crops)).permute(0, 1, 4, 2, 3).float()

    path = LinearPath(24, LinearConfig(stride=8, synthesis_kernel=3))
    mean, std = training.linear.fit_linear_path(path, batches(), 16)
    assert mean.shape == std.shape == (24,)
    assert (std > 0).all()
    frames = next(batches())
    with torch.no_grad():
        for part, first in ((frames[:, :, :1], True), (frames[:, :, 1:], False)):
            again = path.synthesise(path.analyse(part), first=first)
            inner = (..., slice(16, 40), slice(16, 40))
            error = float((again[inner] - part[inner]).square().mean())
            assert 10 * np.log10(4 / error) > 26
        still = frames[:, :, :1]
        image, clip = path.analyse(still), path.analyse(still.expand(-1, -1, 4, -1, -1))
    close = torch.isclose(image, clip, atol=1e-3).flatten(2).all(2).all(0)
    assert close.sum() >= 18  # three quarters: the steady channels
    assert std.argmax() == 0  # in falling order of energy, about


# -- tiles -----------------------------------------------------------------------------------------

TILES = TilePlan(size=6, overlap=3)


def test_tiles_show_what_the_whole_shows(tiny_models: Models) -> None:
    rgb = np.stack(tiny.clip(88, 72, 5))
    door = tiny_models.autoencoder
    tiled = np.concatenate(list(door.decode(door.encode(rgb), (5, 70, 85), plan=TILES)))
    assert tiled.shape == (5, 70, 85, 3)
    assert psnr(tiled, rgb[:, :70, :85]) > 22


def test_a_blend_is_the_mean_of_tiles_by_their_distance_to_the_edge() -> None:
    """Computed anew, pixel by pixel, as the specification says."""
    network = autoencoder(VARIANTS["wan"])
    latents = np.random.default_rng(0).normal(size=(8, 2, 5, 9)).astype(np.float32)
    total, weight = np.zeros((5, 40, 72, 3)), np.zeros((40, 72, 1))
    for start in (0, 3):  # ceil((9 - 3) / (6 - 3)) = 2 windows
        part = torch.from_numpy(latents[None, ..., start : start + 6])
        with torch.no_grad():
            frames = network.decode(part)[0].clamp(-1, 1).permute(1, 2, 3, 0).numpy()
        for column in range(48):
            share = min(min(column, 47 - column) + 1, 3 * 8 + 1) / (3 * 8 + 1)
            for row in range(40):
                total[:, row, start * 8 + column] += share * frames[:, row, column]
                weight[row, start * 8 + column] += share
    wanted = (np.clip(total / weight, -1, 1) + 1) * 127.5
    shown = np.concatenate(list(stage(network).decode(latents, (5, 40, 72), plan=TILES)))
    assert np.abs(shown - wanted).max() <= 0.51
    whole = np.concatenate(list(stage(network).decode(latents, (5, 40, 72))))
    assert not np.array_equal(shown, whole)


def test_pictures_of_a_codec_are_cut_into_the_same_tiles(motion_models: Models) -> None:
    door = motion_models.autoencoder
    rgb = np.stack(tiny.clip(128, 96, 5))
    latents = door.encode(rgb)
    plan = TilePlan(size=4, overlap=1)
    shown = np.concatenate(list(door.decode(latents, (5, 90, 120), rgb, plan)))
    assert shown.shape == (5, 90, 120, 3)
    assert psnr(shown, rgb[:, :90, :120]) > 24


@pytest.mark.parametrize("width", [72, 67])
def test_an_encoder_blends_its_tiles_in_the_same_way(width: int) -> None:
    rgb = np.stack(tiny.clip(width, 40, 5))
    network = autoencoder(VARIANTS["wan"])
    total, weight = np.zeros((8, 2, 5, 9)), np.zeros(9)
    for start in (0, 3):
        share = np.array([1, 2, 3, 3, 2, 1]) / 4
        part = stage(network).encode(rgb[:, :, start * 8 : (start + 6) * 8])
        total[..., start : start + 6] += share * part
        weight[start : start + 6] += share
    tiled = AutoencoderStage(network, Execution.choose("cpu"), TILES).encode(rgb)
    assert np.allclose(tiled, total / weight, atol=1e-5)
    assert not np.allclose(tiled, stage(network).encode(rgb), atol=1e-3)


def test_a_linear_analysis_needs_no_tiles() -> None:
    rgb = np.stack(tiny.clip(80, 64, 5))
    network = autoencoder(VARIANTS["linear"])
    tiled = AutoencoderStage(network, Execution.choose("cpu"), TILES).encode(rgb)
    assert np.array_equal(tiled, stage(network).encode(rgb))


def test_what_is_not_a_number_is_grey() -> None:
    network = autoencoder(VARIANTS["wan"])
    latents = np.full((8, 1, 2, 2), np.nan, np.float32)
    (block,) = stage(network).decode(latents, (1, 16, 16))
    assert (block == 128).all()
