"""Training a motion codec: its start in closed form, its loop, its optimiser."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny
from torch import Tensor, nn

from gencodec.geometry import GroupQuality
from gencodec.latents import split_blocks
from gencodec.packs.defaults import Defaults
from gencodec.packs.models import Models, build_codec
from gencodec.symbols import PriorConfig, Tables
from gencodec.transform import INTER, MotionCodec, MotionStage, search_motion


def clip(frames: int, width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    return np.stack(tiny.clip(width, height, frames))


def tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """Frames [T, H, W, 3] as training sees them, [1, 3, T, H, W]."""
    return torch.from_numpy(rgb).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


@pytest.fixture
def bench(training: ModuleType) -> Any:  # noqa: ANN401
    """The tiny motion pack as training starts it."""
    torch.manual_seed(0)
    made = training.trainer._workbench(tiny.MOTION_COMPONENTS, None, None, torch.device("cpu"))
    tiny.set_linear_path(made.autoencoder.linear)
    tiny.set_codec(made.codec)
    return made


# -- the codec in training -------------------------------------------------------------------------


@torch.no_grad()
def test_training_sees_the_symbols_that_the_encoder_writes(
    training: ModuleType, motion_models: Models
) -> None:
    stage: Any = motion_models.transform
    assert isinstance(stage, MotionStage)
    rgb = clip(9)
    written: list[NDArray[np.int32]] = []

    def write(y: NDArray[np.int32], _z: Any, _quality: int) -> NDArray[np.int16]:  # noqa: ANN401
        written.append(y)
        return y.astype(np.int16)

    coded: Any = stage.encode(stage.prepare(rgb), GroupQuality(anchor=40, inter=25), write)
    indices = torch.tensor([40]), torch.tensor([25])
    steps = list(training.coding.coded_steps(stage._codec, None, tensor(rgb), *indices))
    assert [step.kind for step in steps] == [0, INTER, INTER]
    for t, step in enumerate(steps):
        assert np.array_equal(step.coded.symbols[0].numpy(), written[t])
        assert np.allclose(step.features[0].numpy(), coded.features[:, t], atol=1e-4)
    shown = torch.cat([step.decoded for step in steps], 2)[0].permute(1, 2, 3, 0).clamp(-1, 1)
    assert np.abs((shown.numpy() + 1) * 127.5 - coded.pictures).max() < 0.51


@pytest.mark.parametrize("name", ["PictureTraining", "MotionTraining", "SequenceTraining"])
def test_every_parameter_of_a_stage_gets_a_gradient(
    name: str,
    training: ModuleType,
    bench: Any,  # noqa: ANN401
) -> None:
    bench = replace(bench, lpips=lambda made, true: (made - true).abs().mean((1, 2, 3)))
    stage = getattr(training.motion, name)(bench)
    frames = tensor(clip(9, 96, 64)).expand(2, -1, -1, -1, -1)
    loss, numbers = stage.loss(frames)
    loss.backward()
    assert np.isfinite(float(loss.detach()))
    assert numbers["bpp"] > 0
    rated = [p for rate in stage.rates() for p in rate.parameters]
    codec = {id(p): key for key, p in bench.codec.named_parameters()}
    expected = {codec[id(p)] for p in rated if id(p) in codec}
    assert {key for key, p in bench.codec.named_parameters() if p.grad is not None} == expected
    assert all(torch.isfinite(p.grad).all() for p in rated if p.grad is not None)
    trained = [p for p in stage.trained.parameters() if p.requires_grad]
    assert {id(p) for p in rated} == {id(p) for p in trained}
    assert len(rated) == len({id(p) for p in rated})


def test_the_kinds_of_parameters_train_at_their_own_rates(
    training: ModuleType,
    bench: Any,  # noqa: ANN401
) -> None:
    stage = training.motion.MotionTraining(bench)
    names = {id(p): key for key, p in stage.trained.named_parameters()}
    muon, slow, fast, others = ({names[id(p)] for p in r.parameters} for r in stage.rates())
    assert "codec.filter.pixels.weight" in muon
    assert slow == set()
    assert fast == {"codec.residual_steps"}
    assert "codec.filter_gains" in others
    assert [rate.muon for rate in stage.rates()] == [True, False, False, False]


@pytest.mark.parametrize(("below", "shift"), [(0, 0), (7, 20)])
def test_material_is_coded_as_files_have_it(
    below: int,
    shift: int,
    bench: Any,  # noqa: ANN401
) -> None:
    bench = replace(bench, defaults=Defaults(half_below=below, half_shift=shift))
    x = torch.linspace(-1, 1, 64).expand(400, 3, 1, 32, 64)  # half the size doubles its slope
    small, anchor, quality = bench.coded_material(x)
    assert small.shape == (400, 3, 1, 16, 32)
    half = small[:, 0, 0, 0, 1] - small[:, 0, 0, 0, 0] > 3 / 63
    assert half.any() == bool(below + shift)
    assert all(quality[half] < below + shift)
    assert all(quality[~half] >= below)
    assert all((anchor > quality) | (anchor == 63))


# -- the start -------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.usefixtures("fit_from_few")
def test_the_fitted_transform_describes_what_it_was_fitted_to(training: ModuleType) -> None:
    """It is orthonormal, and knows what it saw."""
    codec = build_codec(tiny.MOTION_COMPONENTS["transform"])
    assert isinstance(codec, MotionCodec)
    crops = torch.cat([tensor(clip(5, 48, 48)), tensor(clip(5, 48, 48)[::-1].copy())])
    picture = codec.picture
    training.linear.fit_picture_transform(picture, repeat(crops[:, :, :1]), 1)
    forth, back = (x.weight.flatten(1) for x in (picture.linear_analysis, picture.linear_synthesis))
    assert torch.equal(forth, back.T)
    assert torch.allclose(forth @ forth.T, torch.eye(len(forth)), atol=1e-4)
    gain = torch.zeros(2, 8, 1, 1)
    coefficients = picture.analyse(crops[:, :, 0], gain)
    error = picture.synthesise(coefficients, gain) - crops[:, :, 0]
    assert error.square().mean() < 0.05 * crops[:, :, 0].var()  # 18 blocks, ten directions


@torch.no_grad()
def test_fitting_holds_one_batch_at_a_time(
    training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And batches one after the other give what they give as one."""
    linear = training.linear
    living: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = 0
    covariances: list[Tensor] = []
    blocks = linear._blocks

    def watched(frames: Tensor, stride: int) -> Tensor:
        nonlocal most
        most = max(most, len(living))
        made: Tensor = blocks(frames, stride)
        living.add(made)
        return made

    def kept(covariance: Tensor, count: int) -> Tensor:
        covariances.append(covariance)
        return covariance[:, :count]

    monkeypatch.setattr(linear, "_blocks", watched)
    monkeypatch.setattr(linear, "_strongest", kept)
    rgb = clip(20)
    crops = [tensor(rgb[start : start + 1]) for start in range(0, 20, 5)]
    codec = build_codec(tiny.MOTION_COMPONENTS["transform"])
    assert isinstance(codec, MotionCodec)
    linear.fit_picture_transform(codec.picture, iter(crops), len(crops))
    assert most <= 2
    linear.fit_picture_transform(codec.picture, iter([torch.cat(crops)]), 1)
    one_by_one, at_once = covariances
    assert torch.allclose(one_by_one, at_once, atol=1e-5)
    images = torch.cat([blocks(each, 16) for each in crops])
    assert torch.allclose(covariances[0], torch.cov(images.double().T, correction=0), atol=1e-5)


