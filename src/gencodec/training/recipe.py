"""Frozen training recipes: the architecture of a pack and how each stage trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gencodec.packs.defaults import Defaults
from gencodec.packs.published import PUBLISHED, VACE_LAYERS_1_3B
from gencodec.packs.wan import DEFAULTS as WAN_DEFAULTS
from gencodec.training.data import CropShape


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """How one stage trains.

    Attributes:
        shape: size of a sample.
        batch: samples a step, of all processes together.
        learning_rate: peak rate of AdamW, after warm-up and before the final decay.
        last_rate: share of it that is left at the end.
        steps: after which the stage is done; None is as many as the time allows.
        curriculum: (share of the stage, size of a sample from there on), rising.
    """

    shape: CropShape
    batch: int
    learning_rate: float
    last_rate: float = 0.03
    steps: int | None = None
    curriculum: tuple[tuple[float, CropShape], ...] = ()

    def shape_at(self, share: float) -> CropShape:
        """Return the size of a sample when `share` of the stage is done."""
        reached = [shape for start, shape in self.curriculum if share >= start]
        return reached[-1] if reached else self.shape

    @property
    def shapes(self) -> tuple[CropShape, ...]:
        """Every size of a sample."""
        return self.shape, *(shape for _, shape in self.curriculum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """How stages of `joint.py` train the sampler.

    Attributes:
        steps: numbers of Euler steps, one of which is drawn for every training step.
        noise: whether noise is mixed into the start.
        start_level: in thousandths; None is as strong as the codec's error.
        gradient: passes "all" steps, the "last" one, or is "cut".
        lpips: worth of LPIPS beside the squared error.
    """

    steps: tuple[int, ...] = (1, 2, 5)
    noise: bool = True
    start_level: int | None = None
    gradient: Literal["all", "last", "cut"] = "last"
    lpips: float = 0.1


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
        base: published pack whose autoencoder and transformer stay as they are; components then
            hold what is added to it.
        refinement: how stages of `joint.py` train the sampler.
        adversarial: gradient of discriminators in stage pixels, as a share of the picture loss's.
        checkpointing: compute the transformer's activations twice instead of keeping them.
        shard: spread the weights over the processes.
        defaults: what an encoder does with the pack.
    """

    name: str
    version: str
    licence: str
    channels: int
    components: Mapping[str, Any]
    stages: Mapping[str, StageSettings]
    counted: CropShape
    exclude: frozenset[str] = field(default_factory=frozenset)
    base: str | None = None
    refinement: Refinement = Refinement()
    adversarial: float = 0.0
    checkpointing: bool = False
    shard: bool = False
    defaults: Defaults = field(default_factory=Defaults)


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
        "residual": True,
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
        "fine_width": 64,
        "fine_depth": 4,
        "coarse_width": 128,
        "coarse_depth": 3,
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
            "autoencoder": {"wan": wan, "linear": linear, "restorer": {}},
            "transform": transform,
            "prior": {
                "channels": channels,
                "hidden": 96,
                "hyper_channels": 8,
                "split": 16,
                "motion": True,
            },
            "refiner": refiner,
            "judge": {},
        },
        stages={
            "autoencoder": StageSettings(
                shape=CropShape(frames=5, size=160), batch=1, learning_rate=3e-4
            ),
            "picture": StageSettings(
                shape=CropShape(frames=1, size=288), batch=8, learning_rate=1e-3
            ),
            "motion": StageSettings(
                shape=CropShape(frames=33, size=320), batch=2, learning_rate=1e-3
            ),
            "sequence": StageSettings(
                shape=CropShape(frames=33, size=320), batch=2, learning_rate=5e-4
            ),
            "flow": StageSettings(
                shape=CropShape(frames=17, size=256), batch=2, learning_rate=5e-4
            ),
            "adapter": StageSettings(
                shape=CropShape(frames=17, size=256), batch=2, learning_rate=3e-4
            ),
            "pixels": StageSettings(
                shape=CropShape(frames=33, size=320), batch=1, learning_rate=4e-4
            ),
            "judge": StageSettings(
                shape=CropShape(frames=1, size=288), batch=8, learning_rate=2e-3
            ),
        },
        counted=CropShape(frames=17, size=320),
        exclude=frozenset({"rich_progress.mp4"}),
        defaults=Defaults(
            anchor_offset=8.0,
            anchor_doubling=1.5,
            half_below=7,
            half_shift=20,
            half_tried_below=30,
            steps=1,
            refine_below=7,
            tile_frames=3,
            prior_frames=9,
        ),
    )


def _wan() -> Recipe:
    """The paper's recipe on Wan 2.1 VACE 1.3B.

    Source: GNVC-VD, arXiv 2512.05016: iterations, frames, crop, batches, learning rates, five
    steps from a level of 300; steps of 1 and 2 as well, noise and level as VoRTeC, arXiv
    2609.02291, are ours. AdamW, EMA and clipping are those of all stages.
    """
    name, channels, width = "wan2.1-vace-1.3b", 16, 256
    crops = [CropShape(frames=frames, size=256) for frames in (5, 9, 13)]
    curriculum = ((0.4, crops[1]), (0.7, crops[2]))  # 40 000, 30 000, 30 000 steps
    return Recipe(
        name="gnvc-wan2.1-vace-1.3b",
        version="0.1.0",
        licence=f"{PUBLISHED[name].licence} (networks); of the codec: see trained_on",
        channels=channels,
        components={
            "transform": {"channels": channels, "width": width, "depth": 4, "hyper_stride": 4},
            "prior": {"channels": channels, "hidden": 128, "hyper_channels": 8, "split": 4},
            "refiner": {"vace_layers": VACE_LAYERS_1_3B, "vace_in_channels": channels + width},
        },
        stages={
            "align": StageSettings(
                shape=crops[0], batch=8, learning_rate=1e-4, steps=100_000, curriculum=curriculum
            ),
            "finetune": StageSettings(
                shape=crops[2], batch=2, learning_rate=5e-5, last_rate=0.2, steps=100_000
            ),
        },
        counted=crops[2],
        base=name,
        checkpointing=True,
        shard=True,
        defaults=replace(WAN_DEFAULTS, steps=1, noise=True, search_refinement=True),
    )


RECIPES: Mapping[str, Recipe] = {"mini": _mini(), "wan2.1-vace-1.3b": _wan()}
