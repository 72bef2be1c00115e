"""Stage II: adapter and autoencoder's decoder learn on pixels what decoded groups should look like.

Packs with a motion codec learn to restore pictures of half the size, as the lowest rates have them.
Coding takes longer than a step, so that coded clips are kept for a while and seen more than once.

Source: GNVC-VD, arXiv 2512.05016, section 3.4; VoRTeC, arXiv 2609.02291 (the start level).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.geometry import TEMPORAL_STRIDE
from gencodec.training.coding import coded_clip
from gencodec.training.discriminator import Discriminator
from gencodec.training.loop import Rate
from gencodec.training.stages import analysis_of, start_level, without
from gencodec.training.workbench import Workbench, random_quality, train_only
from gencodec.transform import MotionCodec, doubled
from gencodec.transform.motion import LUMA

_KEPT, _KEPT_BATCHES = 100, 16  # coded clips, and for large batches these
_FRESH = 0.25  # share of steps that code another
_REPEATED = 1.5  # repeated detail against mean absolute error of pixels in -1..1
_PERIODS = (16, 32)  # pixels: a block of a half-size picture, and half of one
_BESIDE = 5  # pixels from a period, where detail that does not repeat is as much alike
_FAINT = (0.4 / 127.5) ** 2  # energy of detail that may repeat unseen
_LATENTS, _SIDE = 3, 128  # of the part of a clip that a step sees: latent frames, pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """A clip [1, 3, T, H, W], its pictures at half size, and their features [1, f, t, h, w]."""

    frames: Tensor
    pictures: Tensor
    features: Tensor


class PixelTraining:
    """Decoder and adapter; the analysis that the codec was trained on stays."""

    name = "pixels"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._clips: list[_Clip] = []
        self._discriminator: Discriminator | None = None
        if bench.adversarial and bench.vgg is not None:
            device = next(bench.autoencoder.parameters()).device
            self._discriminator = Discriminator(bench.vgg).to(device)
        train_only(bench, [*self._decoder(), *bench.refiner.adapter_parameters()])
        self.trained = nn.ModuleDict({"autoencoder": bench.autoencoder, "refiner": bench.refiner})

    def rates(self) -> list[Rate]:
        """Matrices by Muon, what the adapter adds fast, the linear path slowly."""
        gain = self._bench.refiner.gain
        known = [] if gain is None else [gain]
        adapter = without(self._bench.refiner.adapter_parameters(), known)
        linear = self._bench.autoencoder.linear
        slow = [] if linear is None else list(linear.parameters())
        networks = [*without(self._decoder(), slow), *adapter]
        matrices = [p for p in networks if _is_matrix(p)]
        slow = [p for p in slow if p.requires_grad]
        others = without(networks, matrices)
        return [Rate(matrices, 7.5, muon=True), Rate(others), Rate(slow, 0.1), Rate(known, 5.0)]

    def _decoder(self) -> list[nn.Parameter]:
        """Return the parameters that make frames: of the restorer, if there is one."""
        autoencoder = self._bench.autoencoder
        if autoencoder.restorer is not None:
            return list(autoencoder.restorer.parameters())
        return without(autoencoder.parameters(), analysis_of(autoencoder))

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Picture loss of refined frames; latent codecs now and then see clean latents."""
        if isinstance(self._bench.codec, MotionCodec):
            return self._restored(frames)
        return self._decoded(frames)

    def _restored(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Frames refined from pictures of half their size."""
        if not self._clips or random.random() < _FRESH:  # noqa: S311 - which clip, not a secret
            kept = max(_KEPT, _KEPT_BATCHES * len(frames))
            self._clips = [*self._clips, *self._coded(frames)][-kept:]
        true, pictures, features = self._parts(len(frames))
        autoencoder = self._bench.autoencoder
        with torch.no_grad():
            decoded, clean = autoencoder.encode(pictures), autoencoder.encode(true)
        made = autoencoder.decode(self._refined(decoded, clean, features), pictures)
        if self._discriminator is None:
            return self._loss(made, true, pictures)
        return self._adversarial(self._discriminator, made, true, pictures)

    def _loss(
        self, made: Tensor, true: Tensor, pictures: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        loss, numbers = self._bench.picture_loss(made, true, "refined")
        repeated = repetition(made, true, pictures)
        return loss + _REPEATED * repeated, {**numbers, "repeated": float(repeated.detach())}

    def _adversarial(
        self, discriminator: Discriminator, made: Tensor, true: Tensor, pictures: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """The same, and discriminators' doubts, whose gradient is a share as strong."""
        learned = discriminator.learn(made, true, pictures)
        shown = made.detach().requires_grad_()
        loss, numbers = self._loss(shown, true, pictures)
        doubt = discriminator.doubt(shown, pictures)
        (asked,), (pull,) = (torch.autograd.grad(x, shown) for x in (loss, doubt))
        strength = self._bench.adversarial * asked.norm() / (pull.norm() + 1e-12)
        towards = (made * (asked + strength * pull)).sum()
        numbers |= {"discriminator": learned, "doubt": float(doubt.detach())}
        return towards + (loss - towards).detach(), numbers

    @torch.no_grad()
    def _coded(self, frames: Tensor) -> list[_Clip]:
        """Code clips [b, 3, T, H, W] at half their size."""
        b, _, t, _, _ = frames.shape
        small = F.avg_pool3d(frames, (1, 2, 2))
        quality = torch.randint(max(1, self._bench.half_end), (b,), device=frames.device)
        coded = coded_clip(self._bench.codec, self._bench.autoencoder, small, quality)
        if coded.pictures is None:
            raise TypeError("a motion codec rebuilds pictures")
        parts = _bytes(frames), _bytes(coded.pictures[:, :, :t]), coded.features
        clips = zip(*(part.split(1) for part in parts), strict=True)
        return [_Clip(frames=a, pictures=p, features=f) for a, p, f in clips]

    def _parts(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return frames, enlarged pictures and features of random parts of clips."""
        parts = [self._part(random.choice(self._clips)) for _ in range(count)]  # noqa: S311
        true, small, features = (torch.cat(part) for part in zip(*parts, strict=True))
        large = doubled(small.transpose(1, 2).flatten(0, 1))
        large = large.unflatten(0, (count, -1)).transpose(1, 2)
        features = features.repeat_interleave(2, 3).repeat_interleave(2, 4)
        return true.float() / 127.5 - 1, large.float() / 127.5 - 1, features

    def _part(self, clip: _Clip) -> tuple[Tensor, Tensor, Tensor]:
        """Return frames, pictures at half their size and features of a random part of a clip."""
        stride = self._bench.autoencoder.stride
        t, h, w = clip.features.shape[2:]
        side = _SIDE // (2 * stride)
        start, top, left = (
            random.randrange(max(1, length - span + 1))  # noqa: S311
            for length, span in ((t, _LATENTS), (h, side), (w, side))
        )
        time = slice(TEMPORAL_STRIDE * start, TEMPORAL_STRIDE * (start + _LATENTS - 1) + 1)
        rows, columns = slice(top, top + side), slice(left, left + side)

        def pixels(frames: Tensor, block: int) -> Tensor:
            y, x = (slice(s.start * block, s.stop * block) for s in (rows, columns))
            return frames[:, :, time, y, x]

        features = clip.features[:, :, start : start + _LATENTS, rows, columns]
        return pixels(clip.frames, 2 * stride), pixels(clip.pictures, stride), features

    def _refined(self, decoded: Tensor, clean: Tensor, features: Tensor) -> Tensor:
        """Return latents after one step from decoded ones."""
        level = start_level(decoded, clean)
        start = (1 - level) * decoded
        velocity = self._bench.refiner(start, level.flatten(), torch.cat([decoded, features], 1))
        return start - level * velocity

    def _decoded(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Frames of a latent codec: from clean, decoded or refined latents."""
        bench = self._bench
        with torch.no_grad():
            clean = bench.autoencoder.encode(frames)
            quality = random_quality(len(frames), bench.codec.config.qualities, frames.device)
            coded = coded_clip(bench.codec, bench.autoencoder, frames, quality)
        kind = random.choices(("clean", "base", "refined"), (0.15, 0.6, 0.25))[0]  # noqa: S311
        latents = clean if kind == "clean" else coded.latents
        if kind == "refined":
            latents = self._refined(coded.latents, clean, coded.features)
        loss, numbers = bench.picture_loss(bench.autoencoder.decode(latents), frames, kind)
        if kind == "refined":
            loss = loss + 0.05 * (latents - clean).square().mean()
        return loss, numbers


def repetition(made: Tensor, true: Tensor, pictures: Tensor) -> Tensor:
    """Return how much what was added to pictures repeats with their blocks, more than it should.

    Coarse flat blocks are all alike: what a network makes of one stands in each, and grass becomes
    a weave. Networks that judge crops do not see it. It is measured by how much finest detail is
    like itself a period further, less how much it is between periods: 0 in most true pictures, 0.2
    of its energy in a weave.

    Args:
        made: pictures and what was added [b, 3, T, H, W] in -1..1; periods that do not fit do not
            count.
        true: what they should be.
        pictures: what they were.
    """
    with torch.no_grad():
        wanted = _repeats(true - pictures).clamp(min=0)
    return F.relu(_repeats(made - pictures) - wanted).mean()


def _repeats(added: Tensor) -> Tensor:
    """Return how alike finest detail [b, 3, T, H, W] is a period further along an axis [n, bT]."""
    luma = (added * added.new_tensor(LUMA).view(1, 3, 1, 1, 1)).sum(1).flatten(0, 1)[:, None]
    detail = luma - F.avg_pool2d(luma, 3, 1, 1)
    energy = detail.square().mean((1, 2, 3)) + _FAINT

    def alike(distance: int, axis: int) -> Tensor:
        there = detail.shape[axis] - distance
        here, further = (detail.narrow(axis, start, there) for start in (0, distance))
        return (here * further).mean((1, 2, 3))

    excess = [
        alike(period, axis) - (alike(period - _BESIDE, axis) + alike(period + _BESIDE, axis)) / 2
        for period in _PERIODS
        for axis in (2, 3)
        if period + _BESIDE < detail.shape[axis]
    ]
    return torch.stack([*excess, torch.zeros_like(energy)]) / energy


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether a parameter mixes enough features for Muon; depthwise kernels do not."""
    return parameter.ndim >= 2 and min(parameter.shape[:2]) >= 32


def _bytes(frames: Tensor) -> Tensor:
    return ((frames + 1) * 127.5).round().clamp(0, 255).byte()