# -- the optimiser ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (1, 5), (6, 6)])
def test_orthogonal_keeps_directions_and_evens_out_their_strength(
    shape: tuple[int, int], training: ModuleType
) -> None:
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(shape[0], min(shape)))
    right, _ = torch.linalg.qr(torch.randn(shape[1], min(shape)))
    strengths = torch.logspace(-1, 1, min(shape))
    found = training.optimiser.orthogonal(left * strengths @ right.T)
    assert found.shape == shape
    cross = left.T @ found @ right
    assert (cross.diagonal() - 1).abs().max() < 0.35
    assert (cross - torch.diag(cross.diagonal())).abs().max() < 1e-3
    assert not training.optimiser.orthogonal(torch.zeros(shape)).any()


def test_without_muon_it_is_adam(training: ModuleType) -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(5, 3))
    theirs = nn.Parameter(ours.detach().clone())
    mine = training.optimiser.Optimiser([{"params": [ours]}])
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.9, 0.99), eps=1e-10)
    mine.param_groups[0]["lr"] = 0.01
    for _ in range(4):
        for optimiser, parameter in ((mine, ours), (adam, theirs)):
            optimiser.zero_grad()
            torch.autograd.backward(parameter.pow(4).sum())
            optimiser.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


class Regression:
    """A stage of its own: a matrix by Muon, the rest by Adam."""

    name = "regression"

    def __init__(self, training: ModuleType) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(6, 4, 1), nn.SiLU(), nn.Conv2d(4, 6, 1))
        self.trained = nn.ModuleDict({"network": network})
        self._rate = training.loop.Rate

    def rates(self) -> list[Any]:
        matrices = [p for p in self.trained.parameters() if p.dim() > 1]
        others = [p for p in self.trained.parameters() if p.dim() == 1]
        return [self._rate(matrices, 2.0, muon=True), self._rate([]), self._rate(others)]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        return (self.trained["network"](frames) - frames).square().mean(), {}


def steps(training: ModuleType, path: Path, first: int, last: int) -> tuple[Any, list[float]]:
    """Train from the checkpoint at `path`, if there is one, and leave another there."""
    checkpoint = training.loop.Checkpoint(Regression(training), path)
    assert checkpoint.step == first
    losses = []
    for k in range(first, last):
        frames = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(k % 3))
        losses.append(training.loop._train_step(checkpoint, frames, 0.02)["loss"])
    checkpoint.save()
    return checkpoint, losses


