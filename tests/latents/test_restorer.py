"""The restorer: adds nothing at first, and does not depend on how a clip is cut into blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests import tiny

from gencodec.execution import Execution
from gencodec.latents import AutoencoderStage, RestorerConfig
from gencodec.latents.restorer import Restorer
from gencodec.packs.models import Models, build_networks

SIZES = RestorerConfig(fine_width=6, fine_depths=(1, 1), coarse_width=8, coarse_depth=1, stride=16)


def restorer() -> Restorer:
    torch.manual_seed(0)
    network = Restorer(5, SIZES)
    torch.nn.init.normal_(network.pixels.weight, std=0.1)
    return network.eval()


@torch.no_grad()
def test_a_new_restorer_adds_nothing() -> None:
    made = Restorer(5, SIZES)(torch.rand(2, 3, 4, 32, 48), None, torch.rand(2, 5, 2, 3))
    assert made.shape == (2, 3, 4, 32, 48)
    assert not made.any()


@torch.no_grad()
def test_each_frame_sees_the_one_before_and_no_other() -> None:
    network, latents = restorer(), torch.rand(1, 5, 2, 3)
    frames = torch.rand(1, 3, 5, 32, 48)
    whole = network(frames[:, :, 1:], frames[:, :, 0], latents)
    assert torch.allclose(
        network(frames[:, :, 3:4], frames[:, :, 2], latents), whole[:, :, 2:3], atol=1e-5
    )
    changed = frames.clone()
    changed[:, :, 2] += 0.3
    moved = (network(changed[:, :, 1:], changed[:, :, 0], latents) - whole).abs().amax((0, 1, 3, 4))
    assert (moved > 1e-4).tolist() == [False, True, True, False]


@torch.no_grad()
def test_a_still_clip_is_restored_alike_in_every_frame() -> None:
    network, latents = restorer(), torch.rand(1, 5, 2, 3)
    still = torch.rand(1, 3, 1, 32, 48).expand(-1, -1, 4, -1, -1)
    first = network(still[:, :, :1], None, latents)
    assert torch.allclose(network(still, still[:, :, 0], latents), first, atol=1e-5)
    assert float(first.abs().mean()) > 1e-3


@torch.no_grad()
def test_latents_reach_the_pixels_they_stand_for() -> None:
    network, latents = restorer(), torch.rand(1, 5, 8, 8)
    frames = torch.rand(1, 3, 1, 128, 128)
    changed = latents.clone()
    changed[:, :, 4, 4] += 1
    moved = (network(frames, None, changed) - network(frames, None, latents)).abs().amax((0, 1, 2))
    assert float(moved[64:80, 64:80].max()) > 1e-4
    assert not moved[:16].any()
    assert not moved[:, :16].any()


@torch.no_grad()
def test_bfloat16_changes_next_to_nothing() -> None:
    network, latents = restorer(), torch.rand(1, 5, 2, 3)
    frames = torch.rand(1, 3, 4, 32, 48)
    exact = network(frames, None, latents)
    network.autocast = torch.bfloat16
    made = network(frames, None, latents)
    assert made.dtype == torch.float32
    assert 0 < float((made - exact).std()) < 0.02 * float(exact.std())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_stage_restores_in_the_format_of_its_execution(dtype: torch.dtype) -> None:
    network = build_networks(tiny.MOTION_COMPONENTS, ("autoencoder",))["autoencoder"]
    torch.nn.init.normal_(network.restorer.pixels.weight, std=0.1)
    execution = replace(Execution.choose("cpu"), restorer_dtype=dtype)
    used, channels_last = [], []

    def seen(_module: object, inputs: tuple[torch.Tensor], made: torch.Tensor) -> None:
        used.append(made.dtype)
        channels_last.append(inputs[0].stride(1) == 1)

    network.restorer.pixels.register_forward_hook(seen)
    latents = np.zeros((tiny.CHANNELS, 1, 2, 3), np.float32)
    pictures = np.zeros((1, 32, 48, 3), np.uint8)
    list(AutoencoderStage(network, execution).decode(latents, (1, 32, 48), pictures))
    assert used == [dtype]
    assert channels_last == [True]


@torch.no_grad()
def test_only_frames_that_are_known_are_restored(motion_models: Models) -> None:
    del motion_models
    network = build_networks(tiny.MOTION_COMPONENTS, ("autoencoder",))["autoencoder"].eval()
    for parameter in network.restorer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    latents, pictures = torch.rand(1, tiny.CHANNELS, 2, 2, 3), torch.rand(1, 3, 5, 32, 48)
    alone, known = network.decode(latents), network.decode(latents, pictures)
    torch.nn.init.zeros_(network.restorer.pixels.weight)
    torch.nn.init.zeros_(network.restorer.pixels.bias)
    assert torch.equal(network.decode(latents), alone)
    assert not torch.allclose(network.decode(latents, pictures), known)


@pytest.mark.parametrize("latents", [1, 2, 4])
@torch.no_grad()
def test_latents_that_say_the_same_leave_frames_to_the_restorer(latents: int) -> None:
    """A new restorer: what was decoded comes back, and latents only tell how it differs."""
    network = build_networks(tiny.MOTION_COMPONENTS, ("autoencoder",))["autoencoder"].eval()
    pictures = torch.rand(1, 3, 4 * latents - 3, 32, 48)
    shown = network.decode(network.encode(pictures), pictures)
    assert torch.allclose(shown, pictures, atol=1e-4)
