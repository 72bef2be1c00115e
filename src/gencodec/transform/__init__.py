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
from gencodec.transform.rounding import Rounded, dead_zone_round
from gencodec.transform.scaling import doubled, enlarged
from gencodec.transform.stage import (
    Improve,
    LatentStage,
    Reconstruction,
    Source,
    Transform,
    integers,
)

__all__ = [
    "ANCHOR",
    "DEAD_ZONES",
    "INTER",
    "Improve",
    "LatentCodec",
    "LatentStage",
    "MotionCodec",
    "MotionCodecConfig",
    "MotionStage",
    "MotionState",
    "Reconstruction",
    "Rounded",
    "Source",
    "State",
    "Transform",
    "TransformConfig",
    "dead_zone_round",
    "doubled",
    "enlarged",
    "integers",
    "search_motion",
]