def test_a_resumed_run_is_the_run_that_never_stopped(training: ModuleType, tmp_path: Path) -> None:
    """Weights, averages and the moments of both optimisers."""
    whole, losses = steps(training, tmp_path / "whole", 0, 24)
    _, first = steps(training, tmp_path / "parts", 0, 9)
    parts, second = steps(training, tmp_path / "parts", 9, 24)
    assert first + second == losses
    assert sum(losses[-6:]) < 0.7 * sum(losses[:6])
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert all(torch.equal(value, parts.average[key]) for key, value in whole.average.items())


def test_the_error_of_a_key_picture_counts_for_the_frames_made_of_it(training: ModuleType) -> None:
    picture_error, motion_error = training.motion.picture_error, training.motion.motion_error
    true = torch.zeros(2, 3, 4, 8, 8)
    key, between = true.clone(), true.clone()
    key[:, :, 3], between[:, :, 1] = 0.1, 0.1
    alone = picture_error(key, true)
    assert torch.allclose(motion_error(key, true), 2.75 * alone)
    assert torch.allclose(motion_error(between, true), alone)


def test_an_entropy_model_takes_over_the_hyper_tables_of_a_pack(training: ModuleType) -> None:
    """Fresh, it would charge four bits for what the pack codes in half of one."""
    config = PriorConfig(**tiny.MOTION_COMPONENTS["prior"])
    arrays = tiny.exact_arrays(tiny.MOTION_COMPONENTS)
    model = training.entropy.EntropyModel(config)
    model.adopt(arrays)
    bank = Tables(config, arrays).hyper
    for kind, bottleneck in enumerate(model.hyper):
        for channel in range(config.hyper_channels):
            table = kind * config.hyper_channels + channel
            counts = bank.frequencies[bank.offsets[table] : bank.offsets[table + 1] - 1]
            shares = torch.from_numpy(counts / counts.sum())
            symbols = torch.arange(len(counts)) - float(bank.radii[table])
            likelihood, _, _ = bottleneck._likelihood(
                symbols.expand(config.hyper_channels, 1, -1).contiguous()
            )
            spent = -(shares * likelihood[channel, 0].log2()).sum()
            least = -(shares * shares.clamp(min=1e-12).log2()).sum()
            assert float(spent.detach()) < float(least) + 0.05


@torch.no_grad()
def test_the_motion_of_a_clip_is_searched_at_once(training: ModuleType) -> None:
    frames = torch.cat([tensor(clip(13)), tensor(clip(26)[::2].copy())])
    blocks = list(split_blocks(frames))
    found = training.coding._found(blocks)
    assert len(found) == 3
    for motion, before, block in zip(found, blocks, blocks[1:], strict=False):
        assert torch.equal(motion, search_motion(before[:, :, -1], block))
    assert not training.coding._found(blocks[:1])


def test_a_first_frame_learns_from_those_after_it(
    training: ModuleType,
    bench: Any,  # noqa: ANN401
) -> None:
    """In stage sequence, from their error alone; in stage motion, nothing."""
    frames = tensor(clip(9, 64, 64))
    for name, learns in (("MotionTraining", False), ("SequenceTraining", True)):
        stage = getattr(training.motion, name)(bench)
        bench.codec.zero_grad(set_to_none=True)
        _, after, _ = stage._losses(frames)
        after.backward()
        slope = bench.codec.picture_steps.grad
        assert (slope is not None and bool(slope.abs().sum() > 0)) == learns


# -- restoring -------------------------------------------------------------------------------------


def test_detail_that_repeats_with_blocks_is_told_from_detail_that_does_not(
    training: ModuleType,
) -> None:
    torch.manual_seed(0)
    flat = torch.zeros(1, 3, 2, 96, 96)
    noise = torch.randn(1, 3, 2, 96, 96) / 20
    weave = torch.randn(1, 3, 1, 32, 32).repeat(1, 1, 2, 3, 3) / 20
    repetition = training.pixels.repetition
    assert float(repetition(flat + noise, flat, flat)) < 0.05
    assert float(repetition(flat + weave, flat, flat)) > 0.3
    assert float(repetition(flat + weave, flat + weave, flat)) == 0  # the source is woven
    assert float(repetition(flat[..., :16, :16], flat[..., :16, :16], flat[..., :16, :16])) == 0


def test_parts_of_clips_belong_together(
    training: ModuleType,
    bench: Any,  # noqa: ANN401
) -> None:
    """True and coded frames of a part show the same, several of them in a step."""
    stage = training.pixels.PixelTraining(replace(bench, defaults=Defaults(half_shift=40)))
    stage._clips = stage._coded(
        torch.cat([tensor(clip(13, 320, 320)), tensor(clip(13, 320, 320)).flip(3)])
    )
    assert [c.frames.shape for c in stage._clips] == [(1, 3, 13, 320, 320)] * 2
    true, pictures, features = stage._parts(3)
    assert true.shape == pictures.shape == (3, 3, 9, 128, 128)
    assert features.shape[0] == 3
    assert features.shape[2:] == (3, 8, 8)
    apart = (true - pictures).square().mean((1, 2, 3, 4))
    assert (apart < 0.5 * (true - pictures.roll(1, 0)).square().mean((1, 2, 3, 4))).all()
