"""What a recipe takes, before anybody pays for it: parameters, memory of a GPU, hours.

Networks are built without numbers and run on shapes: their operations and the activations kept for
the gradient are counted, not guessed. Assumed are only a GPU's speed and how much of it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gencodec.execution import without_weights
from gencodec.packs.models import build_networks
from gencodec.packs.prompt import LENGTH
from gencodec.packs.published import PUBLISHED, VAE
from gencodec.refine import ADAPTER
from gencodec.training.data import CropShape
from gencodec.training.recipe import Recipe, StageSettings

FLOPS = 312e12  # a second, of an A100 or A800 in bfloat16
USED = 0.35  # of them, in transformers of this size
_TRAINED_BYTES = 20  # a trained weight: itself, gradient, two moments, average, in float32
_FROZEN_BYTES = 4
_HALF_BYTES = 2  # of a number in bfloat16
_PRECISE_COST = 4.0  # the autoencoder's operations in float32 against bfloat16
_FREE_CHOICE = 8 / 3  # steps of the sampler, the mean of 1, 2 and 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    """One stage.

    Attributes:
        stage: its name.
        trained, frozen: parameters.
        steps: None where time alone ends the stage.
        batch, processes: samples a step, and who shares them.
        memory_bytes: of one GPU.
        flops: operations of a step, of all processes together.
        hours: of the whole stage; None without steps.
    """

    stage: str
    trained: int
    frozen: int
    steps: int | None
    batch: int
    processes: int
    memory_bytes: int
    flops: float
    hours: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Operations of one pass over a network, and bytes kept for its gradient."""

    flops: float
    kept_bytes: int


def estimate(recipe: Recipe, processes: int = 1) -> list[StageEstimate]:
    """Return what every stage of a recipe takes on GPUs of `FLOPS`.

    Args:
        recipe: what to train.
        processes: GPUs that share it.
    """
    components = _components(recipe)
    with without_weights():
        networks = build_networks(components)
    networks["refiner"].to(torch.bfloat16)
    return [
        _stage(name, settings, networks, recipe, processes)
        for name, settings in recipe.stages.items()
    ]


def _components(recipe: Recipe) -> dict[str, Any]:
    """Return all components, those of a published base included."""
    if recipe.base is None:
        return dict(recipe.components)
    channels = int(VAE["z_dim"])
    statistics = {"latents_mean": [0.0] * channels, "latents_std": [1.0] * channels}
    refiner = {**PUBLISHED[recipe.base].transformer, **recipe.components["refiner"]}
    return {
        **recipe.components,
        "autoencoder": {"wan": {**VAE, **statistics}},
        "refiner": refiner,
        "prompt": {"length": LENGTH},
    }


_LEARNS: Mapping[str, tuple[str, ...]] = {
    "autoencoder": ("autoencoder",),
    "codec": ("transform",),
    "picture": ("transform",),
    "motion": ("transform",),
    "sequence": ("transform",),
    "flow": ("backbone",),
    "adapter": ("adapter",),
    "pixels": ("autoencoder", "adapter"),
    "judge": ("judge",),
    "align": ("transform", "adapter"),
    "finetune": ("transform", "adapter"),
}


def _stage(
    name: str,
    settings: StageSettings,
    networks: Mapping[str, Any],
    recipe: Recipe,
    processes: int,
) -> StageEstimate:
    sizes = _sizes(networks)
    trained = sum(sizes[part] for part in _LEARNS[name])
    frozen = sum(sizes.values()) - trained
    shared = processes if recipe.shard else 1
    weights = (trained * _TRAINED_BYTES + frozen * _FROZEN_BYTES) / shared
    flops, kept = 0.0, 0
    for share, shape in _parts(settings):
        cost = _step(name, networks, shape, recipe)
        flops += share * cost.flops * settings.batch
        kept = max(kept, cost.kept_bytes)
    rows = math.ceil(settings.batch / processes)
    seconds = flops / (FLOPS * USED * processes)
    return StageEstimate(
        stage=name,
        trained=trained,
        frozen=frozen,
        steps=settings.steps,
        batch=settings.batch,
        processes=processes,
        memory_bytes=round(weights + rows * kept),
        flops=flops,
        hours=None if settings.steps is None else settings.steps * seconds / 3600,
    )


