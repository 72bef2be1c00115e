"""The door of the autoencoder: uint8 frames in, NumPy latents out, and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencodec.blocks import block_of_frames
from gencodec.execution import Execution, memory_errors
from gencodec.geometry import latent_shape
from gencodec.latents.autoencoder import Autoencoder
from gencodec.latents.restorer import Restorer
from gencodec.tiles import TilePlan, ramp

_WHOLE = TilePlan()


class AutoencoderStage:
    """Runs an `Autoencoder` over one group at a time; in float32, save the restorer.

    Frames are padded to whole blocks: the last frame is repeated in time, edges in space.

    Args:
        autoencoder: the network.
        execution: where it runs.
        plan: tiles of the encoder, whose results are blended; a linear analysis needs none.
    """

    def __init__(
        self, autoencoder: Autoencoder, execution: Execution, plan: TilePlan = _WHOLE
    ) -> None:
        self._network = autoencoder.to(execution.device).eval()
        if autoencoder.restorer is not None and execution.device.type == "cpu":
            _quicken(autoencoder.restorer, execution.restorer_dtype)
        self._execution = execution
        self._plan = plan if autoencoder.network_encoder else _WHOLE
        self.stride = autoencoder.stride
        self.channels = autoencoder.channels

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map frames [T, H, W, 3] to normalised latents [c, t, h, w]."""
        frames, height, width, _ = rgb.shape
        shape = latent_shape(frames, height, width, self.stride)
        tiles = self._plan.tiles(shape[1:])
        if len(tiles) == 1:
            return self._encode(rgb)
        total = np.zeros((self._network.channels, *shape), np.float32)
        weight = np.zeros(shape[1:], np.float32)
        for rows, columns in tiles:
            share = ramp((rows, columns), self._plan.overlap)
            total[..., rows, columns] += share * self._encode(
                rgb[:, self._pixels(rows), self._pixels(columns)]
            )
            weight[rows, columns] += share
        blended: NDArray[np.float32] = total / weight
        return blended

    def _encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        with memory_errors():
            latents = torch.cat(list(self._network.encode_blocks(self._blocks(rgb))), 2)
        encoded: NDArray[np.float32] = latents[0].float().cpu().numpy()
        return encoded

    def _pixels(self, span: slice) -> slice:
        """Return the pixels behind a span of latent positions."""
        return slice(span.start * self.stride, span.stop * self.stride)

    def _blocks(self, rgb: NDArray[np.uint8]) -> Iterator[Tensor]:
        """Yield [1, 3, 1 or 4, H', W'] in -1..1, padded to whole blocks."""
        frames, height, width, _ = rgb.shape
        for index in range(latent_shape(frames, height, width, self.stride)[0]):
            yield block_of_frames(rgb, index, self.stride, self._execution)

    @torch.inference_mode()
    def decode(
        self,
        latents: NDArray[np.float32],
        size: tuple[int, int, int],
        pictures: NDArray[np.uint8] | None = None,
        plan: TilePlan = _WHOLE,
    ) -> Iterator[NDArray[np.uint8]]:
        """Map normalised latents [c, t, h, w] to pictures in blocks [T, H, W, 3].

        Args:
            latents: what to decode.
            size: frames, height and width of the result.
            pictures: whole blocks of frames [T, H, W, 3], if a codec decoded them already.
            plan: tiles, from the file's header; they are decoded one after the other, and blended.
        """
        frames, height, width = size
        h, w = latents.shape[-2:]
        tiles = plan.tiles((h, w))
        if len(tiles) == 1:
            blocks = self._decode(latents, pictures, frames)
        else:
            blocks = self._decode_tiles(latents, pictures, frames, tiles, plan.overlap)
        for block in blocks:
            pixels = ((block[:, :height, :width] + 1) * 127.5).round()
            yield pixels.to(torch.uint8).cpu().numpy()

    def _decode(
        self, latents: NDArray[np.float32], pictures: NDArray[np.uint8] | None, left: int
    ) -> Iterator[Tensor]:
        """Yield blocks [T, H', W', 3] of at most `left` frames in -1..1, on the device."""
        known = None if pictures is None else self._blocks(pictures)
        blocks = self._network.decode_blocks(self._steps(latents), known)
        while left > 0:
            with memory_errors():
                block = next(blocks)[0, :, :left].nan_to_num().clamp(-1, 1)
            left -= block.shape[1]
            yield block.permute(1, 2, 3, 0)

    def _decode_tiles(
        self,
        latents: NDArray[np.float32],
        pictures: NDArray[np.uint8] | None,
        frames: int,
        tiles: list[tuple[slice, slice]],
        overlap: int,
    ) -> Iterator[Tensor]:
        """Blend tiles, each decoded over all frames so that only one is on the device."""
        height, width = (length * self.stride for length in latents.shape[-2:])
        total = np.zeros((frames, height, width, 3), np.float32)
        weight = np.zeros((height, width, 1), np.float32)
        for rows, columns in tiles:
            at = self._pixels(rows), self._pixels(columns)
            share = ramp(at, overlap * self.stride)[..., None]
            weight[at] += share
            known = None if pictures is None else pictures[:, at[0], at[1]]
            start = 0
            for block in self._decode(latents[..., rows, columns], known, frames):
                total[start : start + len(block), at[0], at[1]] += share * block.cpu().numpy()
                start += len(block)
        for frame in total:
            yield torch.from_numpy(frame[None] / weight)

    def _steps(self, latents: NDArray[np.float32]) -> Iterator[Tensor]:
        """Yield one latent frame [1, c, 1, h, w] after the other."""
        for t in range(latents.shape[1]):
            step = np.ascontiguousarray(latents[:, t : t + 1])
            yield torch.from_numpy(step).to(self._execution.device)[None]


def _quicken(restorer: Restorer, dtype: torch.dtype) -> None:
    """Lay out the weights of a restorer as its layers like it on a CPU, and name its numbers."""
    for weight in restorer.parameters():
        if weight.ndim == 4:
            # `contiguous` would take 1 x 1 kernels for laid out already, and `conv2d` would not
            weight.data = weight.data.to(memory_format=torch.channels_last)
    if dtype != torch.float32:
        restorer.autocast = dtype
