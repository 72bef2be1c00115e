"""Frames <-> symbols: the motion-compensated transform codec of packs with a linear path.

    first frame   picture transform                                   -> y_0 -> picture
    four frames   motion field, then a linear transform of what motion does not predict
                  [m_t, A(x_t - warp(r_{t-1}, m_t)) / step]           -> y_t -> frames

The loop keeps pictures, not latents: a block transform alone cannot follow a moving edge, while
moving the picture before by one whole-number vector a block predicts four frames 4 to 9 dB better
than leaving it where it was. A network cleans the decoded frames in the loop; it is gated by motion
and residual, so what is still stays exactly still, at no cost. All symbols lie on the latent grid:
the two channels of motion come first, and the prior sees them as it sees any others.

Source: conditional coding after DCVC-RT, arXiv 2502.20762; explicit motion because implicit motion
is 3.2 % worse on fast scenes there, and needs large networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.transform.latent_codec import ANCHOR, INTER, Block, HyperAnalysis
from gencodec.transform.motion import FRAMES, warp
from gencodec.transform.picture import STRIDE, PictureConfig, PictureTransform
from gencodec.transform.vectors import choose_vectors, differences, vectors

DEAD_ZONES = (0.12, 0.3)  # of rounding, for each kind: an encoder's choice, which trained with it
MOTION = 2  # channels
_MOTION_WORTH = 0.25  # of a bit: what moves wrongly stays wrong in the frames after it


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionCodecConfig:
    """Sizes of the motion codec.

    Attributes:
        channels: symbols a latent position, those of motion included.
        picture: sizes of the picture transform but for its channels.
        filter_width, filter_depth: features and blocks of the loop filter.
        hyper_width: features of the hyper analysis.
        hyper_channels: channels of the hyper symbols.
        hyper_stride: latent positions a side behind one hyper position.
        qualities: number of quality indices; larger is better and costs more bits.
        nodes: quality indices with parameters of their own; the others are interpolated.
        worth: squared error (pixels in -1..1, summed) that one bit of the first frame is worth, at
            the worst and at the best quality.
        inter_worth: the same of the frames after it.
    """

    channels: int = 96
    picture: dict[str, int] = field(default_factory=dict)
    filter_width: int = 64
    filter_depth: int = 2
    hyper_width: int = 64
    hyper_channels: int = 8
    hyper_stride: int = 4
    qualities: int = 64
    nodes: int = 9
    worth: Sequence[float] = (2.0, 0.002)
    inter_worth: Sequence[float] = (120.0, 0.006)

    @property
    def width(self) -> int:
        """Channels of the decoder features."""
        return self.channels


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionState:
    """What the decoder keeps between latents.

    Attributes:
        picture: the last decoded picture [b, 3, H, W]; None before the anchor.
        motion: the last motion field [b, 2, h, w]; None before the first.
    """

    picture: Tensor | None = None
    motion: Tensor | None = None

    @property
    def kind(self) -> int:
        """ANCHOR or INTER: of the next latent."""
        return ANCHOR if self.picture is None else INTER

    def typical(self, like: Tensor) -> Tensor:
        """Return the (lower) median vector [b, 2, 1, 1] of the last motion field; 0 before it."""
        if self.motion is None:
            return like.new_zeros(len(like), MOTION, 1, 1)
        return self.motion.flatten(2).median(2).values[:, :, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A motion field [b, 2, h, w] and the four frames [b, 3, 4, H, W] that it predicts."""

    motion: Tensor
    frames: Tensor


