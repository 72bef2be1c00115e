"""Frames in whole blocks: what the autoencoder and a motion codec see of one latent frame."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gencodec.execution import Execution
from gencodec.geometry import TEMPORAL_STRIDE


def block_of_frames(
    rgb: NDArray[np.uint8], index: int, stride: int, execution: Execution
) -> Tensor:
    """Return the frames [1, 3, 1 or 4, H', W'] in -1..1 behind a latent frame, on the device.

    Padded to whole blocks: the last frame is repeated in time, edges in space.

    Args:
        rgb: frames [T, H, W, 3] of the group, or from an anchor on in the direction of coding.
        index: of the latent frame.
        stride: pixels a side of a block.
        execution: names the device.
    """
    start = 1 + (index - 1) * TEMPORAL_STRIDE if index else 0
    count = TEMPORAL_STRIDE if index else 1
    part = torch.from_numpy(rgb[start : start + count].copy())
    x = part.to(execution.device).permute(0, 3, 1, 2).float() / 127.5 - 1
    bottom, right = -x.shape[2] % stride, -x.shape[3] % stride
    x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    if len(x) < count:
        x = torch.cat([x, x[-1:].expand(count - len(x), -1, -1, -1)])
    return x.transpose(0, 1)[None]
