"""Frozen training recipes: the architecture of a pack and how each stage trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gencodec.training.data import CropShape

STAGES = ("autoencoder", "codec", "flow", "adapter", "pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """How one stage trains.

    Attributes:
        shape: size of a sample.
        batch: samples a step.
        learning_rate: peak rate of AdamW, after warm-up and before the final decay.
    """

    shape: CropShape
    batch: int
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that makes a pack, apart from the material and the time.

    Attributes:
        name, version, licence: of the pack.
        channels: channels of a latent.
        components: architecture of each part, as it will stand in the pack's manifest.
        stages: settings by stage name.
        exclude: file names of the training material to leave out.
    """

    name: str
    version: str
    licence: str
    channels: int
    components: Mapping[str, Any]
    stages: Mapping[str, StageSettings]
    exclude: frozenset[str] = field(default_factory=frozenset)


def _mini() -> Recipe:
    channels, width = 96, 64
    wan = {
        "patch_size": 4,
        "in_channels": 48,
        "out_channels": 48,
        "base_dim": 40,
        "dim_mult": [1, 2, 2],
        "num_res_blocks": 1,
        "temperal_downsample": [True, True],  # diffusers' spelling
        "z_dim": channels,
        "latents_mean": [0.0] * channels,
        "latents_std": [1.0] * channels,
    }
    linear = {
        "stride": 16,
        "analysis_kernel": 1,
        "synthesis_kernel": 3,
        "network_encoder": False,
    }
    refiner = {
        "patch_size": [1, 1, 1],
        "num_attention_heads": 4,
        "attention_head_dim": 64,
        "in_channels": channels,
        "out_channels": channels,
        "text_dim": 32,
        "freq_dim": 64,
        "ffn_dim": 768,
        "num_layers": 4,
        "vace_layers": [0, 2],
        "vace_in_channels": channels + width,
    }
    transform = {
        "channels": channels,
        "width": width,
        "depth": 2,
        "hyper_channels": 8,
        "hyper_stride": 4,
        "qualities": 64,
        "nodes": 9,
        "finest_step": 0.3,
        "coarsest_step": 16.0,
    }
    return Recipe(
        name="mini",
        version="0.1.0",
        licence="Apache-2.0 for the code; weights for research only, see trained_on",
        channels=channels,
        components={
            "autoencoder": {"wan": wan, "linear": linear},
            "transform": transform,
            "prior": {"channels": channels, "hidden": 64, "hyper_channels": 8, "split": 16},
            "refiner": refiner,
        },
        stages={
            "autoencoder": StageSettings(
                shape=CropShape(frames=5, size=160), batch=1, learning_rate=3e-4
            ),
            "codec": StageSettings(
                shape=CropShape(frames=17, size=256), batch=4, learning_rate=6e-4
            ),
            "flow": StageSettings(
                shape=CropShape(frames=17, size=256), batch=2, learning_rate=5e-4
            ),
            "adapter": StageSettings(
                shape=CropShape(frames=17, size=256), batch=2, learning_rate=3e-4
            ),
            "pixels": StageSettings(
                shape=CropShape(frames=9, size=128), batch=1, learning_rate=3e-4
            ),
        },
        exclude=frozenset({"rich_progress.mp4"}),
    )


RECIPES: Mapping[str, Recipe] = {"mini": _mini()}
