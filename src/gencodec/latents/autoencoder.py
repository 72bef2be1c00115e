"""Frames <-> latents: the Wan-style causal 3D autoencoder, with an optional linear path.

    frames [b, 3, 1+4n, H, W] in -1..1  ->  latents [b, c, 1+n, H/16, W/16]  ->  frames

The network is diffusers' `AutoencoderKLWan`. Small packs add a strided linear transform beside it
(`z = A x + enc(x)`, `x^ = B z + dec(z, B z)`): a Karhunen-Loeve transform is a usable codec before
the first gradient step, and the network only learns what a linear map cannot do. The decoder sees
the linear picture before its last block, where it works as a filter from the first step on; without
that it had learned next to nothing after 45 minutes on one core. Frames that a codec has decoded
already a restorer may finish instead, which costs as much and learns faster. Real Wan packs have no
linear path.
Latents leave this module normalised by the stored mean and deviation of each channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.execution import define_torchvision_operators
from gencodec.geometry import TEMPORAL_STRIDE
from gencodec.latents.restorer import Restorer, RestorerConfig

define_torchvision_operators()
from diffusers import AutoencoderKLWan  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearConfig:
    """Sizes of the linear path.

    Attributes:
        stride: pixels a side of the block behind one latent position.
        analysis_kernel: latent positions a side that one analysis coefficient looks at (odd).
        synthesis_kernel: latent positions a side that one block of pixels is made from (odd).
        network_encoder: whether the network adds to the analysis; without it encoding is linear.
    """

    stride: int = 16
    analysis_kernel: int = 1
    synthesis_kernel: int = 3
    network_encoder: bool = True


class LinearPath(nn.Module):
    """A strided causal linear transform and its synthesis.

    One pair serves the first frame of a group (`image`), one each following block of four (`clip`).
    Pixels are rearranged to one vector a block first, so both maps are small convolutions on the
    latent grid: kernels wider than one position overlap blocks and remove their edges.
    """

    def __init__(self, channels: int, config: LinearConfig) -> None:
        super().__init__()
        self.stride = config.stride
        image = 3 * config.stride**2
        a, s = config.analysis_kernel, config.synthesis_kernel
        self.image_analysis = nn.Conv2d(image, channels, a, padding=a // 2)
        self.clip_analysis = nn.Conv2d(TEMPORAL_STRIDE * image, channels, a, padding=a // 2)
        self.image_synthesis = nn.Conv2d(
            channels, image, s, padding=s // 2, padding_mode="replicate"
        )
        self.clip_synthesis = nn.Conv2d(
            channels, TEMPORAL_STRIDE * image, s, padding=s // 2, padding_mode="replicate"
        )

    def analyse(self, frames: Tensor) -> Tensor:
        """Map frames [b, 3, T, H, W] (T is 1 or 4) to coefficients [b, c, 1, H/s, W/s]."""
        b, _, t, height, width = frames.shape
        blocks = F.pixel_unshuffle(
            frames.transpose(1, 2).reshape(b, t * 3, height, width), self.stride
        )
        conv = self.image_analysis if t == 1 else self.clip_analysis
        return conv(blocks).unsqueeze(2)

    def synthesise(self, latents: Tensor, *, first: bool, change: bool = False) -> Tensor:
        """Map coefficients [b, c, 1, h, w] to frames [b, 3, T, H, W]; T is 1 if `first`, else 4.

        Args:
            latents: coefficients.
            first: they are those of an image.
            change: they are a difference of coefficients; the result is that of the frames.
        """
        conv = self.image_synthesis if first else self.clip_synthesis
        blocks = conv(latents.squeeze(2))
        if change and conv.bias is not None:
            blocks = blocks - conv.bias[:, None, None]
        pixels = F.pixel_shuffle(blocks, self.stride)
        b, _, height, width = pixels.shape
        return pixels.reshape(b, -1, 3, height, width).transpose(1, 2)


class Autoencoder(nn.Module):
    """`AutoencoderKLWan` plus the optional linear path, working block by block.

    One instance serves one stream at a time: diffusers keeps the causal caches on the module.

    Args:
        wan_config: arguments of `AutoencoderKLWan`; `latents_mean` and `latents_std` normalise.
        linear: sizes of the linear path, or None for a pure Wan autoencoder.
        restorer: sizes of the network that works on frames decoded already, beside a linear path.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        wan_config: dict[str, Any],
        linear: LinearConfig | None = None,
        restorer: RestorerConfig | None = None,
    ) -> None:
        super().__init__()
        self.wan = AutoencoderKLWan(**wan_config)
        self.channels = int(self.wan.config.z_dim)
        self.patch = self.wan.config.patch_size or 1
        self.stride = self.patch * 2 ** (len(self.wan.config.dim_mult) - 1)
        self.linear = None if linear is None else LinearPath(self.channels, linear)
        self.restorer = None if restorer is None else Restorer(self.channels, restorer)
        self._picture: Tensor | None = None
        self.network_encoder = linear is None or linear.network_encoder
        if not self.network_encoder:
            self.wan.encoder, self.wan.quant_conv = None, None
        shape = (1, self.channels, 1, 1, 1)
        self.register_buffer("mean", torch.tensor(self.wan.config.latents_mean).view(shape))
        self.register_buffer("std", torch.tensor(self.wan.config.latents_std).view(shape))
        if linear is not None:
            self._silence_networks()
            last = self.wan.decoder.up_blocks[-1]
            width = last.resnets[0].in_dim
            self.inject = nn.Conv3d(3 * self.patch**2, width, (1, 3, 3), padding=(0, 1, 1))
            last.register_forward_pre_hook(self._add_picture)

    def _add_picture(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Add the linear picture's features to what enters the decoder's last block."""
        if self._picture is None:
            return inputs
        return inputs[0] + self.inject(self._patchify(self._picture)), *inputs[1:]

    def _silence_networks(self) -> None:
        """Zero the last layers, so that training starts from the linear transform."""
        for layer in (self.wan.quant_conv, self.wan.decoder.conv_out):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def encode(self, frames: Tensor) -> Tensor:
        """Map frames [b, 3, 1+4n, H, W] in -1..1 to normalised latents [b, c, 1+n, H/s, W/s]."""
        return torch.cat(list(self.encode_blocks(split_blocks(frames))), dim=2)

    def encode_blocks(self, blocks: Iterator[Tensor]) -> Iterator[Tensor]:
        """Encode one causal block (1 frame, then 4 at a time) after the other."""
        cache: list[Any] = [None] * self.wan._cached_conv_counts["encoder"]
        for block in blocks:
            latents = torch.zeros(()) if self.linear is None else self.linear.analyse(block)
            if self.network_encoder:
                features = self.wan.encoder(self._patchify(block), feat_cache=cache, feat_idx=[0])
                latents = latents + self.wan.quant_conv(features)[:, : self.channels]
            yield (latents - self.mean) / self.std

    def decode(self, latents: Tensor, pictures: Tensor | None = None) -> Tensor:
        """Map normalised latents [b, c, 1+n, h, w] to frames [b, 3, 1+4n, H, W], not clamped.

        Args:
            latents: what to decode.
            pictures: frames [b, 3, 1+4n, H, W] that a codec decoded already, if it works on frames;
                the linear path then only adds how `latents` differ from theirs.
        """
        known = None if pictures is None else split_blocks(pictures)
        return torch.cat(list(self.decode_blocks(latents.split(1, 2), known)), dim=2)

    def decode_blocks(
        self, latents: Iterable[Tensor], pictures: Iterable[Tensor] | None = None
    ) -> Iterator[Tensor]:
        """Decode one latent frame after the other: 1 frame first, then 4 for each.

        Args:
            latents: [b, c, 1, h, w], one after the other.
            pictures: [b, 3, 1 or 4, H, W], one after the other.
        """
        if pictures is not None and self.restorer is not None:
            yield from self._restore_blocks(self.restorer, latents, pictures)
            return
        cache: list[Any] = [None] * self.wan._cached_conv_counts["decoder"]
        known = repeat(None) if pictures is None else pictures
        for t, (latent, shown) in enumerate(zip(latents, known, strict=False)):
            z = latent * self.std + self.mean
            picture = self._picture = self._linear_picture(z, shown, first=t == 0)
            features = self.wan.post_quant_conv(z if self.linear is None else z / self.std)
            pixels = self.wan.decoder(features, feat_cache=cache, feat_idx=[0], first_chunk=t == 0)
            frames = self._unpatchify(pixels)
            yield frames if picture is None else frames + picture

    def _restore_blocks(
        self, restorer: Restorer, latents: Iterable[Tensor], pictures: Iterable[Tensor]
    ) -> Iterator[Tensor]:
        """Yield decoded frames, changed as the latents say and restored."""
        last = None
        for t, (latent, shown) in enumerate(zip(latents, pictures, strict=False)):
            picture = self._linear_picture(latent * self.std + self.mean, shown, first=t == 0)
            if picture is None:
                raise TypeError("a restorer needs a linear path")
            yield picture + restorer(picture, last, latent[:, :, 0])
            last = picture[:, :, -1]

    def _linear_picture(self, z: Tensor, shown: Tensor | None, *, first: bool) -> Tensor | None:
        """Return what the linear path makes of coefficients [b, c, 1, h, w], if there is one."""
        if self.linear is None:
            return None
        if shown is None:
            return self.linear.synthesise(z, first=first)
        change = z - self.linear.analyse(shown)
        return shown + self.linear.synthesise(change, first=first, change=True)

    def _patchify(self, frames: Tensor) -> Tensor:
        """[b, 3, t, h·p, w·p] -> [b, 3·p², t, h, w] in the order of diffusers' `patchify`."""
        if self.patch == 1:
            return frames
        b, c, t, height, width = frames.shape
        p = self.patch
        x = frames.reshape(b, c, t, height // p, p, width // p, p)
        return x.permute(0, 1, 6, 4, 2, 3, 5).reshape(b, c * p * p, t, height // p, width // p)

    def _unpatchify(self, x: Tensor) -> Tensor:
        """Inverse of `_patchify`."""
        if self.patch == 1:
            return x
        b, c, t, h, w = x.shape
        p = self.patch
        x = x.reshape(b, c // (p * p), p, p, t, h, w)
        return x.permute(0, 1, 4, 5, 3, 6, 2).reshape(b, c // (p * p), t, h * p, w * p)


def split_blocks(frames: Tensor) -> Iterator[Tensor]:
    """Split frames [b, 3, 1+4n, H, W] into the first frame and blocks of four."""
    yield frames[:, :, :1]
    for start in range(1, frames.shape[2], TEMPORAL_STRIDE):
        yield frames[:, :, start : start + TEMPORAL_STRIDE]
