"""Frames <-> symbols: the motion-compensated transform codec of packs with a linear path.

    anchor        picture transform                              -> y_0 -> key picture k_0
    four frames   motion from the key picture before to the fourth frame predicts it: p_t; then
                  how its coefficients differ from those of the prediction
                  [m_t, (A(x_t) - A(p_t)) / step] -> y_t -> key picture k_t
                  the three between: both key pictures moved to them, and blended

The anchor lies within its group: frames after it are coded in order, those before it backwards,
both from it on, so that none is far from it. "Before" below means towards the anchor.

The loop keeps key pictures, not latents: a block transform alone cannot follow a moving edge, while
moving the picture before by one vector a block predicts 4 to 9 dB better than leaving it where it
was. A and its synthesis are the picture transform's: what it knows of pictures holds for what is
new in one, too; a linear transform of the error in pixels needs up to twice the bits to look alike.
What was covered for a while comes back from the anchor. Frames between cost nothing but
motion, and depend on no others. A network cleans the key pictures in the loop; it is gated by
motion and residual, so what is still stays exactly still, at no cost. All symbols lie on the latent
grid: the two channels of vectors come first, that of their references last, and the prior sees them
as it sees any others.

Source: conditional coding after DCVC-RT, arXiv 2502.20762; explicit motion because implicit motion
is 3.2 % worse on fast scenes there, and needs large networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.transform.latent_codec import ANCHOR, INTER, HyperAnalysis
from gencodec.transform.motion import FRAMES, PER_PIXEL, move, predict
from gencodec.transform.motion_networks import Blend, Decision, LoopFilter, MotionCodecConfig
from gencodec.transform.picture import PictureConfig, PictureTransform
from gencodec.transform.vectors import choose_vectors, differences, vectors

DEAD_ZONES = (0.12, 0.3)  # of rounding, for each kind: an encoder's choice, which trained with it
VECTOR = 2  # channels at the start; one more at the end says which picture is meant
_MOTION_WORTH = 0.25  # of a bit: what moves wrongly stays wrong in the frames after it


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionState:
    """What the decoder keeps between latents.

    Attributes:
        picture: the last key picture [b, 3, H, W]; None before the anchor.
        first: the anchor's picture [b, 3, H, W].
        motion: the last motion field [b, 3, h, w]; None before the first.
    """

    picture: Tensor | None = None
    first: Tensor | None = None
    motion: Tensor | None = None

    @property
    def kind(self) -> int:
        """ANCHOR or INTER: of the next latent."""
        return ANCHOR if self.picture is None else INTER

    def turned(self) -> MotionState:
        """Return the state after the anchor, from which the other side of the group follows."""
        return MotionState(picture=self.first, first=self.first)

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
            raise ValueError("the anchor has no motion")
        worth = _MOTION_WORTH * self.worth(quality, INTER)
        references = torch.stack([state.picture, state.first], 1)
        return choose_vectors(references, frames, found, state.motion, state.typical(found), worth)

    def predict(self, motion: Tensor, state: MotionState, quality: Tensor) -> Prediction:
        """Predict the next key picture, of quality indices [b], by a motion field [b, 3, h, w]."""
        if state.picture is None or state.first is None:
            raise ValueError("the anchor is not predicted")
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
            prediction: of four frames; None for the anchor.
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
        return frames, torch.cat([vector / PER_PIXEL, scaled, reference], 1), following

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
            motion: field of the later one [b, 3, h, w]; what comes from the anchor stays
                where it is.
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


def _gate(activity: Tensor, picture: Tensor) -> Tensor:
    """Return [b, 1, H, W], 0 where nothing moved or was coded in a block [b, 1, h, w] or beside."""
    near = F.avg_pool2d(activity, 3, stride=1, padding=1)
    return F.interpolate(near / (near + 0.1), size=picture.shape[2:], mode="nearest")
