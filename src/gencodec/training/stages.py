"""The stages that make a pack, in order; each trains some networks and freezes the others.

    autoencoder   frames -> latents -> frames, on clean and on coarsely quantised latents
    codec         latent codec: rate of the symbols + distortion of the decoded latents
    picture       motion codec: rate + distortion of first frames
    motion        motion codec: rate + distortion of the frames after them
    sequence      motion codec: all of it, first frames for what is made of them, too
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
from gencodec.geometry import TEMPORAL_STRIDE
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
from gencodec.transform import ANCHOR, INTER, LatentCodec, MotionCodec, dead_zone_round

LAMBDA = 0.1  # distortion worth one bit, in squared quantiser steps (HEVC: 0.57 * 2^(-8/3))
ANCHOR_WEIGHT = 2.0  # distortion of the anchor counts more: the latents after it build on it
_PICTURE_LPIPS = 0.2  # LPIPS of a pixel in squared error, at a worth of one
_EVEN = 0.4  # power of the worth of a bit that makes the losses of all qualities alike
_KEY_WEIGHT = (
    2.75  # a share k/4 of its error is in three frames before and three after: 1 + 2*14/16
)
_NETWORKS = tuple(f"codec.{name}." for name in ("picture", "decision", "filter", "blend"))


def picture_error(made: Tensor, true: Tensor) -> Tensor:
    """Squared error [b] of frames, summed over pixels; luma counts half of it."""
    error = made - true
    luma = (error * error.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1, 1)).sum(1)
    return 1.5 * luma.square().sum((1, 2, 3)) + 0.5 * error.square().sum((1, 2, 3, 4))


def motion_error(made: Tensor, true: Tensor) -> Tensor:
    """`picture_error` of four frames; the key picture's counts for those made of it, too."""
    key = picture_error(made[:, :, -1:], true[:, :, -1:])
    return picture_error(made, true) + (_KEY_WEIGHT - 1) * key


def motion_codec(bench: Workbench) -> MotionCodec:
    """Return the pack's motion codec.

    Raises:
        PackError: it has another kind of codec.
    """
    if not isinstance(bench.codec, MotionCodec):
        raise PackError(
            "stages picture and motion train motion codecs; this pack's has stage codec"
        )
    return bench.codec


def motion_parameters(codec: MotionCodec) -> list[nn.Parameter]:
    """Return what only the frames after the first use."""
    networks = (codec.decision, codec.filter, codec.blend, codec.hyper[1])
    inner = [p for network in networks for p in network.parameters()]
    gains = (
        codec.residual_analysis_gains,
        codec.residual_synthesis_gains,
        codec.decision_gains,
        codec.filter_gains,
        codec.blend_gains,
    )
    return [*inner, codec.residual_steps, *gains]


def motion_rates(trained: nn.ModuleDict) -> list[Rate]:
    """Sort the trainable parameters of a motion codec and its prior by how they train."""
    matrices, slow, fast, others = [], [], [], []
    for name, parameter in trained.named_parameters():
        if not parameter.requires_grad:
            continue
        if "linear_" in name:
            slow.append(parameter)
        elif name.endswith("_steps"):
            fast.append(parameter)
        elif name.startswith(_NETWORKS) and parameter.shape[2:] == (1, 1):
            matrices.append(parameter)
        else:
            others.append(parameter)
    return [
        Rate(matrices, 10.0, muon=True),
        Rate(slow, 0.1),
        Rate(fast, 3.0),
        Rate(others),
    ]


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
                "stage codec trains latent codecs; this pack's has stages picture, motion"
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


