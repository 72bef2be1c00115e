"""The stages that train a motion codec.

picture       rate + distortion of first frames
motion        rate + distortion of the frames after them
sequence      all of it, first frames for what is made of them, too
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.geometry import TEMPORAL_STRIDE
from gencodec.training.coding import Step, coded_steps
from gencodec.training.loop import Rate
from gencodec.training.workbench import Workbench, rate_numbers, spend, train_only
from gencodec.transform import ANCHOR, INTER, MotionCodec

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
            "stages picture, motion and sequence train motion codecs; this pack's has stage codec"
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
        loss, perceived = _first_loss(bench, codec, step, bits, quality)
        return loss, rate_numbers(bits, first) | {"lpips": float(perceived.detach().mean())}


def _first_loss(
    bench: Workbench, codec: MotionCodec, step: Step, bits: Tensor, quality: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss of first frames a block of 16 x 16 pixels, and their LPIPS [b]."""
    perceived = bench.perceived(step.decoded, step.target)
    error, worth = picture_error(step.decoded, step.target), codec.worth(quality, ANCHOR)
    pixels = step.target[0, 0].numel()
    return _evened(bits, error, pixels * perceived, worth) / (pixels / 256), perceived


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
    _learns_first = False

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
        memory, first, pixels = None, bits.mean(), frames[0, 0, 0].numel() * TEMPORAL_STRIDE
        for step in coded_steps(codec, bench.autoencoder, frames, anchor, quality):
            index = anchor if step.kind == ANCHOR else quality
            spent, memory = spend(bench.entropy, memory, step, index)
            if step.kind != ANCHOR:
                bits, error = bits + spent, error + motion_error(step.decoded, step.target)
                perceived = perceived + bench.perceived(step.decoded, step.target)
            elif self._learns_first:
                first, _ = _first_loss(bench, codec, step, spent, anchor)
        after = _evened(bits, error, pixels * perceived, codec.worth(quality, INTER))
        numbers = rate_numbers(bits, frames) | {"lpips": float(perceived.detach().mean())}
        return first, after / (frames[0, 0].numel() / 1024), numbers


class SequenceTraining(MotionTraining):
    """Motion codec, all of it: a first frame is worth what those after it make of it, too.

    The picture transform codes what is new in later frames as well, and only here learns it.
    """

    name = "sequence"
    _learns_first = True

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        train_only(bench, self.trained.parameters())

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Losses of stages picture and motion together, through the whole group."""
        first, after, numbers = self._losses(frames)
        return first + after, {**numbers, "first": float(first.detach())}
