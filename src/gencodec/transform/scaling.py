"""Half-size coding: what the codec sees of frames, and what is made of its pictures.

At the lowest rates half the width and height leave the same bytes four times as many bits a pixel;
refinement restores what enlarging cannot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gencodec.transform.stage import Reconstruction


def halved(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return frames [T, H, W, 3] at half their size, rounded up: means of 2 x 2 pixels."""
    bottom, right = rgb.shape[1] % 2, rgb.shape[2] % 2
    if bottom or right:
        rgb = np.pad(rgb, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    rows = rgb[:, 0::2].astype(np.uint16) + rgb[:, 1::2]
    return ((rows[:, :, 0::2] + rows[:, :, 1::2] + 2) >> 2).astype(np.uint8)


def enlarged(coded: Reconstruction, grid: tuple[int, int]) -> Reconstruction:
    """Return what a codec rebuilt at half size at twice the size.

    Pictures are interpolated by cubic convolution (a = -0.75), features are repeated.

    Args:
        coded: pictures [T, H, W, 3] in whole blocks, features [f, t, h, w].
        grid: rows and columns of the latents; what lies beyond is cut off.
    """
    if coded.pictures is None:
        raise TypeError("only pictures can be enlarged")
    features = coded.features.repeat(2, axis=2).repeat(2, axis=3)[..., : grid[0], : grid[1]]
    block = coded.pictures.shape[1] // coded.features.shape[2]  # pixels of a latent, either size
    height, width = (length * block for length in grid)
    pictures = np.stack([_large(picture)[:height, :width] for picture in coded.pictures])
    return replace(coded, features=np.ascontiguousarray(features), pictures=pictures)


def doubled(pictures: Tensor) -> Tensor:
    """Return pictures uint8 [n, 3, H, W] at twice their size."""
    large = F.interpolate(pictures.float(), scale_factor=2, mode="bicubic", align_corners=False)
    return large.clamp(0, 255).round().byte()


def _large(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] at twice its size."""
    large = doubled(torch.from_numpy(picture).permute(2, 0, 1)[None])
    made: NDArray[np.uint8] = large[0].permute(1, 2, 0).numpy()
    return made