class PictureTraining:
    """Motion codec, first frame: rate plus squared error plus LPIPS of single pictures."""

    name = "picture"

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._codec = bench, motion_codec(bench)
        self.trained = nn.ModuleDict({"codec": bench.codec, "entropy": bench.entropy})
        train_only(bench, self.trained.parameters())
        for parameter in motion_parameters(self._codec):
            parameter.requires_grad = False

    def rates(self) -> list[Rate]:
        """Matrices of networks by Muon, block transforms slowly, quantiser steps fast."""
        return motion_rates(self.trained)

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Bits and error a block of 16 x 16 pixels, coarse qualities lifted to weigh as much."""
        bench, codec = self._bench, self._codec
        first, quality, _ = bench.coded_material(frames[:, :, :1])
        (step,) = coded_steps(codec, bench.autoencoder, first, quality, quality)
        bits, _ = spend(bench.entropy, None, step, quality)
        perceived = bench.perceived(step.decoded, first)
        error, worth = picture_error(step.decoded, first), codec.worth(quality, ANCHOR)
        pixels = first[0, 0].numel()
        loss = _evened(bits, error, pixels * perceived, worth) / (pixels / 256)
        return loss, rate_numbers(bits, first) | {"lpips": float(perceived.detach().mean())}


def _evened(bits: Tensor, error: Tensor, perceived: Tensor, worth: Tensor) -> Tensor:
    """Return the mean of rates and distortions [b], all qualities weighing about the same.

    Args:
        bits: spent.
        error: squared.
        perceived: LPIPS, times pixels.
        worth: of a bit in squared error.
    """
    loss = bits + error / worth + _PICTURE_LPIPS * perceived / worth.sqrt()
    return (loss * worth**_EVEN).mean()


class MotionTraining:
    """Motion codec, the frames after the first: what is coded of them, loop filter, their prior.

    Rate plus squared error plus LPIPS, as for pictures.
    """

    name = "motion"

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._codec = bench, motion_codec(bench)
        self.trained = nn.ModuleDict({"codec": bench.codec, "entropy": bench.entropy})
        train_only(bench, [*motion_parameters(self._codec), *bench.entropy.parameters()])

    def rates(self) -> list[Rate]:
        """As for pictures."""
        return motion_rates(self.trained)

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Bits and error a block of 16 x 16 pixels and latent frame; the anchor's do not count."""
        _, after, numbers = self._losses(frames)
        return after, numbers

    def _losses(self, frames: Tensor) -> tuple[Tensor, Tensor, Mapping[str, float]]:
        """Return the losses of first frames and of those after them, and numbers for the log."""
        bench, codec = self._bench, self._codec
        frames, anchor, quality = bench.coded_material(frames)
        bits = error = perceived = torch.zeros(len(frames), device=frames.device)
        memory, first, pixels = None, bits.mean(), frames[0, 0, 0].numel()
        for step in coded_steps(codec, bench.autoencoder, frames, anchor, quality):
            index = anchor if step.kind == ANCHOR else quality
            spent, memory = spend(bench.entropy, memory, step, index)
            seen = pixels * bench.perceived(step.decoded, step.target)
            if step.kind == ANCHOR:
                wrong = picture_error(step.decoded, step.target)
                first = _evened(spent, wrong, seen, codec.worth(anchor, ANCHOR)) / (pixels / 256)
            else:
                bits, error = bits + spent, error + motion_error(step.decoded, step.target)
                perceived = perceived + TEMPORAL_STRIDE * seen
        after = _evened(bits, error, perceived, codec.worth(quality, INTER))
        numbers = rate_numbers(bits, frames) | {"lpips": float(perceived.detach().mean()) / pixels}
        return first, after / (frames[0, 0].numel() / 1024), numbers


class SequenceTraining(MotionTraining):
    """Motion codec, all of it: a first frame is worth what those after it make of it, too.

    The picture transform codes what is new in later frames as well, and only here learns it.
    """

    name = "sequence"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        train_only(bench, self.trained.parameters())

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Losses of stages picture and motion together, through the whole group."""
        first, after, numbers = self._losses(frames)
        return first + after, {**numbers, "first": float(first.detach())}


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
