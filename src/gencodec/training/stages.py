"""The five stages that make a pack, in order; each trains some networks and freezes the others.

    autoencoder   frames -> latents -> frames, on clean and on coarsely quantised latents
    codec         rate of the symbols + distortion of the decoded latents
    flow          the transformer as a prior: flow matching on clean latents, all noise levels
    adapter       stage I: flow from decoded to clean latents, adapter only, backbone frozen
    pixels        stage II: pixels and LPIPS through adapter and autoencoder's decoder

Source: GNVC-VD, arXiv 2512.05016 (losses of stages I and II); VoRTeC, arXiv 2609.02291 (the start
level).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gencodec.latents import Autoencoder
from gencodec.refine import VelocityModel
from gencodec.training.entropy import EntropyModel, dead_zone_round
from gencodec.training.perceptual import Lpips
from gencodec.transform import LatentCodec

_LAMBDA = 0.1  # distortion worth one bit, in squared quantiser steps (HEVC: 0.57 * 2^(-8/3))
_ANCHOR_WEIGHT = 2.0  # distortion of the anchor counts more: the latents after it build on it
_PERCEPTUAL = 0.5  # LPIPS against mean absolute error of pixels in -1..1
_FLICKER = 0.5  # error of the change from frame to frame, likewise


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """The networks of a pack in training."""

    autoencoder: Autoencoder
    codec: LatentCodec
    entropy: EntropyModel
    refiner: VelocityModel
    lpips: Lpips | None

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


def nominal_steps(codec: LatentCodec, quality: Tensor) -> Tensor:
    """Return the quantiser steps [b], in pixel-energy units, that define each quality index."""
    config = codec.config
    share = quality.float() / (config.qualities - 1)
    return config.coarsest_step * (config.finest_step / config.coarsest_step) ** share


def decode_latents(codec: LatentCodec, latents: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
    """Run the codec over latents [b, c, t, h, w] without counting bits.

    Returns:
        Decoded latents [b, c, t, h, w] and decoder features [b, f, t, h, w].
    """
    state = codec.start(len(latents), *latents.shape[-2:])
    decoded, features = [], []
    for t in range(latents.shape[2]):
        symbols = dead_zone_round(codec.analyse(latents[:, :, t], state, quality))
        latent, feature, state = codec.synthesise(symbols, state, quality)
        decoded.append(latent)
        features.append(feature)
    return torch.stack(decoded, 2), torch.stack(features, 2)


class AutoencoderTraining:
    """Reconstruction from clean latents and from latents quantised at a random step."""

    name = "autoencoder"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        network = bench.autoencoder
        fixed = [] if network.network_encoder else _analysis(network)
        train_only(bench, _without(network.parameters(), fixed))
        self.trained = nn.ModuleDict({"autoencoder": network})

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """The linear path moves at a tenth of the rate; alone, its analysis stays as it is."""
        return _autoencoder_rates(self._bench.autoencoder)

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Picture loss of reconstructed frames."""
        network = self._bench.autoencoder
        latents = network.encode(frames)
        coarse = random.random() < 0.65  # noqa: S311
        if coarse:
            step = math.exp(random.uniform(math.log(0.3), math.log(5)))  # noqa: S311
            latents = dead_zone_round(latents * network.std / step, 0.15) * step / network.std
        kind = "coarse" if coarse else "clean"
        return self._bench.picture_loss(network.decode(latents), frames, kind)


