"""Latents <-> symbols."""

from gencodec.transform.latent_codec import ANCHOR, INTER, LatentCodec, State, TransformConfig
from gencodec.transform.stage import CodedLatents, TransformStage

__all__ = [
    "ANCHOR",
    "INTER",
    "CodedLatents",
    "LatentCodec",
    "State",
    "TransformConfig",
    "TransformStage",
]
