"""Frames <-> latents."""

from gencodec.latents.autoencoder import Autoencoder, LinearConfig, LinearPath, split_blocks
from gencodec.latents.stage import AutoencoderStage

__all__ = ["Autoencoder", "AutoencoderStage", "LinearConfig", "LinearPath", "split_blocks"]
