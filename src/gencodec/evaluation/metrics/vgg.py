"""How unlike frames look to VGG16: LPIPS-vgg and DISTS in one pass.

Both see the same picture, and their networks part only after the first stage, which is the dearest.
Where a CPU multiplies in bfloat16, so do the networks; everything after them is in float32, and
numbers differ from those of float32 by less than 5e-4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gencodec.evaluation.metrics.meter import FrameMeter, Setting
from gencodec.evaluation.metrics.weights import hub_folder, needs_eval_extra
from gencodec.evaluation.pairing import Pair
from gencodec.execution import define_torchvision_operators

_SIDE = 32  # pixels that the network can work on
_FILE, _MEGABYTES = "vgg16-397923af.pth", 528  # in torch's hub
_AT_ONCE = 1 << 18  # features of a picture that are compared at once: they stay in the cache
_Two = Sequence[Tensor]  # of the source and of the video
_SAME = 1e-6  # keeps similarities of flat features steady (Ding et al.)


class Vgg(FrameMeter):
    """LPIPS and DISTS with VGG16, at full size; networks and weights are torchmetrics's.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
    CVPR 2018; Ding et al., "Image Quality Assessment: Unifying Structure and Texture Similarity",
    TPAMI 2022.
    """

    NAMES = ("lpips_vgg", "dists")

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(_SIDE)
        device = setting.execution.device
        with hub_folder(_FILE, _MEGABYTES, setting), needs_eval_extra():
            define_torchvision_operators()
            from torchmetrics.functional.image.dists import DISTSNetwork
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

            networks = LearnedPerceptualImagePatchSimilarity(net_type="vgg").net, DISTSNetwork()
        self._lpips, self._dists = (
            network.eval().to(device, memory_format=torch.channels_last) for network in networks
        )
        self._precision = setting.fast
        self._device = device

    @torch.inference_mode()
    def compare(self, pair: Pair) -> dict[str, float]:
        """Compare one frame."""
        values: dict[str, float] = {}
        both = pair.planes.to(self._device, memory_format=torch.channels_last) / 255
        pictures = both[:1], both[1:]  # one by one: memory of this size is used again
        dists = self._dists
        with self._precision():
            first = [self._lpips.net.slice1((x - dists.mean) / dists.std) for x in pictures]
            if "lpips_vgg" in self.series:
                values["lpips_vgg"] = self._lpips_of(first)
            if "dists" in self.series:
                values["dists"] = self._dists_of(pictures, first)
        return values

    def _lpips_of(self, first: _Two) -> float:
        """Return LPIPS of both pictures' features after the first stage [1, c, h, w]."""
        network, x, total = self._lpips.net, first, 0.0
        stages = (None, network.slice2, network.slice3, network.slice4, network.slice5)
        for stage, weigh in zip(stages, self._lpips.lins, strict=True):
            x = x if stage is None else [stage(each) for each in x]
            total += _weighted_distance(x, weigh.model[-1].weight.flatten())
        return total

    def _dists_of(self, pictures: _Two, first: _Two) -> float:
        """Return DISTS of both pictures [1, 3, H, W] and their features after the first stage."""
        network = self._dists
        total = network.alpha.sum() + network.beta.sum()
        shares = [
            torch.split(w.flatten() / total, network.chns) for w in (network.alpha, network.beta)
        ]
        features = [pictures, first]
        for stage in (network.stage2, network.stage3, network.stage4, network.stage5):
            features.append([stage(each) for each in features[-1]])
        alike = sum(float(_alike(*layer)) for layer in zip(features, *shares, strict=True))
        return max(0.0, 1 - alike)


def _weighted_distance(features: _Two, weights: Tensor) -> float:
    """Return the weighted squared difference of unit features [1, c, h, w], of a position."""
    total = torch.zeros_like(weights, dtype=torch.float64)
    for part in _parts(features):
        unit = part / torch.linalg.vector_norm(part, dim=2, keepdim=True).clamp_(min=1e-12)
        total += (unit[0] - unit[1]).square_().sum(0)
    return float(total @ weights.double()) / features[0][0, 0].numel()


def _alike(features: _Two, texture: Tensor, structure: Tensor) -> Tensor:
    """Return how alike features [1, c, h, w] are, in means and in structure, weighted [c]."""
    sums = torch.zeros(5, len(texture), dtype=torch.float64, device=texture.device)
    for a, b in _parts(features):
        sums += torch.stack([each.sum(0) for each in (a, b, a * a, b * b, a * b)])
    mean_a, mean_b, square_a, square_b, product = sums / features[0][0, 0].numel()
    means = (2 * mean_a * mean_b + _SAME) / (mean_a**2 + mean_b**2 + _SAME)
    spread = square_a - mean_a**2 + square_b - mean_b**2
    common = product - mean_a * mean_b
    alike: Tensor = (texture * means + structure * (2 * common + _SAME) / (spread + _SAME)).sum()
    return alike


def _parts(features: _Two) -> Iterator[Tensor]:
    """Yield features [1, c, h, w] as [2, n, c], a part of the positions after the other."""
    places = [each.permute(0, 2, 3, 1).flatten(1, 2) for each in features]
    _, total, channels = places[0].shape
    count = max(1, _AT_ONCE // channels)
    for start in range(0, total, count):
        yield torch.cat([each[:, start : start + count].float() for each in places])