def _sizes(networks: Mapping[str, Any]) -> dict[str, int]:
    """Return parameters by part; the transformer's own and its adapter's apart."""
    sizes = {"adapter": 0, "backbone": 0}
    for name, network in networks.items():
        for key, parameter in network.named_parameters():
            part = name
            if name == "refiner":
                part = "adapter" if key.startswith(f"wan.{ADAPTER}") else "backbone"
            sizes[part] = sizes.get(part, 0) + parameter.numel()
    return sizes


def _parts(settings: StageSettings) -> list[tuple[float, CropShape]]:
    """Return (share of the stage, size of a sample) of a curriculum."""
    starts = [0.0, *(start for start, _ in settings.curriculum)]
    ends = [*starts[1:], 1.0]
    shares = [end - start for start, end in zip(starts, ends, strict=True)]
    return list(zip(shares, settings.shapes, strict=True))


def _step(name: str, networks: Mapping[str, Any], shape: CropShape, recipe: Recipe) -> Cost:
    """Return what one sample of a step costs, forwards and backwards."""
    autoencoder, refiner = networks["autoencoder"], networks["refiner"]
    frames = (1, 3, shape.frames, shape.size, shape.size)
    t, side = 1 + (shape.frames - 1) // 4, shape.size // autoencoder.stride
    encode = _cost(lambda z: autoencoder.encode(z), frames, keep=name == "autoencoder")
    flops, kept = _PRECISE_COST * encode.flops, encode.kept_bytes
    if name in ("autoencoder", "pixels", "finetune"):
        latents = (1, autoencoder.channels, t, side, side)
        decode = _cost(lambda z: autoencoder.decode(z), latents, keep=True)
        flops, kept = flops + 3 * _PRECISE_COST * decode.flops, kept + decode.kept_bytes
    if name in ("flow", "adapter", "pixels", "align", "finetune"):
        pass_ = _transformer(refiner, (t, side, side), recipe)
        sampled = _FREE_CHOICE if name in ("align", "finetune") else 0
        learned = 0 if name == "finetune" else 1  # passes with a gradient beside the sampler's
        backwards = (4 if recipe.checkpointing else 3) * (learned + (sampled > 0))
        flops += pass_.flops * (backwards + max(0.0, sampled - 1))
        kept += pass_.kept_bytes * (learned + (sampled > 0))
    return Cost(flops=flops, kept_bytes=kept)


def _transformer(model: Any, size: tuple[int, int, int], recipe: Recipe) -> Cost:  # noqa: ANN401
    """Return the cost of a pass under a condition, one block's inner activations included."""
    config = model.wan.config

    def run(x: Tensor) -> Tensor:
        condition = torch.zeros(1, config.vace_in_channels, *size)
        return model(x, torch.zeros(1), condition)

    cost = _cost(run, (1, config.in_channels, *size), keep=True)
    if not recipe.checkpointing:
        return cost
    blocks = len(model.blocks())
    tokens = math.prod(size) / math.prod(config.patch_size)
    inputs = blocks * tokens * model.wan.patch_embedding.out_channels * _HALF_BYTES
    return Cost(flops=cost.flops, kept_bytes=round(inputs + cost.kept_bytes / blocks))


def _cost(run: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, keep: bool) -> Cost:
    """Count a pass over inputs of a shape, on shapes alone."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    counter = FlopCounterMode(display=False)
    with without_weights(), counter, hooks, torch.set_grad_enabled(keep):
        run(torch.zeros(shape, requires_grad=keep))
    return Cost(flops=float(counter.get_total_flops()), kept_bytes=sum(kept.values()))
