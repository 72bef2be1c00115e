"""The networks of a pack in training, and what the stages that train them share."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gencodec.latents import Autoencoder
from gencodec.refine import VelocityModel
from gencodec.training.coding import Codec, Step
from gencodec.training.entropy import EntropyModel
from gencodec.training.perceptual import Lpips

_PERCEPTUAL = 0.5  # LPIPS against mean absolute error of pixels in -1..1
_FLICKER = 0.5  # error of the change from frame to frame, likewise
_PART = 128  # pixels a side that LPIPS sees of a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """The networks of a pack in training."""

    autoencoder: Autoencoder
    codec: Codec
    entropy: EntropyModel
    refiner: VelocityModel
    lpips: Lpips | None

    def perceived(self, made: Tensor, true: Tensor) -> Tensor:
        """Return LPIPS [b] of a part of one frame of clips [b, 3, t, H, W]; 0 without weights.

        A part, because LPIPS of whole frames would take more time than the codec.
        """
        if self.lpips is None:
            return made.new_zeros(len(made))
        time = random.randrange(made.shape[2])  # noqa: S311 - which part, not a secret
        top, left = (random.randrange(max(1, n - _PART + 1)) for n in made.shape[3:])  # noqa: S311
        part = (..., time, slice(top, top + _PART), slice(left, left + _PART))
        return self.lpips(made[part], true[part]).flatten()

    def picture_loss(
        self, made: Tensor, true: Tensor, kind: str
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of clips [b, 3, T, H, W] in -1..1, and its parts for the log.

        Mean absolute error of pixels, the same of their change from frame to frame (flicker), and
        LPIPS of the first and one other frame.
        """
        error = (made - true).abs().mean()
        change = (made.diff(dim=2) - true.diff(dim=2)).abs().mean()
        loss = error + _FLICKER * change
        numbers = {f"{kind}_l1": float(error.detach()), f"{kind}_flicker": float(change.detach())}
        if self.lpips is not None:
            picks = [0, random.randrange(made.shape[2])]  # noqa: S311 - which frames, not a secret
            pictures = [x[:, :, picks].transpose(1, 2).flatten(0, 1) for x in (made, true)]
            perceptual = self.lpips(*pictures).mean()
            loss = loss + _PERCEPTUAL * perceptual
            numbers[f"{kind}_lpips"] = float(perceptual.detach())
        return loss, numbers


def train_only(bench: Workbench, trained: Iterable[nn.Parameter]) -> None:
    """Let these parameters train and no others."""
    for network in (bench.autoencoder, bench.codec, bench.entropy, bench.refiner):
        network.requires_grad_(requires_grad=False)
    for parameter in trained:
        parameter.requires_grad_()


def random_quality(batch: int, qualities: int, device: torch.device) -> Tensor:
    """Draw quality indices [b]: two thirds from the lower two thirds, where the product works."""
    top = qualities if random.random() < 1 / 3 else 2 * qualities // 3  # noqa: S311
    return torch.randint(0, top, (batch,), device=device)


def spend(
    entropy: EntropyModel, memory: Tensor | None, step: Step, quality: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the bits [b] of a step and the prior's next state; `memory` is None at the start."""
    if memory is None:
        memory = entropy.prior.start(len(step.symbols), *step.symbols.shape[-2:])
    return entropy.bits(memory, step.symbols, step.hyper, quality, step.kind)


def rate_numbers(bits: Tensor, frames: Tensor) -> dict[str, float]:
    """Return the mean rate of clips for the log."""
    return {"bpp": float(bits.detach().mean()) / frames[0, 0].numel()}
