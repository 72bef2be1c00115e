"""Discriminators: networks that learn to tell made frames from true ones, and what they ask for.

One looks at frames through the features of a frozen VGG16, so that it knows from the first step
what pictures consist of; one looks at three frames in a row, where flicker shows. Both see what was
there before refinement: not whether frames are likely, but whether they are for these.

Source: projected discriminators, Sauer et al., arXiv 2111.01007; hinge loss and spectral norm,
Miyato et al., arXiv 1802.05957; the balance of gradients, Esser et al., arXiv 2012.09841.
"""

from __future__ import annotations

import random
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gencodec.training.perceptual import Vgg, varied

_LAYERS = {1: 128, 2: 256, 3: 512}  # of VGG16's five: their channels
_WIDTH = 128
_CLIP = 3  # frames in a row
_RATE = 4e-4
_BETAS = (0.5, 0.99)


class _FrameHead(nn.Module):
    """Judges the features of one layer [n, c, h, w], beside those of what was there before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into = spectral_norm(nn.Conv2d(2 * channels, _WIDTH, 1))
        self.spatial = spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1))
        self.out = spectral_norm(nn.Conv2d(_WIDTH, 1, 1))

    def forward(self, features: Tensor, before: Tensor) -> Tensor:
        x = F.leaky_relu(self.into(torch.cat([features, before], 1)), 0.2)
        verdict: Tensor = self.out(F.leaky_relu(self.spatial(x), 0.2))
        return verdict


class _ClipHead(nn.Sequential):
    """Judges frames in a row and what was there before, stacked [n, 18, H, W]."""

    def __init__(self) -> None:
        widths = (2 * 3 * _CLIP, 64, 128, 256)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        super().__init__(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))


class Discriminator(nn.Module):
    """Both, their optimiser, and the loss of those who would deceive them.

    Args:
        vgg: features of frames.
    """

    def __init__(self, vgg: Vgg) -> None:
        super().__init__()
        self._features = vgg.features
        self.frames = nn.ModuleList(_FrameHead(channels) for channels in _LAYERS.values())
        self.clips = _ClipHead()
        self._optimiser = torch.optim.AdamW(self.parameters(), _RATE, _BETAS, foreach=False)

    def learn(self, made: Tensor, true: Tensor, before: Tensor) -> float:
        """Take a step on clips [b, 3, T, H, W] in -1..1, and return the hinge loss before it."""
        made, true, before = _shown(made.detach(), true, before)
        context = self._context(before)
        fakes, reals = (self._verdicts(clip, before, context) for clip in (made, true))
        verdicts = zip(fakes, reals, strict=True)
        parts = [F.relu(1 + fake).mean() + F.relu(1 - real).mean() for fake, real in verdicts]
        loss = torch.stack(parts).mean()
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())

    def doubt(self, made: Tensor, before: Tensor) -> Tensor:
        """Return how far clips [b, 3, T, H, W] are from being taken for true ones."""
        made, before = _shown(made, before)
        verdicts = self._verdicts(made, before, self._context(before))
        return torch.stack([-fake.mean() for fake in verdicts]).mean()

    @torch.no_grad()
    def _context(self, before: Tensor) -> list[Tensor]:
        """Return the features of what was there before, of the layers that are judged."""
        return self._middle(before)

    def _verdicts(self, clip: Tensor, before: Tensor, context: list[Tensor]) -> list[Tensor]:
        layers = zip(self.frames, self._middle(clip), context, strict=True)
        rows = torch.cat([clip, before], 1).flatten(1, 2)
        return [*(head(features, known) for head, features, known in layers), self.clips(rows)]

    def _middle(self, clip: Tensor) -> list[Tensor]:
        """Return the features of a clip's middle frame."""
        features = self._features(clip[:, :, clip.shape[2] // 2])
        return [_even(features[k]) for k in _LAYERS]


def _shown(*clips: Tensor) -> list[Tensor]:
    """Return three frames in a row of clips [b, 3, T, H, W], under one random change."""
    start = random.randrange(clips[0].shape[2] - _CLIP + 1)  # noqa: S311 - which, not a secret
    rows = [clip[:, :, start : start + _CLIP] for clip in clips]
    changed = varied(*(row.transpose(1, 2).flatten(0, 1) for row in rows))
    return [x.unflatten(0, (-1, _CLIP)).transpose(1, 2) for x in changed]


def _even(features: Tensor) -> Tensor:
    """Scale the features of each position to a mean square of one."""
    features = features.float()
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + 1e-2)
