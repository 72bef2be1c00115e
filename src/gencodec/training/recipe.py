"""Frozen training recipes: the architecture of a pack and how each stage trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gencodec.training.data import CropShape


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
        stages: settings by stage name, in the order in which they run.
        counted: size of the samples whose symbols fill the frequency tables.
        exclude: file names of the training material to leave out.
    """

    name: str
    version: str
    licence: str
    channels: int
    components: Mapping[str, Any]
    stages: Mapping[str, StageSettings]
    counted: CropShape
    exclude: frozenset[str] = field(default_factory=frozenset)


def _mini() -> Recipe:
    channels = 96
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
        "vace_in_channels": 2 * channels,  # latents and the codec's coefficients
    }
    transform = {
        "kind": "motion",
        "channels": channels,
        "picture": {"fine_width": 80, "fine_depth": 2, "coarse_width": 160, "coarse_depth": 3},
        "filter_width": 64,
        "filter_depth": 4,
        "hyper_width": 64,
        "hyper_channels": 8,
        "hyper_stride": 4,
        "qualities": 64,
        "nodes": 9,
        "worth": [2.0, 0.002],
        "inter_worth": [120.0, 0.006],
    }
    return Recipe(
        name="mini",
        version="0.1.0",
        licence="Apache-2.0 for the code; weights for research only, see trained_on",
        channels=channels,
        components={
            "autoencoder": {"wan": wan, "linear": linear},
            "transform": transform,
            "prior": {"channels": channels, "hidden": 96, "hyper_channels": 8, "split": 16},
            "refiner": refiner,
        },
        stages={
            "autoencoder": StageSettings(
                shape=CropShape(frames=5, size=160), batch=1, learning_rate=3e-4
            ),
            "picture": StageSettings(
                shape=CropShape(frames=1, size=256), batch=4, learning_rate=1e-3
            ),
            "motion": StageSettings(
                shape=CropShape(frames=13, size=256), batch=4, learning_rate=1e-3
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
        counted=CropShape(frames=17, size=256),
        exclude=frozenset({"rich_progress.mp4"}),
    )


RECIPES: Mapping[str, Recipe] = {"mini": _mini()}
