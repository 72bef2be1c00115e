"""The stages that make a pack, in order; each trains some networks and freezes the others.

    autoencoder   frames -> latents -> frames, on clean and on coarsely quantised latents
    codec         latent codec: rate of the symbols + distortion of the decoded latents
    picture, motion, sequence: of a motion codec, in `motion.py`
    flow          the transformer as a prior: flow matching on clean latents, all noise levels
    adapter       stage I: flow from decoded to clean latents, adapter only, backbone frozen

Stage II, which ends the order, is in `pixels.py`; the stages of packs that build on published
networks are in `joint.py`.

Source: GNVC-VD, arXiv 2512.05016 (losses of stages I and II); VoRTeC, arXiv 2609.02291 (the start
level).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.latents import Autoencoder
from gencodec.training.coding import coded_clip, coded_steps
from gencodec.training.loop import Rate
from gencodec.training.workbench import (
    Workbench,
    normal,
    random_quality,
    rate_numbers,
    spend,
    train_only,
)
from gencodec.transform import ANCHOR, LatentCodec, dead_zone_round

LAMBDA = 0.1  # distortion worth one bit, in squared quantiser steps (HEVC: 0.57 * 2^(-8/3))
ANCHOR_WEIGHT = 2.0  # distortion of the anchor counts more: the latents after it build on it


class AutoencoderTraining:
    """Reconstruction from clean latents and from latents quantised at a random step."""

    name = "autoencoder"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        network = bench.autoencoder
        fixed = [] if network.network_encoder else analysis_of(network)
        train_only(bench, without(network.parameters(), fixed))
        self.trained = nn.ModuleDict({"autoencoder": network})

    def rates(self) -> list[Rate]:
        """The linear path moves at a tenth of the rate; alone, its analysis stays as it is."""
        return autoencoder_rates(self._bench.autoencoder)

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Picture loss of reconstructed frames."""
        network = self._bench.autoencoder
        latents = network.encode(frames)
        coarse = random.random() < 0.65  # noqa: S311
        if coarse:
            step = math.exp(random.uniform(math.log(0.3), math.log(5)))  # noqa: S311
            symbols = dead_zone_round(latents * network.std / step, 0.15).symbols
            latents = symbols * step / network.std
        kind = "coarse" if coarse else "clean"
        return self._bench.picture_loss(network.decode(latents), frames, kind)


class LatentCodecTraining:
    """Latent codec: rate plus distortion of latents at random quality indices."""

    name = "codec"

    def __init__(self, bench: Workbench) -> None:
        if not isinstance(bench.codec, LatentCodec):
            raise PackError(
                "stage codec trains latent codecs; this pack's has stages picture, motion, sequence"
            )
        self._bench, self._codec = bench, bench.codec
        self.trained = nn.ModuleDict({"codec": bench.codec, "entropy": bench.entropy})
        train_only(bench, self.trained.parameters())

    def rates(self) -> list[Rate]:
        """All at the same rate."""
        return [Rate(list(self.trained.parameters()))]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Bits and weighted squared error a latent position."""
        bench = self._bench
        quality = random_quality(len(frames), bench.codec.config.qualities, frames.device)
        weight = bench.autoencoder.std[:, :, 0]
        bits = distortion = torch.zeros(len(frames), device=frames.device)
        memory = None
        for step in coded_steps(bench.codec, bench.autoencoder, frames, quality, quality):
            spent, memory = spend(bench.entropy, memory, step, quality)
            error = ((step.target - step.decoded) * weight).square().sum((1, 2, 3))
            bits = bits + spent
            distortion = distortion + error * (ANCHOR_WEIGHT if step.kind == ANCHOR else 1.0)
        worth = LAMBDA * self._codec.nominal_steps(quality) ** 2
        positions = frames[0, 0].numel() / self._bench.autoencoder.stride**2
        loss = ((bits + distortion / worth) / positions).mean()
        return loss, rate_numbers(bits, frames)


class FlowTraining:
    """Flow matching on clean latents; clean first or first and last latents are given at random."""

    name = "flow"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        adapter = bench.refiner.adapter_parameters()
        train_only(bench, without(bench.refiner.parameters(), adapter))
        self.trained = nn.ModuleDict({"refiner": bench.refiner})

    def rates(self) -> list[Rate]:
        """The backbone; the adapter learns in the next stage."""
        return [Rate(_trainable(self.trained.parameters()))]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the velocity."""
        with torch.no_grad():
            clean = self._bench.autoencoder.encode(frames)
        noise = normal(clean)
        sigma = torch.sigmoid(normal(clean[:, 0, 0, 0, 0]))
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = (1 - level) * clean + level * noise
        given = torch.zeros(clean.shape[2], dtype=torch.bool, device=clean.device)
        if len(given) > 1:  # something must be left to learn
            given[: random.choice((0, 0, 1))] = True  # noqa: S311
        if given[0] and len(given) > 2:
            given[-1] = random.random() < 0.5  # noqa: S311
        noisy = torch.where(given.view(1, 1, -1, 1, 1), clean, noisy)
        velocity = self._bench.refiner(noisy, sigma, None)
        loss = (velocity - (noise - clean))[:, :, ~given].square().mean()
        return loss, {}


