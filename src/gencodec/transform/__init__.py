"""Latents or frames <-> symbols."""

from gencodec.transform.latent_codec import ANCHOR, INTER, LatentCodec, State, TransformConfig
from gencodec.transform.motion import search_motion
from gencodec.transform.motion_codec import (
    DEAD_ZONES,
    MotionCodec,
    MotionState,
)
from gencodec.transform.motion_networks import MotionCodecConfig
from gencodec.transform.motion_stage import MotionStage
from gencodec.transform.scaling import doubled, enlarged
from gencodec.transform.stage import LatentStage, Reconstruction, Source, Transform

__all__ = [
    "ANCHOR",
    "DEAD_ZONES",
    "INTER",
    "LatentCodec",
    "LatentStage",
    "MotionCodec",
    "MotionCodecConfig",
    "MotionStage",
    "MotionState",
    "Reconstruction",
    "Source",
    "State",
    "Transform",
    "TransformConfig",
    "doubled",
    "enlarged",
    "search_motion",
]
