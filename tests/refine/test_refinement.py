"""Refinement: windows that cover everything, levels, the silent adapter, the door."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests import tiny

from gencodec.execution import Execution
from gencodec.packs.models import load_networks
from gencodec.refine import (
    RefineStage,
    VelocityModel,
    euler,
    level_of_error,
    noise_for,
    noise_levels,
)
from gencodec.tiles import TilePlan, ramp

SHAPE = (tiny.CHANNELS, 5, 9, 11)


@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    frames=st.integers(0, 12),
    size=st.integers(0, 20),
    overlap=st.integers(0, 255),
)
def test_windows_cover_everything_and_share_what_was_asked(
    shape: tuple[int, int, int], frames: int, size: int, overlap: int
) -> None:
    plan = TilePlan(frames=frames, size=size, overlap=overlap)
    windows = plan.windows(shape)
    weight = np.zeros(shape, np.float32)
    for window in windows:
        share = ramp(window, overlap)
        assert share.min() > 0
        assert share.max() <= 1
        weight[window] += share
    assert weight.min() > 0
    for axis, tile in enumerate((frames, size, size)):
        spans = sorted({(w[axis].start, w[axis].stop) for w in windows})
        assert spans[0][0] == 0
        assert spans[-1][1] == shape[axis]
        length = min(tile or shape[axis], shape[axis])
        assert all(stop - start == length for start, stop in spans)
        shared = min(overlap, tile // 2)
        assert all(a[1] - b[0] >= shared for a, b in pairwise(spans))
        assert len(spans) <= (2 * -(-shape[axis] // length) if tile else 1)


@given(start=st.integers(1, 1000), steps=st.integers(1, 20))
def test_levels_fall_evenly_to_zero(start: int, steps: int) -> None:
    levels = noise_levels(start, steps)
    assert len(levels) == steps + 1
    assert np.isclose(levels[0], start / 1000)
    assert levels[-1] == 0
    assert np.allclose(np.diff(levels), -start / 1000 / steps)


def test_levels_without_steps_and_errors() -> None:
    assert noise_levels(0, 0) == noise_levels(500, 0) == (0.0,)
    for start, steps in ((0, 1), (-1, 1), (1001, 1), (500, -1)):
        with pytest.raises(ValueError, match="start level"):
            noise_levels(start, steps)


@given(rms=st.floats(0, 1e6))
def test_the_level_of_an_error_rises_with_it(rms: float) -> None:
    assert 1 <= level_of_error(rms) <= level_of_error(2 * rms) <= 999
    assert [level_of_error(known) for known in (0.0, 0.25, 1.0, 4.0)] == [1, 200, 500, 800]


def test_a_new_model_is_silent_about_its_condition() -> None:
    torch.manual_seed(0)
    model = VelocityModel(tiny.COMPONENTS["refiner"]).eval()
    latents = torch.randn(2, tiny.CHANNELS, 2, 3, 4)
    sigma = torch.tensor([0.3, 0.9])
    with torch.no_grad():
        alone = model(latents, sigma, None)
        conditioned = model(latents, sigma, torch.randn(2, 2 * tiny.CHANNELS, 2, 3, 4))
    assert torch.equal(alone, conditioned)
    assert alone.shape == latents.shape
    assert float(alone.abs().max()) > 0


def test_the_adapter_learns_from_its_silence() -> None:
    torch.manual_seed(0)
    model = VelocityModel(tiny.COMPONENTS["refiner"])
    adapter = model.adapter_parameters()
    names = {id(p): name for name, p in model.named_parameters()}
    assert all("vace" in names[id(p)] for p in adapter)
    assert sum("vace" in name for name in names.values()) == len(adapter)
    latents = torch.randn(1, tiny.CHANNELS, 2, 3, 4)
    out = model(latents, torch.tensor([0.5]), torch.randn(1, 2 * tiny.CHANNELS, 2, 3, 4))
    out.square().sum().backward()
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in adapter)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_new_residual_model_leads_back_to_the_decoded_latents(steps: int) -> None:
    torch.manual_seed(0)
    model = VelocityModel({**tiny.COMPONENTS["refiner"], "residual": True}).eval()
    assert model.gain is not None
    decoded = torch.randn(2, tiny.CHANNELS, 2, 3, 4)
    condition = torch.cat([decoded, torch.randn(decoded.shape)], 1)
    levels = noise_levels(400, steps)
    starts = [0.6 * decoded + 0.4 * noise for noise in (0 * decoded, torch.randn(decoded.shape))]
    with torch.no_grad():
        for start in starts:
            assert torch.allclose(euler(model, start, levels, condition), decoded, atol=1e-5)
    assert any(p is model.gain for p in model.adapter_parameters())
    torch.nn.init.ones_(model.gain)
    with torch.no_grad():
        moved = euler(model, starts[0], levels, condition)
    assert float((moved - decoded).abs().mean()) > 0.01


def test_euler_follows_a_straight_flow_exactly() -> None:
    class Straight(torch.nn.Module):
        def forward(self, x: torch.Tensor, sigma: torch.Tensor, condition: Any) -> torch.Tensor:  # noqa: ANN401
            seen.append(float(sigma[0]))
            return noise - clean

    seen: list[float] = []
    noise, clean = torch.full((1, 1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1, 1), -1.0)
    start = 0.25 * clean + 0.75 * noise
    end = euler(Straight(), start, noise_levels(750, 3), clean)  # type: ignore[arg-type]
    assert torch.allclose(end, clean)
    assert seen == [0.75, 0.5, 0.25]


@pytest.fixture(scope="module")
def stage(tiny_folder: Path) -> RefineStage:
    return RefineStage(load_networks(tiny_folder)["refiner"], Execution.choose("cpu"))


@pytest.fixture(scope="module")
def inputs() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Latents and features; not to be changed."""
    return noise_for(1, 0, SHAPE), noise_for(2, 0, SHAPE)


