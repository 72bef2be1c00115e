"""What looks alike to networks: the perceptual losses of training.

What learns to please one network pleases that one alone: trained on SqueezeNet and AlexNet, whose
first layers see every second and fourth pixel, pictures came nearer by 17 % to both and not at all
to others. So a network that sees every pixel judges as well, and what one sees is varied.

Source: E-LPIPS, Kettunen et al., arXiv 1906.03973 (random transformations); LPIPS and DISTS as in
`gencodec.evaluation`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.execution import define_torchvision_operators
from gencodec.perceptual import Lpips

__all__ = ["Lpips", "Vgg", "varied"]

VGG_FILE = "vgg16-397923af.pth"  # in `checkpoints` of the metrics' folder, as torch's hub names it
_SCALES = (1.0, 1.0, 0.66, 0.8, 1.25, 1.5)
_SAME = 1e-6  # keeps similarities of flat features steady (Ding et al.)


class Vgg(nn.Module):
    """LPIPS-vgg and DISTS of pictures [n, 3, H, W] in -1..1.

    Args:
        folder: whose `checkpoints` holds the weights of VGG16.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        define_torchvision_operators()
        from torchmetrics.functional.image.dists import DISTSNetwork
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        usual = torch.hub.get_dir()
        torch.hub.set_dir(folder)
        try:
            self._lpips = LearnedPerceptualImagePatchSimilarity(net_type="vgg").net
            self._dists = DISTSNetwork()
        finally:
            torch.hub.set_dir(usual)
        self.eval().requires_grad_(requires_grad=False)

    @classmethod
    def find(cls, folder: Path, device: torch.device) -> Vgg | None:
        """Return the networks on a device if their weights are there."""
        there = (folder / "checkpoints" / VGG_FILE).is_file()
        return cls(folder).to(device) if there else None

    def features(self, pictures: Tensor) -> Sequence[Tensor]:
        """Return the features of the five layers that LPIPS-vgg compares."""
        layers: Sequence[Tensor] = self._lpips.net(self._lpips.scaling_layer(pictures))
        return layers

    def lpips(self, made: Tensor, true: Tensor) -> Tensor:
        """Return LPIPS-vgg [n]."""
        distance: Tensor = self._lpips(made, true).float().flatten()
        return distance

    def dists(self, made: Tensor, true: Tensor) -> Tensor:
        """Return DISTS [n]."""
        network = self._dists
        made_features = network.forward_once((made + 1) / 2)
        with torch.no_grad():
            true_features = network.forward_once((true + 1) / 2)
        total = network.alpha.sum() + network.beta.sum()
        shares = (torch.split(w / total, network.chns, 1) for w in (network.alpha, network.beta))
        alike = torch.zeros(len(made), device=made.device)
        for a, b, texture, structure in zip(made_features, true_features, *shares, strict=True):
            alike = alike + _alike(a.float(), b.float(), texture, structure)
        return 1 - alike


def _alike(a: Tensor, b: Tensor, texture: Tensor, structure: Tensor) -> Tensor:
    """Return how alike a layer's features of pictures [n] are, in means and structure, weighted."""
    axes = (2, 3)
    mean_a, mean_b = a.mean(axes, keepdim=True), b.mean(axes, keepdim=True)
    a, b = a - mean_a, b - mean_b
    spread = a.square().mean(axes, keepdim=True) + b.square().mean(axes, keepdim=True)
    common = (a * b).mean(axes, keepdim=True)
    means = (2 * mean_a * mean_b + _SAME) / (mean_a.square() + mean_b.square() + _SAME)
    parts = texture * means + structure * (2 * common + _SAME) / (spread + _SAME)
    return parts.sum((1, 2, 3))


def varied(*pictures: Tensor) -> list[Tensor]:
    """Return pictures [n, 3, H, W] under one random change: turned, scaled, recoloured."""
    changed = list(pictures)
    if random.random() < 0.5:  # noqa: S311 - which change, not a secret
        changed = [x.transpose(2, 3) for x in changed]
    axes = [axis for axis in (2, 3) if random.random() < 0.5]  # noqa: S311
    changed = [x.flip(axes) for x in changed]
    scale = random.choice(_SCALES)  # noqa: S311
    if scale != 1:
        changed = [_scaled(x, scale) for x in changed]
    if random.random() < 0.3:  # noqa: S311
        order = random.sample(range(3), 3)
        changed = [x[:, order] for x in changed]
    if random.random() < 0.3:  # noqa: S311
        gain, shift = random.uniform(0.7, 1), random.uniform(-0.1, 0.1)  # noqa: S311
        changed = [x * gain + shift for x in changed]
    return changed


def _scaled(x: Tensor, scale: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", antialias=scale < 1)
