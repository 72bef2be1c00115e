"""Frames <-> symbols: the motion-compensated transform codec of packs with a linear path.

    first frame   picture transform                              -> y_0 -> key picture k_0
    four frames   motion from the key picture before to the fourth frame predicts it: p_t; then
                  how its coefficients differ from those of the prediction
                  [m_t, (A(x_t) - A(p_t)) / step] -> y_t -> key picture k_t
                  the three between: both key pictures moved to them, and blended

The loop keeps key pictures, not latents: a block transform alone cannot follow a moving edge, while
moving the picture before by one whole-number vector a block predicts 4 to 9 dB better than leaving
it where it was. A and its synthesis are the picture transform's: what it knows of pictures holds
for what is new in one, too, and a linear transform of the error in pixels needs twice the bits.
What was covered for a while comes back from the first picture. Frames between cost nothing but
motion, and depend on no others. A network cleans the key pictures in the loop; it is gated by
motion and residual, so what is still stays exactly still, at no cost. All symbols lie on the latent
grid: the two channels of vectors come first, that of their references last, and the prior sees them
as it sees any others.

Source: conditional coding after DCVC-RT, arXiv 2502.20762; explicit motion because implicit motion
is 3.2 % worse on fast scenes there, and needs large networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.layers import Block
from gencodec.transform.latent_codec import ANCHOR, INTER, HyperAnalysis
from gencodec.transform.motion import FRAMES, move, predict
from gencodec.transform.picture import PictureConfig, PictureTransform
from gencodec.transform.vectors import choose_vectors, differences, vectors

DEAD_ZONES = (0.12, 0.3)  # of rounding, for each kind: an encoder's choice, which trained with it
VECTOR = 2  # channels at the start; one more at the end says which picture is meant
_MOTION_WORTH = 0.25  # of a bit: what moves wrongly stays wrong in the frames after it


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionCodecConfig:
    """Sizes of the motion codec.

    Attributes:
        channels: symbols a latent position, those of motion included.
        picture: sizes of the picture transform but for its channels.
        fine_width, fine_depth: features and blocks at 1/8 of the size of the networks that analyse
            and clean key pictures, and that blend frames.
        coarse_width, coarse_depth: the same at 1/16; nothing is blended there.
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
    fine_width: int = 64
    fine_depth: int = 4
    coarse_width: int = 128
    coarse_depth: int = 3
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
        picture: the last key picture [b, 3, H, W]; None before the anchor.
        first: the first picture of the group [b, 3, H, W].
        motion: the last motion field [b, 3, h, w]; None before the first.
    """

    picture: Tensor | None = None
    first: Tensor | None = None
    motion: Tensor | None = None

    @property
    def kind(self) -> int:
        """ANCHOR or INTER: of the next latent."""
        return ANCHOR if self.picture is None else INTER

    def typical(self, like: Tensor) -> Tensor:
        """Return the (lower) median vector [b, 2, 1, 1] of the last motion field; 0 before it."""
        if self.motion is None:
            return like.new_zeros(len(like), VECTOR, 1, 1)
        return self.motion[:, :VECTOR].flatten(2).median(2).values[:, :, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a motion field predicts.

    Attributes:
        motion: the field [b, 3, h, w].
        picture: the key picture [b, 3, H, W].
        coefficients: of the key picture [b, c, h, w].
    """

    motion: Tensor
    picture: Tensor
    coefficients: Tensor