def refined(
    stage: RefineStage,
    inputs: tuple[NDArray[np.float32], NDArray[np.float32]],
    plan: TilePlan = TilePlan(),  # noqa: B008 - frozen
    **settings: Any,  # noqa: ANN401
) -> NDArray[np.float32]:
    given = {"start_level": 300, "steps": 1, "noise": None, **settings}
    result = stage.refine(*inputs, plan=plan, **given)
    assert result is not None
    return result


def test_zero_steps_give_the_input_back(stage: RefineStage, inputs: Any) -> None:  # noqa: ANN401
    assert refined(stage, inputs, start_level=0, steps=0) is inputs[0]


def test_windows_join_to_the_whole_or_something_near(stage: RefineStage, inputs: Any) -> None:  # noqa: ANN401
    whole, same, tiled = (
        refined(stage, inputs, plan, steps=2)
        for plan in (
            TilePlan(),
            TilePlan(frames=5, size=11, overlap=3),  # one window that holds everything
            TilePlan(frames=3, size=6, overlap=2),
        )
    )
    assert whole.shape == SHAPE
    assert whole.dtype == np.float32
    assert np.allclose(whole, same, atol=1e-5)
    assert not np.array_equal(whole, tiled)
    assert np.abs(whole - tiled).mean() < 0.2 * np.abs(whole - inputs[0]).mean()


def test_noise_and_condition_matter(stage: RefineStage, inputs: Any) -> None:  # noqa: ANN401
    latents, features = inputs
    noise = noise_for(7, 0, SHAPE)
    plain = refined(stage, inputs)
    assert np.array_equal(plain, refined(stage, inputs, noise=np.zeros_like(noise)))
    assert not np.array_equal(plain, refined(stage, inputs, noise=noise))
    assert not np.array_equal(plain, refined(stage, (latents, -features)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_gives_none(value: float, stage: RefineStage, inputs: Any) -> None:  # noqa: ANN401
    latents = inputs[0].copy()
    latents[0, 2, 3, 3] = value
    plan = TilePlan(frames=3, size=6, overlap=2)
    result = stage.refine(latents, inputs[1], start_level=300, steps=1, noise=None, plan=plan)
    assert result is None
