"""The door of the autoencoder: uint8 frames in, NumPy latents out, and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gencodec.execution import Execution, memory_errors
from gencodec.geometry import TEMPORAL_STRIDE, latent_shape
from gencodec.latents.autoencoder import Autoencoder


class AutoencoderStage:
    """Runs an `Autoencoder` over one group at a time; always in float32.

    Frames are padded to whole blocks: the last frame is repeated in time, edges in space.
    """

    def __init__(self, autoencoder: Autoencoder, execution: Execution) -> None:
        self._network = autoencoder.to(execution.device).eval()
        self._device = execution.device
        self.stride = autoencoder.stride
        self.channels = autoencoder.channels

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map frames [T, H, W, 3] to normalised latents [c, t, h, w]."""
        with memory_errors():
            latents = torch.cat(list(self._network.encode_blocks(self._blocks(rgb))), 2)
        encoded: NDArray[np.float32] = latents[0].float().cpu().numpy()
        return encoded

    def _blocks(self, rgb: NDArray[np.uint8]) -> Iterator[Tensor]:
        """Yield [1, 3, 1 or 4, H', W'] in -1..1, padded to whole blocks."""
        frames, height, width, _ = rgb.shape
        t, h, w = latent_shape(frames, height, width, self.stride)
        bottom, right = h * self.stride - height, w * self.stride - width
        start = 0
        for block in range(t):
            count = 1 if block == 0 else TEMPORAL_STRIDE
            part = torch.from_numpy(np.ascontiguousarray(rgb[start : start + count]))
            x = part.to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1  # [T, 3, H, W]
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
            if len(x) < count:
                x = torch.cat([x, x[-1:].expand(count - len(x), -1, -1, -1)])
            yield x.transpose(0, 1)[None]
            start += count

    @torch.inference_mode()
    def decode(
        self,
        latents: NDArray[np.float32],
        size: tuple[int, int, int],
        pictures: NDArray[np.uint8] | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Map normalised latents [c, t, h, w] to pictures in blocks [T, H, W, 3].

        Args:
            latents: what to decode.
            size: frames, height and width of the result.
            pictures: whole blocks of frames [T, H, W, 3], if a codec decoded them already.
        """
        left, height, width = size
        known = None if pictures is None else self._blocks(pictures)
        blocks = self._network.decode_blocks(self._steps(latents), known)
        while left > 0:
            with memory_errors():
                block = next(blocks)[0, :, :left, :height, :width]  # [3, T, H, W]
            pixels = ((block.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            left -= pixels.shape[1]
            yield pixels.permute(1, 2, 3, 0).cpu().numpy()

    def _steps(self, latents: NDArray[np.float32]) -> Iterator[Tensor]:
        """Yield one latent frame [1, c, 1, h, w] after the other."""
        for t in range(latents.shape[1]):
            yield torch.from_numpy(latents[:, t : t + 1]).to(self._device)[None]
