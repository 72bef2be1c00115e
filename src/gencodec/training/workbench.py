"""The networks of a pack in training, and what the stages that train them share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.descent import Judge
from gencodec.latents import Autoencoder
from gencodec.packs.defaults import Defaults
from gencodec.refine import VelocityModel
from gencodec.training.base import adapter_of
from gencodec.training.coding import Codec, Step
from gencodec.training.entropy import EntropyModel
from gencodec.training.perceptual import Lpips, Vgg, varied
from gencodec.training.processes import own_rows, whole_batch
from gencodec.training.recipe import Refinement
from gencodec.transform.motion import LUMA

_PERCEPTUAL = 0.5  # LPIPS against mean absolute error of pixels in -1..1
_SECOND = 0.3  # the same beside VGG
_LPIPS_VGG, _DISTS = 0.8, 1.0  # likewise, each in half of the steps
_FLICKER = 0.7  # error of the change from frame to frame, likewise
_DETAIL = 0.1  # error of the strength of detail, likewise
_LOWER = 1.3  # power of a uniform share that draws quality indices: the lower are the product's
_BETTER = (10, 29)  # indices by which the first frame is better
_PART = 128  # pixels a side that LPIPS sees of a frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbench:
    """The networks of a pack in training.

    Attributes:
        autoencoder, codec, entropy, refiner: the networks.
        lpips: perceptual loss, if there are weights for it.
        vgg: another, if there are weights for it.
        judge: what encoders ask how pictures look, if the pack has it.
        base: folder of the pack whose autoencoder and transformer stay as they are.
        refinement: how the sampler is trained.
        adversarial: gradient of discriminators in stage pixels, as a share of the picture loss's.
        defaults: what encoders will do with the pack.
    """

    autoencoder: Autoencoder
    codec: Codec
    entropy: EntropyModel
    refiner: VelocityModel
    lpips: Lpips | None
    vgg: Vgg | None = None
    judge: Judge | None = None
    base: Path | None = None
    refinement: Refinement = field(default_factory=Refinement)
    adversarial: float = 0.0
    defaults: Defaults = field(default_factory=Defaults)

    @property
    def networks(self) -> list[nn.Module]:
        """All of them."""
        found = (self.autoencoder, self.codec, self.entropy, self.refiner, self.judge)
        return [network for network in found if network is not None]

    def parts(self) -> dict[str, nn.Module]:
        """Return what a run learns, by name: all networks, or what is added to a base."""
        learned: dict[str, nn.Module] = {"codec": self.codec, "entropy": self.entropy}
        if self.judge is not None:
            learned["judge"] = self.judge
        if self.base is not None:
            return {**learned, "adapter": adapter_of(self.refiner)}
        return {"autoencoder": self.autoencoder, **learned, "refiner": self.refiner}

    def perceived(self, made: Tensor, true: Tensor) -> Tensor:
        """Return LPIPS [b] of a part of one frame of clips [b, 3, t, H, W]; 0 without weights.

        A part, because LPIPS of whole frames would take more time than the codec. VGG takes ten
        times as long as the codec on a CPU; on a GPU it judges too, and what all see is varied.
        """
        if self.lpips is None:
            return made.new_zeros(len(made))
        time = random.randrange(made.shape[2])  # noqa: S311 - which part, not a secret
        top, left = (random.randrange(max(1, n - _PART + 1)) for n in made.shape[3:])  # noqa: S311
        part = (..., time, slice(top, top + _PART), slice(left, left + _PART))
        made, true = made[part], true[part]
        if self.vgg is None or not made.is_cuda:
            return self.lpips(made, true)
        second = self.vgg.lpips if random.random() < 0.5 else self.vgg.dists  # noqa: S311
        return (self.lpips(*varied(made, true)) + second(made, true)) / 2

    def coded_material(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a motion codec sees of clips, at half their size or a part as large of them.

        Args:
            frames: [b, 3, T, H, W], H and W multiples of 32.

        Returns:
            Frames [b, 3, T, H/2, W/2], and quality indices [b] of the first and of the others, as
            they go together in files.
        """
        height, width = (length // 2 for length in frames.shape[3:])
        top, left = (random.randrange(length + 1) for length in (height, width))  # noqa: S311
        part = frames[..., top : top + height, left : left + width]
        batch, device, indices = len(frames), frames.device, self.codec.config.qualities
        lowest, end = self.defaults.half_below, self.half_end
        half = _drawn(batch, 0, 2, device) * end > 0
        share = (_drawn(batch, 0, 1000, device) / 1000) ** _LOWER
        quality = torch.where(half, end * share, lowest + (indices - lowest) * share).long()
        anchor = (quality + _drawn(batch, *_BETTER, device)).clamp(max=indices - 1)
        small = F.avg_pool3d(frames, (1, 2, 2))
        return torch.where(half.view(-1, 1, 1, 1, 1), small, part), anchor, quality

    @property
    def half_end(self) -> int:
        """The quality index from which on no pictures of half the size are coded."""
        defaults = self.defaults
        return max(defaults.half_below, defaults.half_tried_below) + defaults.half_shift

    def picture_loss(
        self, made: Tensor, true: Tensor, kind: str
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of clips [b, 3, T, H, W] in -1..1, and its parts for the log.

        Mean absolute error of pixels, the same of their change from frame to frame (flicker), the
        strength of detail, and what networks say of the first and one other frame.
        """
        error = (made - true).abs().mean()
        change = (made.diff(dim=2) - true.diff(dim=2)).abs().mean()
        numbers = {f"{kind}_l1": float(error.detach()), f"{kind}_flicker": float(change.detach())}
        picks = [0, random.randrange(made.shape[2])]  # noqa: S311 - which frames, not a secret
        pictures = [x[:, :, picks].transpose(1, 2).flatten(0, 1) for x in (made, true)]
        loss = error + _FLICKER * change + _DETAIL * detail_error(*pictures)
        for name, worth, judge in self._judges():
            perceived = judge(*pictures)
            loss = loss + worth * perceived
            numbers[f"{kind}_{name}"] = float(perceived.detach())
        return loss, numbers

    def _judges(self) -> Iterator[tuple[str, float, Callable[[Tensor, Tensor], Tensor]]]:
        """Yield networks that see this step's pictures: name, worth, mean distance."""
        lpips, vgg = self.lpips, self.vgg
        if lpips is not None:
            worth = _PERCEPTUAL if vgg is None else _SECOND
            yield "lpips", worth, lambda made, true: lpips(*varied(made, true)).mean()
        if vgg is not None and random.random() < 0.5:  # noqa: S311
            yield "lpips_vgg", _LPIPS_VGG, lambda made, true: vgg.lpips(made, true).mean()
        elif vgg is not None:
            yield "dists", _DISTS, lambda made, true: vgg.dists(made, true).mean()


def detail_error(made: Tensor, true: Tensor) -> Tensor:
    """Return how the strength of detail of pictures [n, 3, H, W] differs, in three octaves."""
    luma = made.new_tensor(LUMA).view(1, 3, 1, 1)
    a, b = ((x * luma).sum(1, keepdim=True) for x in (made, true))
    total = made.new_zeros(())
    for _ in range(3):
        strengths = [_strength(x) for x in (a, b)]
        total = total + (strengths[0] - strengths[1]).abs().mean()
        a, b = (F.avg_pool2d(x, 2) for x in (a, b))
    return total


def _strength(luma: Tensor) -> Tensor:
    """Return the local strength of the finest detail of [n, 1, H, W]."""
    detail = luma - F.avg_pool2d(luma, 3, 1, 1, count_include_pad=False)
    window = min(8, *luma.shape[2:])
    return (F.avg_pool2d(detail.square(), window, max(1, window // 2)) + 1e-5).sqrt()


def train_only(bench: Workbench, trained: Iterable[nn.Parameter]) -> None:
    """Let these parameters train and no others."""
    for network in bench.networks:
        network.requires_grad_(requires_grad=False)
    for parameter in trained:
        parameter.requires_grad_()


def random_quality(batch: int, qualities: int, device: torch.device) -> Tensor:
    """Draw quality indices [b]: two thirds from the lower two thirds, where the product works."""
    top = qualities if random.random() < 1 / 3 else 2 * qualities // 3  # noqa: S311
    return _drawn(batch, 0, top, device)


def _drawn(batch: int, low: int, high: int, device: torch.device) -> Tensor:
    """Draw whole numbers [b] from low to high - 1 for this process's rows."""
    return own_rows(torch.randint(low, high, (whole_batch(batch),), device=device))


def normal(like: Tensor) -> Tensor:
    """Draw unit Gaussians in the shape of this process's rows [b, ...]."""
    shape = (whole_batch(len(like)), *like.shape[1:])
    return own_rows(torch.randn(shape, dtype=like.dtype, device=like.device))


def spend(
    entropy: EntropyModel, memory: Tensor | None, step: Step, quality: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the bits [b] of a step and the prior's next state; `memory` is None at the start."""
    if memory is None:
        symbols = step.coded.symbols
        memory = entropy.prior.start(len(symbols), *symbols.shape[-2:])
    return entropy.bits(memory, step.coded, step.hyper, quality, step.kind)


def rate_numbers(bits: Tensor, frames: Tensor) -> dict[str, float]:
    """Return the mean rate of clips for the log."""
    return {"bpp": float(bits.detach().mean()) / frames[0, 0].numel()}
