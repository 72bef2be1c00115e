"""Frames <-> latents."""

from gencodec.latents.autoencoder import Autoencoder, LinearConfig, LinearPath, split_blocks
from gencodec.latents.restorer import RestorerConfig
from gencodec.latents.stage import AutoencoderStage

__all__ = [
    "Autoencoder",
    "AutoencoderStage",
    "LinearConfig",
    "LinearPath",
    "RestorerConfig",
    "split_blocks",
]
