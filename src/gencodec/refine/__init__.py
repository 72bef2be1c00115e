"""Latents -> refined latents."""

from gencodec.refine.noise import noise_for
from gencodec.refine.plan import TilePlan
from gencodec.refine.schedule import LEVEL_UNIT, level_of_error, noise_levels
from gencodec.refine.stage import RefineStage
from gencodec.refine.transformer import VelocityModel, euler

__all__ = [
    "LEVEL_UNIT",
    "RefineStage",
    "TilePlan",
    "VelocityModel",
    "euler",
    "level_of_error",
    "noise_for",
    "noise_levels",
]