class MotionCodec(nn.Module):
    """Picture transform, motion compensation, loop filter and blending."""

    def __init__(self, config: MotionCodecConfig) -> None:
        super().__init__()
        self.config = config
        c, nodes = config.channels, config.nodes
        residual = c - VECTOR - 1
        fine, coarse_width = config.fine_width, config.coarse_width
        self.picture = PictureTransform(PictureConfig(channels=c, **config.picture))
        coarse = self.picture.coefficients.in_channels
        self.analysis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        self.synthesis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        at_nodes = torch.linspace(0, config.qualities - 1, nodes)
        steps = [(self.worth(at_nodes, k) / 0.115).sqrt().log()[:, None] for k in (ANCHOR, INTER)]
        self.picture_steps = nn.Parameter(steps[ANCHOR].repeat(1, c))
        self.residual_steps = nn.Parameter(steps[INTER].repeat(1, residual) - math.log(2))
        self.residual_analysis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        self.residual_synthesis_gains = nn.Parameter(torch.zeros(nodes, coarse))
        self.decision = Decision(residual, config)
        self.decision_gains = nn.Parameter(torch.zeros(nodes, coarse_width))
        self.filter = LoopFilter(residual, config)
        self.filter_gains = nn.Parameter(torch.zeros(nodes, fine))
        self.blend = Blend(config)
        self.blend_gains = nn.Parameter(torch.zeros(nodes, fine))
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
        """Choose the motion field [b, 3, h, w] that is worth its bits.

        Args:
            frames: [b, 3, 4, H, W] in -1..1.
            found: from `search_motion`.
            state: before these frames.
            quality: quality index [b].
        """
        if state.picture is None or state.first is None:
            raise ValueError("the first frame has no motion")
        worth = _MOTION_WORTH * self.worth(quality, INTER)
        references = torch.stack([state.picture, state.first], 1)
        return choose_vectors(references, frames, found, state.motion, state.typical(found), worth)

    def predict(self, motion: Tensor, state: MotionState, quality: Tensor) -> Prediction:
        """Predict the next key picture, of quality indices [b], by a motion field [b, 3, h, w]."""
        if state.picture is None or state.first is None:
            raise ValueError("the first frame is not predicted")
        picture = predict(state.picture, state.first, motion)
        # Detached: gradients through it take long and are of little use.
        coefficients = self._residual_analysis(picture.detach(), quality)
        return Prediction(motion=motion, picture=picture, coefficients=coefficients)

    def _residual_analysis(self, picture: Tensor, quality: Tensor) -> Tensor:
        return self.picture.analyse(picture, self._at(self.residual_analysis_gains, quality))

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
        key = frames[:, :, -1]
        residual = self._residual_analysis(key, quality) - prediction.coefficients
        gain = self._at(self.decision_gains, quality)
        residual = residual[:, : -VECTOR - 1] + self.decision(key, prediction.picture, gain)
        moved = differences(prediction.motion[:, :VECTOR], state.typical(residual))
        scaled = residual / self._at(self.residual_steps, quality).exp()
        return torch.cat([moved, scaled, prediction.motion[:, VECTOR:]], 1)

    def synthesise(
        self,
        symbols: Tensor,
        state: MotionState,
        quality: Tensor,
        prediction: Prediction | None = None,
        *,
        between: bool = True,
    ) -> tuple[Tensor, Tensor, MotionState]:
        """Rebuild frames from their symbols.

        Args:
            symbols: [b, c, h, w].
            state: before these frames.
            quality: quality index [b].
            prediction: what the symbols say, if it is known already.
            between: make the frames between key pictures, which no others depend on, too.

        Returns:
            Frames [b, 3, 1 or 4, H, W], the decoded coefficients [b, c, h, w] as features, and the
            state for what follows.
        """
        if state.picture is None:
            scaled = symbols * self._at(self.picture_steps, quality).exp()
            picture = self.picture.synthesise(scaled, self._at(self.synthesis_gains, quality))
            return picture.unsqueeze(2), scaled, MotionState(picture=picture, first=picture)
        if prediction is None:
            sent = symbols.detach()
            motion = vectors(sent[:, :VECTOR], state.typical(symbols))
            motion = torch.cat([motion, (sent[:, -1:] != 0) * 1.0], 1)
            prediction = self.predict(motion, state, quality)
        key, scaled, gate = self._key(symbols[:, VECTOR:-1], prediction, quality)
        frames = key.unsqueeze(2)
        if between:
            pictures = state.picture.detach(), key.detach()  # slow to differentiate, and little use
            made = self.between(*pictures, prediction.motion, gate, quality)
            frames = torch.cat([made, frames], 2)
        following = MotionState(picture=key, first=state.first, motion=prediction.motion)
        vector, reference = prediction.motion[:, :VECTOR], prediction.motion[:, VECTOR:]
        return frames, torch.cat([vector, scaled, reference], 1), following

    def _key(
        self, coded: Tensor, prediction: Prediction, quality: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the key picture of residual symbols, the coefficients, and the networks' gate."""
        scaled = coded * self._at(self.residual_steps, quality).exp()
        activity = torch.cat([prediction.motion, coded], 1).square().sum(1, keepdim=True)
        gate = _gate(activity, prediction.picture)
        gain = self._at(self.residual_synthesis_gains, quality)
        expected = prediction.coefficients
        sent = expected + F.pad(scaled, (0, 0, 0, 0, 0, VECTOR + 1))
        change = self.picture.synthesise(sent, gain) - self.picture.synthesise(expected, gain)
        key = prediction.picture + change * (gate > 0)
        gain = self._at(self.filter_gains, quality)
        return key + self.filter(key, scaled, gain) * gate, scaled, gate

    def between(
        self,
        before: Tensor,
        after: Tensor,
        motion: Tensor,
        gate: Tensor,
        quality: Tensor,
    ) -> Tensor:
        """Make the three frames [b, 3, 3, H, W] between two key pictures.

        Args:
            before: key picture [b, 3, H, W].
            after: the next one.
            motion: field of the later one [b, 3, h, w]; what comes from the first picture of the
                group stays where it is.
            gate: 0 where nothing moved or was coded [b, 1, H, W].
            quality: quality index [b].
        """
        gain, frames = self._at(self.blend_gains, quality), []
        motion = motion[:, :VECTOR] * (1 - motion[:, VECTOR:])
        for index in range(1, FRAMES):
            share = index / FRAMES
            moved = move(before, motion, share), move(after, motion, share - 1)
            frames.append(self.blend(*moved, index, gain, gate))
        return torch.stack(frames, 2)

    def hyper_analyse(self, symbols: Tensor, kind: int) -> Tensor:
        """Map symbols [b, c, h, w] to hyper symbols before rounding [b, cz, h/s, w/s] (ceil).

        They speak of coefficients alone: motion has a code of its own.
        """
        if kind == INTER:
            symbols = F.pad(symbols[:, VECTOR:-1], (0, 0, 0, 0, VECTOR, 1))
        return self.hyper[kind](symbols)

    def _at(self, nodes: Tensor, quality: Tensor) -> Tensor:
        """Interpolate node parameters [nodes, n] at quality indices [b] -> [b, n, 1, 1]."""
        position = quality.float() * ((self.config.nodes - 1) / (self.config.qualities - 1))
        low = position.floor().clamp(max=self.config.nodes - 2).long()
        share = (position - low)[:, None]
        return torch.lerp(nodes[low], nodes[low + 1], share)[:, :, None, None]


class Decision(nn.Module):
    """What of a key picture's coefficients is worth coding, given what is predicted."""

    def __init__(self, coefficients: int, config: MotionCodecConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.pixels_in = nn.Conv2d(2 * 3 * 64, fine, 1)
        self.fine = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth // 2)))
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.coefficients = nn.Conv2d(coarse, coefficients, 1)
        _silence(self.coefficients)

    def forward(self, key: Tensor, predicted: Tensor, gain: Tensor) -> Tensor:
        """Return what to add to the coefficients' difference [b, c, h, w].

        Args:
            key: picture [b, 3, H, W].
            predicted: what it is predicted to be.
            gain: of the features at 1/16 [b, coarse_width, 1, 1].
        """
        x = self.fine(self.pixels_in(F.pixel_unshuffle(torch.cat([key, predicted], 1), 8)))
        x = self.down(F.pixel_unshuffle(x, 2))
        return self.coefficients(self.coarse(x * (1 + gain) + gain))


class LoopFilter(nn.Module):
    """Removes block edges and ringing from key pictures, and adds what a linear map cannot."""

    def __init__(self, coefficients: int, config: MotionCodecConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        self.pixels_in = nn.Conv2d(3 * 64, fine, 1)
        self.coefficients_in = nn.Conv2d(coefficients, coarse, 1)
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.blocks = nn.Sequential(*(Block(fine) for _ in range(config.fine_depth)))
        self.pixels = nn.Conv2d(fine, 3 * 64, 1)
        _silence(self.pixels)

    def forward(self, picture: Tensor, coefficients: Tensor, gain: Tensor) -> Tensor:
        """Return what to add to a picture [b, 3, H, W].

        Args:
            picture: decoded.
            coefficients: of the residual [b, c, h, w].
            gain: of the features at 1/8 [b, fine_width, 1, 1].
        """
        x = self.pixels_in(F.pixel_unshuffle(picture, 8))
        coarse = self.down(F.pixel_unshuffle(x, 2)) + self.coefficients_in(coefficients)
        x = x + F.pixel_shuffle(self.up(self.coarse(coarse)), 2)
        return F.pixel_shuffle(self.pixels(self.blocks(x * (1 + gain) + gain)), 8)


class Blend(nn.Module):
    """Frames between two key pictures: the more of one where the other does not show the same."""

    def __init__(self, config: MotionCodecConfig) -> None:
        super().__init__()
        width = config.fine_width
        self.pixels_in = nn.Conv2d(2 * 3 * 64, width, 1)
        self.position = nn.Parameter(torch.zeros(FRAMES - 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.fine_depth)))
        self.pixels = nn.Conv2d(width, 4 * 64, 1)
        _silence(self.pixels)

    def forward(
        self, before: Tensor, after: Tensor, index: int, gain: Tensor, gate: Tensor
    ) -> Tensor:
        """Return the frame [b, 3, H, W].

        Args:
            before: the key picture before, moved to the frame [b, 3, H, W].
            after: the one after it, likewise.
            index: 1 .. 3, of the frame.
            gain: of the features [b, width, 1, 1].
            gate: of what is added to the pictures [b, 1, H, W].
        """
        x = self.pixels_in(F.pixel_unshuffle(torch.cat([before, after], 1), 8))
        x = x + self.position[index - 1, :, None, None]
        change = F.pixel_shuffle(self.pixels(self.blocks(x * (1 + gain) + gain)), 8)
        share = torch.sigmoid(change[:, :1] + math.log(index / (FRAMES - index)))
        return before + share * (after - before) + change[:, 1:] * gate


def _gate(activity: Tensor, picture: Tensor) -> Tensor:
    """Return [b, 1, H, W], 0 where nothing moved or was coded in a block [b, 1, h, w] or beside."""
    near = F.avg_pool2d(activity, 3, stride=1, padding=1)
    return F.interpolate(near / (near + 0.1), size=picture.shape[2:], mode="nearest")


def _silence(layer: nn.Conv2d) -> None:
    """Zero a layer, so that its network starts without influence."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
