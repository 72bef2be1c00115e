"""Codec and adapter trained together beside frozen networks, in the two stages of GNVC-VD.

    align      stage I: rate, error of latents, flow matching from decoded to clean latents
    finetune   stage II: rate, pixels, LPIPS, error of latents

Rate and distortion are weighed for one model of all qualities, where the paper trains one each.

Source: GNVC-VD, arXiv 2512.05016, sections 3.3 and 3.4; VoRTeC, arXiv 2609.02291 (the start level,
the gradient past the transformer).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.refine import VelocityModel
from gencodec.training.coding import coded_steps
from gencodec.training.loop import Rate
from gencodec.training.recipe import Refinement
from gencodec.training.stages import (
    ANCHOR_WEIGHT,
    LAMBDA,
    start_level,
)
from gencodec.training.workbench import (
    Workbench,
    normal,
    random_quality,
    rate_numbers,
    spend,
    train_only,
)
from gencodec.transform import ANCHOR, LatentCodec

_LATENTS = 0.5  # worth of refined latents in stage I (the paper's lambda_r)
_WORTH = (0.05, 0.5)  # of distortion in stage II, at the lowest and the highest quality


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coded:
    """What a codec made of a batch: latents, features [b, ., t, h, w]; bits, distortion [b]."""

    latents: Tensor
    features: Tensor
    bits: Tensor
    distortion: Tensor


class _Joint:
    """What both stages share: the codec in its loop, and the sampler."""

    def __init__(self, bench: Workbench) -> None:
        if not isinstance(bench.codec, LatentCodec):
            raise PackError("stages align and finetune train latent codecs beside frozen networks")
        self._bench, self._codec = bench, bench.codec
        self._refinement = bench.refinement
        self.trained = nn.ModuleDict(
            {"codec": bench.codec, "entropy": bench.entropy, "refiner": bench.refiner}
        )
        coding = [*bench.codec.parameters(), *bench.entropy.parameters()]
        train_only(bench, [*coding, *bench.refiner.adapter_parameters()])

    def rates(self) -> list[Rate]:
        """All at the same rate; the transformer's own blocks and the autoencoder stay."""
        return [Rate([p for p in self.trained.parameters() if p.requires_grad])]

    def _code(self, frames: Tensor, quality: Tensor) -> _Coded:
        bench = self._bench
        weight = bench.autoencoder.std[:, :, 0]
        bits = distortion = torch.zeros(len(frames), device=frames.device)
        memory, decoded, features = None, [], []
        for step in coded_steps(self._codec, bench.autoencoder, frames, quality, quality):
            spent, memory = spend(bench.entropy, memory, step, quality)
            bits = bits + spent
            error = ((step.target - step.decoded) * weight).square().sum((1, 2, 3))
            distortion = distortion + error * (ANCHOR_WEIGHT if step.kind == ANCHOR else 1.0)
            decoded.append(step.decoded)
            features.append(step.features)
        return _Coded(
            latents=torch.stack(decoded, 2),
            features=torch.stack(features, 2),
            bits=bits,
            distortion=distortion,
        )

    def _start(self, coded: _Coded, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Return the start level [b, 1, 1, 1, 1] and the latents there."""
        given = self._refinement.start_level
        level = start_level(coded.latents.detach(), clean)
        level = level if given is None else torch.full_like(level, given / 1000)
        start = (1 - level) * coded.latents
        return level, start + level * normal(clean) if self._refinement.noise else start


class AlignTraining(_Joint):
    """Stage I."""

    name = "align"

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Rate and distortion a latent position, error of refined latents, flow matching."""
        bench = self._bench
        with torch.no_grad():
            clean = bench.autoencoder.encode(frames)
        quality = random_quality(len(frames), self._codec.config.qualities, frames.device)
        coded = self._code(frames, quality)
        worth = LAMBDA * self._codec.nominal_steps(quality) ** 2
        positions = clean[0, 0].numel()
        rate = ((coded.bits + coded.distortion / worth) / positions).mean()
        level, start = self._start(coded, clean)
        condition = torch.cat([coded.latents, coded.features], 1)
        share = random.random()  # noqa: S311
        current = share * start + (1 - share) * clean
        velocity = bench.refiner(current, share * level.flatten(), condition)
        matching = (velocity - (start - clean) / level).square().mean()
        refined = sample(bench.refiner, start, level, condition, self._refinement)
        error = (refined - clean).square().mean()
        base = float((coded.latents.detach() - clean).square().mean())
        numbers = {"matching": float(matching.detach()), "base": base}
        numbers |= {"refined": float(error.detach()), **rate_numbers(coded.bits, frames)}
        return rate + _LATENTS * error + matching, numbers


class FinetuneTraining(_Joint):
    """Stage II; the gradient passes the autoencoder's decoder, which stays as it is."""

    name = "finetune"

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Bits a pixel, and pixels, LPIPS, decoded and refined latents at the quality's worth."""
        bench, top = self._bench, self._codec.config.qualities - 1
        with torch.no_grad():
            clean = bench.autoencoder.encode(frames)
        quality = random_quality(len(frames), top + 1, frames.device)
        coded = self._code(frames, quality)
        level, start = self._start(coded, clean)
        condition = torch.cat([coded.latents, coded.features], 1)
        refined = sample(bench.refiner, start, level, condition, self._refinement)
        made = bench.autoencoder.decode(refined)
        axes = (1, 2, 3, 4)
        distortion = (made - frames).square().mean(axes)
        distortion = distortion + (coded.latents - clean).square().mean(axes)
        distortion = distortion + (refined - clean).square().mean(axes)
        numbers = {"mse": float((made - frames).detach().square().mean())}
        if bench.lpips is not None:
            pairs = [x.transpose(1, 2).flatten(0, 1) for x in (made, frames)]
            perceptual = bench.lpips(*pairs).view(len(frames), -1).mean(1)
            distortion = distortion + self._refinement.lpips * perceptual
            numbers["lpips"] = float(perceptual.detach().mean())
        low, high = _WORTH
        worth = low * (high / low) ** (quality / top)
        loss = (coded.bits / frames[0, 0].numel() + worth * distortion).mean()
        return loss, numbers | rate_numbers(coded.bits, frames)


def sample(
    model: VelocityModel, start: Tensor, level: Tensor, condition: Tensor, refinement: Refinement
) -> Tensor:
    """Follow the flow from `start` at `level` [b, 1, 1, 1, 1] to 0 in one of the numbers of steps.

    The gradient passes all steps, the last one, or none of them ("cut"), where it goes straight to
    the start.
    """
    count = random.choice(refinement.steps)  # noqa: S311
    x = start
    for k in range(count):
        passes = refinement.gradient == "all" or (refinement.gradient == "last" and k == count - 1)
        with torch.set_grad_enabled(passes and torch.is_grad_enabled()):
            sigma = level.flatten() * ((count - k) / count)
            x = x - level / count * model(x, sigma, condition)
    if refinement.gradient == "cut":
        x = x.detach() + start - start.detach()
    return x
