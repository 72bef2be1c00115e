"""What pictures lack that were coded at half their size: restored in pixels, told by latents.

    pictures [b, 3, T, H, W], latents [b, c, h, w]  ->  what to add to the pictures

Its features lie at 1/4 and 1/8 of the size. Each frame sees how it differs from the one before.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.layers import Block

_FINE = 4  # pixels a side of a position


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorerConfig:
    """Sizes of the restorer.

    Attributes:
        fine_width: features at 1/4 of the size.
        fine_depths: blocks there, before and after those at 1/8.
        coarse_width, coarse_depth: features and blocks at 1/8.
        stride: pixels a side of a latent position, a multiple of 8.
    """

    fine_width: int = 96
    fine_depths: tuple[int, int] = (2, 4)
    coarse_width: int = 128
    coarse_depth: int = 3
    stride: int = 16


class Restorer(nn.Module):
    """A network that starts by adding nothing."""

    def __init__(self, channels: int, config: RestorerConfig) -> None:
        super().__init__()
        fine, coarse = config.fine_width, config.coarse_width
        pixels = 3 * _FINE**2
        before, after = config.fine_depths
        self.pixels_in = nn.Conv2d(2 * pixels, fine, 1)
        self.latents_in = nn.Conv2d(channels, coarse, 1)
        self.before = nn.Sequential(*(Block(fine) for _ in range(before)))
        self.down = nn.Conv2d(4 * fine, coarse, 1)
        self.coarse = nn.Sequential(*(Block(coarse) for _ in range(config.coarse_depth)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.after = nn.Sequential(*(Block(fine) for _ in range(after)))
        self.pixels = nn.Conv2d(fine, pixels, 3, padding=1)
        self._repeats = config.stride // (2 * _FINE)
        self.autocast: torch.dtype | None = None
        for parameter in self.pixels.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pictures: Tensor, last: Tensor | None, latents: Tensor) -> Tensor:
        """Return what to add to pictures [b, 3, T, H, W].

        Args:
            pictures: of one latent frame, in -1..1.
            last: the picture before them [b, 3, H, W]; None if there is none.
            latents: normalised [b, c, h, w].
        """
        device, dtype = pictures.device.type, self.autocast
        with nullcontext() if dtype is None else torch.autocast(device, dtype):
            return self._forward(pictures, last, latents).float()

    def _forward(self, pictures: Tensor, last: Tensor | None, latents: Tensor) -> Tensor:
        b, _, t, _, _ = pictures.shape
        first = pictures[:, :, 0] if last is None else last
        change = torch.cat([first.unsqueeze(2), pictures[:, :, :-1]], 2) - pictures
        both = torch.cat([pictures, change], 1).transpose(1, 2).flatten(0, 1)
        x = self.before(self.pixels_in(F.pixel_unshuffle(both, _FINE)))
        told = self.latents_in(latents).repeat_interleave(t, 0)
        told = told.repeat_interleave(self._repeats, 2).repeat_interleave(self._repeats, 3)
        coarse = self.coarse(self.down(F.pixel_unshuffle(x, 2)) + told)
        x = self.after(x + F.pixel_shuffle(self.up(coarse), 2))
        made = F.pixel_shuffle(self.pixels(x), _FINE)
        return made.unflatten(0, (b, t)).transpose(1, 2)
