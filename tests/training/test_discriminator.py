"""Discriminators learn what is made, and ask made frames to be like true ones."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


class Features:
    """Stands for VGG16: five layers of fixed random features, each half as large."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        widths = (64, 128, 256, 512, 512)
        self.kernels = [torch.randn(n, 3, 3, 3, generator=generator) for n in widths]

    def features(self, pictures: Tensor) -> list[Tensor]:
        layers = [F.conv2d(pictures, kernel, padding=1).relu() for kernel in self.kernels]
        return [F.avg_pool2d(layer, 2**k) for k, layer in enumerate(layers)]


@pytest.fixture
def discriminator(training: ModuleType) -> Any:  # noqa: ANN401
    torch.manual_seed(0)
    random.seed(0)
    return training.discriminator.Discriminator(Features())


def clips(*, noisy: bool, frames: int = 5) -> Tensor:
    """Flat clips [2, 3, T, 48, 48], with or without noise."""
    flat = torch.rand(2, 3, 1, 1, 1).expand(-1, -1, frames, 48, 48) - 0.5
    return flat + 0.4 * torch.randn_like(flat) if noisy else flat.contiguous()


def test_it_learns_to_tell_made_from_true(discriminator: Any) -> None:  # noqa: ANN401
    before = clips(noisy=False)
    losses = [discriminator.learn(clips(noisy=False), clips(noisy=True), before) for _ in range(60)]
    assert losses[0] == pytest.approx(2, abs=0.3)  # knows nothing
    assert sum(losses[-20:]) / 20 < 0.8 * losses[0]
    with torch.no_grad():
        doubts = [discriminator.doubt(clips(noisy=noisy), before) for noisy in (False, True)]
    assert doubts[0] > doubts[1] + 0.5


def test_every_parameter_learns_and_none_by_doubting(discriminator: Any) -> None:  # noqa: ANN401
    parts = dict(discriminator.named_parameters())
    old = {name: p.detach().clone() for name, p in parts.items()}
    discriminator.learn(clips(noisy=False), clips(noisy=True), clips(noisy=False))
    assert all(not torch.equal(p, old[name]) for name, p in parts.items())
    old = {name: p.detach().clone() for name, p in parts.items()}
    made = clips(noisy=False).requires_grad_()
    (pull,) = torch.autograd.grad(discriminator.doubt(made, clips(noisy=False)), made)
    assert torch.isfinite(pull).all()
    assert pull.abs().sum() > 0
    assert all(torch.equal(p, old[name]) for name, p in parts.items())


def test_it_sees_what_was_there_before(discriminator: Any) -> None:  # noqa: ANN401
    made = clips(noisy=True, frames=3)
    doubts = []
    for noisy in (False, True):
        random.seed(0)
        torch.manual_seed(1)
        doubts.append(float(discriminator.doubt(made, clips(noisy=noisy, frames=3)).detach()))
    assert doubts[0] != doubts[1]


def test_flicker_is_seen_although_each_frame_looks_true(discriminator: Any) -> None:  # noqa: ANN401
    """Frames are the same in both, but in another order."""
    picture = torch.randn(2, 3, 1, 48, 48) * 0.4
    true = picture + torch.tensor([0.0, 0.1, 0.2]).view(1, 1, 3, 1, 1)
    verdicts = [
        discriminator._verdicts(true[:, :, order], true, discriminator._context(true))[-1].mean()
        for order in ([0, 1, 2], [2, 1, 0])
    ]
    assert verdicts[0] != verdicts[1]


@pytest.mark.parametrize("share", [0.25, 2.0])
def test_its_gradient_is_a_share_of_the_loss_s(
    share: float,
    training: ModuleType,
    discriminator: Any,  # noqa: ANN401
) -> None:
    class Bench:
        adversarial = share

        @staticmethod
        def picture_loss(made: Tensor, true: Tensor, _kind: str) -> tuple[Tensor, dict[str, float]]:
            return 3 * (made - true).square().mean(), {}

    stage = training.pixels.PixelTraining.__new__(training.pixels.PixelTraining)
    stage._bench, stage._discriminator = Bench(), discriminator
    true, before = clips(noisy=True), clips(noisy=False)
    made = clips(noisy=False).requires_grad_()
    loss, numbers = stage._adversarial(discriminator, made, true, before)
    expected, _ = Bench.picture_loss(made, true, "")
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert numbers["discriminator"] > 0
    (whole,) = torch.autograd.grad(loss, made)
    (own,) = torch.autograd.grad(expected, made)
    assert float((whole - own).norm()) == pytest.approx(share * float(own.norm()), rel=1e-3)