class CodecTraining:
    """Rate plus distortion at random quality indices, one model for all rates."""

    name = "codec"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.trained = nn.ModuleDict({"codec": bench.codec, "entropy": bench.entropy})
        train_only(bench, self.trained.parameters())

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """All at the same rate."""
        return [(list(self.trained.parameters()), 1.0)]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Bits and weighted squared error a latent position."""
        codec, entropy = self._bench.codec, self._bench.entropy
        with torch.no_grad():
            latents = self._bench.autoencoder.encode(frames)
        quality = random_quality(len(frames), codec.config.qualities, frames.device)
        worth = _LAMBDA * nominal_steps(codec, quality) ** 2
        state = codec.start(len(frames), *latents.shape[-2:])
        memory = entropy.prior.start(len(frames), *latents.shape[-2:])
        bits = distortion = torch.zeros(len(frames), device=frames.device)
        weight = self._bench.autoencoder.std[:, :, 0]
        for t in range(latents.shape[2]):
            raw = codec.analyse(latents[:, :, t], state, quality)
            symbols = dead_zone_round(raw)
            hyper = codec.hyper_analyse(raw, state.kind)
            spent, memory = entropy.bits(memory, symbols, hyper, quality, state.kind)
            latent, _, state = codec.synthesise(symbols, state, quality)
            error = ((latents[:, :, t] - latent) * weight).square().sum((1, 2, 3))
            bits = bits + spent
            distortion = distortion + error * (_ANCHOR_WEIGHT if t == 0 else 1.0)
        positions = latents[0, 0].numel()
        loss = ((bits + distortion / worth) / positions).mean()
        pixels = frames[0, 0].numel()
        low = quality < codec.config.qualities // 3
        numbers = {"bpp": float(bits.detach().mean()) / pixels}
        if low.any():
            numbers["bpp_low"] = float(bits.detach()[low].mean()) / pixels
        return loss, numbers


class FlowTraining:
    """Flow matching on clean latents; clean first or first and last latents are given at random."""

    name = "flow"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        adapter = bench.refiner.adapter_parameters()
        train_only(bench, _without(bench.refiner.parameters(), adapter))
        self.trained = nn.ModuleDict({"refiner": bench.refiner})

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """The backbone; the adapter learns in the next stage."""
        return [(_trainable(self.trained.parameters()), 1.0)]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the velocity."""
        with torch.no_grad():
            clean = self._bench.autoencoder.encode(frames)
        noise = torch.randn_like(clean)
        sigma = torch.sigmoid(torch.randn(len(clean), device=clean.device))
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

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Adapter only."""
        return [(self._bench.refiner.adapter_parameters(), 1.0)]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Squared error of the velocity, in units of the latents."""
        with torch.no_grad():
            clean = self._bench.autoencoder.encode(frames)
            quality = random_quality(len(frames), self._bench.codec.config.qualities, frames.device)
            decoded, features = decode_latents(self._bench.codec, clean, quality)
        first = start_level(decoded, clean)
        start = (1 - first) * decoded
        share = 1.0 if random.random() < 0.5 else random.uniform(0.1, 1.0)  # noqa: S311
        current = share * start + (1 - share) * clean
        condition = torch.cat([decoded, features], 1)
        velocity = self._bench.refiner(current, share * first.flatten(), condition)
        error = (first * velocity - (start - clean)).square().mean()
        base = float((decoded - clean).square().mean())
        return error, {"base": base, "gain": 1 - float(error.detach()) / base}


class PixelTraining:
    """Stage II: frames decoded from coded latents, with and without refinement."""

    name = "pixels"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        decoder = _without(bench.autoencoder.parameters(), _analysis(bench.autoencoder))
        train_only(bench, [*decoder, *bench.refiner.adapter_parameters()])
        self.trained = nn.ModuleDict({"autoencoder": bench.autoencoder, "refiner": bench.refiner})

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Decoder and adapter; the analysis that the codec was trained on stays."""
        adapter = self._bench.refiner.adapter_parameters()
        return [*_autoencoder_rates(self._bench.autoencoder), (adapter, 0.3)]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Picture loss of decoded frames; clean latents now and then keep the upper end."""
        bench = self._bench
        with torch.no_grad():
            clean = bench.autoencoder.encode(frames)
            quality = random_quality(len(frames), bench.codec.config.qualities, frames.device)
            decoded, features = decode_latents(bench.codec, clean, quality)
        kind = random.choices(("clean", "base", "refined"), (0.15, 0.45, 0.4))[0]  # noqa: S311
        latents = clean if kind == "clean" else decoded
        if kind == "refined":
            first = start_level(decoded, clean)
            start = (1 - first) * decoded
            condition = torch.cat([decoded, features], 1)
            latents = start - first * bench.refiner(start, first.flatten(), condition)
        loss, numbers = bench.picture_loss(bench.autoencoder.decode(latents), frames, kind)
        if kind == "refined":
            loss = loss + 0.05 * (latents - clean).square().mean()
        return loss, numbers


STAGE_CLASSES = {
    stage.name: stage
    for stage in (AutoencoderTraining, CodecTraining, FlowTraining, AdapterTraining, PixelTraining)
}


def start_level(decoded: Tensor, clean: Tensor) -> Tensor:
    """Return the start level [b, 1, 1, 1, 1] whose noise is as strong as the codec's error."""
    rms = (decoded - clean).square().mean((1, 2, 3, 4), keepdim=True).sqrt()
    return (rms / (1 + rms)).clamp(min=1e-3)


def _analysis(autoencoder: Autoencoder) -> list[nn.Parameter]:
    """Return the parameters that make latents."""
    modules: list[nn.Module | None] = [autoencoder.wan.encoder, autoencoder.wan.quant_conv]
    if autoencoder.linear is not None:
        modules += [autoencoder.linear.image_analysis, autoencoder.linear.clip_analysis]
    return [p for module in modules if module is not None for p in module.parameters()]


def _autoencoder_rates(autoencoder: Autoencoder) -> list[tuple[list[nn.Parameter], float]]:
    linear = [] if autoencoder.linear is None else list(autoencoder.linear.parameters())
    fast = _trainable(_without(autoencoder.parameters(), linear))
    return [(fast, 1.0), (_trainable(linear), 0.1)] if linear else [(fast, 1.0)]


def _without(
    parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]
) -> list[nn.Parameter]:
    known = {id(p) for p in others}
    return [p for p in parameters if id(p) not in known]


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in parameters if p.requires_grad]
