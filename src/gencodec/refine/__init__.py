"""Latents -> refined latents."""

from gencodec.refine.noise import noise_for
from gencodec.refine.schedule import LEVEL_UNIT, level_of_error, noise_levels
from gencodec.refine.stage import PriorFlow, RefineStage
from gencodec.refine.transformer import ADAPTER, VelocityModel, euler, weight_format

__all__ = [
    "ADAPTER",
    "LEVEL_UNIT",
    "PriorFlow",
    "RefineStage",
    "VelocityModel",
    "euler",
    "level_of_error",
    "noise_for",
    "noise_levels",
    "weight_format",
]