class MotionCodec(nn.Module):
    """Picture transform, motion compensation, residual transform and loop filter."""

    def __init__(self, config: MotionCodecConfig) -> None:
        super().__init__()
        self.config = config
        c, nodes = config.channels, config.nodes
        residual, pixels = c - MOTION, 3 * FRAMES * STRIDE**2
        self.picture = PictureTransform(PictureConfig(channels=c, **config.picture))
        coarse = self.picture.coefficients.in_channels
        self.analysis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        self.synthesis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        at_nodes = torch.linspace(0, config.qualities - 1, nodes)
        steps = [(self.worth(at_nodes, k) / 0.115).sqrt().log()[:, None] for k in (ANCHOR, INTER)]
        self.picture_steps = nn.Parameter(steps[ANCHOR].repeat(1, c))
        self.residual_steps = nn.Parameter(steps[INTER].repeat(1, residual))
        self.analysis = nn.Conv2d(pixels, residual, 1, bias=False)
        self.synthesis = nn.Conv2d(residual, pixels, 1, bias=False)
        self.filter = LoopFilter(residual, config.filter_width, config.filter_depth)
        self.filter_gains = nn.Parameter(torch.zeros(nodes, config.filter_width))
        self.hyper = nn.ModuleList(
            HyperAnalysis(c, config.hyper_width, config.hyper_channels, config.hyper_stride)
            for _ in range(2)
        )

    def worth(self, quality: Tensor, kind: int) -> Tensor:
        """Return the squared error [b] that one bit is worth at quality indices [b]."""
        config = self.config
        share = quality.float() / (config.qualities - 1)
        worst, best = config.worth if kind == ANCHOR else config.inter_worth
        return worst * (best / worst) ** share

    def choose_motion(
        self, frames: Tensor, found: Tensor, state: MotionState, quality: Tensor
    ) -> Tensor:
        """Choose the motion field [b, 2, h, w] that is worth its bits.

        Args:
            frames: [b, 3, 4, H, W] in -1..1.
            found: from `search_motion`.
            state: before these frames.
            quality: quality index [b].
        """
        if state.picture is None:
            raise ValueError("the first frame has no motion")
        worth = _MOTION_WORTH * self.worth(quality, INTER)
        return choose_vectors(
            state.picture, frames, found, state.motion, state.typical(found), worth
        )

    def predict(self, motion: Tensor, state: MotionState) -> Prediction:
        """Move the last picture along a motion field [b, 2, h, w] of whole numbers."""
        if state.picture is None:
            raise ValueError("the first frame is not predicted")
        return Prediction(motion=motion, frames=warp(state.picture, motion))

    def analyse(
        self, frames: Tensor, prediction: Prediction | None, state: MotionState, quality: Tensor
    ) -> Tensor:
        """Map frames to symbols before rounding [b, c, h, w].

        Args:
            frames: [b, 3, 1 or 4, H, W] in -1..1, H and W multiples of 16.
            prediction: of four frames; None for the first frame.
            state: before these frames.
            quality: quality index [b].
        """
        if prediction is None:
            gain = self._at(self.analysis_gains, quality)
            coefficients = self.picture.analyse(frames[:, :, 0], gain)
            return coefficients / self._at(self.picture_steps, quality).exp()
        residual = self.analysis(_blocks(frames - prediction.frames))
        moved = differences(prediction.motion, state.typical(residual))
        return torch.cat([moved, residual / self._at(self.residual_steps, quality).exp()], 1)

    def synthesise(
        self,
        symbols: Tensor,
        state: MotionState,
        quality: Tensor,
        prediction: Prediction | None = None,
    ) -> tuple[Tensor, Tensor, MotionState]:
        """Rebuild frames from their symbols.

        Args:
            symbols: [b, c, h, w].
            state: before these frames.
            quality: quality index [b].
            prediction: what the symbols say, if it is known already.

        Returns:
            Frames [b, 3, 1 or 4, H, W], the decoded coefficients [b, c, h, w] as features, and the
            state for what follows.
        """
        if state.picture is None:
            scaled = symbols * self._at(self.picture_steps, quality).exp()
            picture = self.picture.synthesise(scaled, self._at(self.synthesis_gains, quality))
            return picture.unsqueeze(2), scaled, MotionState(picture=picture)
        if prediction is None:
            motion = vectors(symbols[:, :MOTION].detach(), state.typical(symbols))
            prediction = self.predict(motion, state)
        motion, coded = prediction.motion, symbols[:, MOTION:]
        scaled = coded * self._at(self.residual_steps, quality).exp()
        frames = prediction.frames + _frames(self.synthesis(scaled))
        activity = sum(x.square().sum(1, keepdim=True) for x in (motion, coded))
        gain = self._at(self.filter_gains, quality)
        frames = frames + self.filter(frames, scaled, activity, gain)
        following = MotionState(picture=frames[:, :, -1], motion=motion)
        return frames, torch.cat([motion, scaled], 1), following

    def hyper_analyse(self, symbols: Tensor, kind: int) -> Tensor:
        """Map symbols [b, c, h, w] to hyper symbols before rounding [b, cz, h/s, w/s] (ceil)."""
        return self.hyper[kind](symbols)

    def _at(self, nodes: Tensor, quality: Tensor) -> Tensor:
        """Interpolate node parameters [nodes, n] at quality indices [b] -> [b, n, 1, 1]."""
        position = quality.float() * ((self.config.nodes - 1) / (self.config.qualities - 1))
        low = position.floor().clamp(max=self.config.nodes - 2).long()
        share = (position - low)[:, None]
        return torch.lerp(nodes[low], nodes[low + 1], share)[:, :, None, None]


class LoopFilter(nn.Module):
    """Removes block edges and ringing from decoded frames, where something happened."""

    def __init__(self, coefficients: int, width: int, depth: int) -> None:
        super().__init__()
        self.pixels_in = nn.Conv2d(3 * 64, width, 1)
        self.coefficients_in = nn.Conv2d(coefficients, 4 * width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.pixels = nn.Conv2d(width, 3 * 64, 1)
        for parameter in self.pixels.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, frames: Tensor, coefficients: Tensor, activity: Tensor, gain: Tensor
    ) -> Tensor:
        """Return what to add to frames [b, 3, t, H, W].

        Args:
            frames: decoded.
            coefficients: of the residual [b, c, h, w].
            activity: how much moved or was coded [b, 1, h, w]; nothing is added where it and its
                neighbours are 0.
            gain: of the features [b, width, 1, 1].
        """
        b, _, t, height, width = frames.shape
        x = self.pixels_in(F.pixel_unshuffle(frames.transpose(1, 2).flatten(0, 1), 8))
        coded = F.pixel_shuffle(self.coefficients_in(coefficients), 2)
        x = x.unflatten(0, (b, t)) + coded[:, None]
        x = (x * (1 + gain[:, None]) + gain[:, None]).flatten(0, 1)
        change = F.pixel_shuffle(self.pixels(self.blocks(x)), 8)
        near = F.avg_pool2d(activity, 3, stride=1, padding=1)
        gate = F.interpolate(near / (near + 0.1), size=(height, width), mode="nearest")
        return change.unflatten(0, (b, t)).transpose(1, 2) * gate[:, :, None]


def _blocks(frames: Tensor) -> Tensor:
    """Rearrange frames [b, 3, t, H, W] to one vector a block [b, t * 3 * 256, h, w]."""
    return F.pixel_unshuffle(frames.transpose(1, 2).flatten(1, 2), STRIDE)


def _frames(blocks: Tensor) -> Tensor:
    """Rearrange block vectors [b, t * 3 * 256, h, w] to frames [b, 3, t, H, W]."""
    pixels = F.pixel_shuffle(blocks, STRIDE)
    return pixels.unflatten(1, (-1, 3)).transpose(1, 2)