class AdapterTraining:
    """Stage I: the straight path from scaled decoded latents to clean ones, backbone frozen."""

    name = "adapter"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        train_only(bench, bench.refiner.adapter_parameters())
        self.trained = nn.ModuleDict({"refiner": bench.refiner})

    def rates(self) -> list[Rate]:
        """Adapter only."""
        return [Rate(self._bench.refiner.adapter_parameters())]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the velocity, in units of the latents."""
        with torch.no_grad():
            clean = self._bench.autoencoder.encode(frames)
            quality = random_quality(len(frames), self._bench.codec.config.qualities, frames.device)
            coded = coded_clip(self._bench.codec, self._bench.autoencoder, frames, quality)
        decoded = coded.latents
        first = start_level(decoded, clean)
        start = (1 - first) * decoded
        share = 1.0 if random.random() < 0.5 else random.uniform(0.1, 1.0)  # noqa: S311
        current = share * start + (1 - share) * clean
        condition = torch.cat([decoded, coded.features], 1)
        velocity = self._bench.refiner(current, share * first.flatten(), condition)
        error = (first * velocity - (start - clean)).square().mean()
        base = float((decoded - clean).square().mean())
        return error, {"base": base, "gain": 1 - float(error.detach()) / base}


def start_level(decoded: Tensor, clean: Tensor) -> Tensor:
    """Return the start level [b, 1, 1, 1, 1] whose noise is as strong as the codec's error."""
    rms = (decoded - clean).square().mean((1, 2, 3, 4), keepdim=True).sqrt()
    return (rms / (1 + rms)).clamp(min=1e-3)


def analysis_of(autoencoder: Autoencoder) -> list[nn.Parameter]:
    """Return the parameters that make latents."""
    modules: list[nn.Module | None] = [autoencoder.wan.encoder, autoencoder.wan.quant_conv]
    if autoencoder.linear is not None:
        modules += [autoencoder.linear.image_analysis, autoencoder.linear.clip_analysis]
    return [p for module in modules if module is not None for p in module.parameters()]


def autoencoder_rates(autoencoder: Autoencoder) -> list[Rate]:
    """Return how an autoencoder trains: its linear path slowly."""
    linear = [] if autoencoder.linear is None else list(autoencoder.linear.parameters())
    fast = _trainable(without(autoencoder.parameters(), linear))
    slow = _trainable(linear)
    return [Rate(fast), Rate(slow, 0.1)] if slow else [Rate(fast)]


def without(
    parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]
) -> list[nn.Parameter]:
    """Return the parameters that are not among `others`."""
    known = {id(p) for p in others}
    return [p for p in parameters if id(p) not in known]


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in parameters if p.requires_grad]
