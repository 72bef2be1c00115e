"""Train a pack: stages in order, each for its share of the time, resumable at any moment."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from gencodec.errors import PackError, SourceError
from gencodec.execution import Execution
from gencodec.packs import find_pack, read_manifest, verify_pack
from gencodec.packs.models import JUDGE, REFINER, TRANSFORM, build_networks, load_networks
from gencodec.packs.prior import PRIOR
from gencodec.progress import Report
from gencodec.symbols import PriorConfig
from gencodec.training.base import based_components, based_networks
from gencodec.training.data import ClipStore, CropShape
from gencodec.training.entropy import EntropyModel
from gencodec.training.export import export_pack
from gencodec.training.joint import AlignTraining, FinetuneTraining
from gencodec.training.judging import JudgeTraining
from gencodec.training.linear import fit_linear_path, fit_picture_transform
from gencodec.training.loop import Budget, Run, run_stage
from gencodec.training.motion import MotionTraining, PictureTraining, SequenceTraining
from gencodec.training.perceptual import Lpips, Vgg
from gencodec.training.pixels import PixelTraining
from gencodec.training.processes import Processes, local_device, whole
from gencodec.training.recipe import RECIPES, Recipe
from gencodec.training.stages import (
    AdapterTraining,
    AutoencoderTraining,
    FlowTraining,
    LatentCodecTraining,
)
from gencodec.training.workbench import Workbench
from gencodec.transform import LatentCodec

STAGE_CLASSES = {
    stage.name: stage
    for stage in (
        AutoencoderTraining,
        LatentCodecTraining,
        PictureTraining,
        MotionTraining,
        SequenceTraining,
        FlowTraining,
        AdapterTraining,
        PixelTraining,
        JudgeTraining,
        AlignTraining,
        FinetuneTraining,
    )
}
_LPIPS_FILE = "squeezenet1_1_lpips.npz"
_START_FILE = "start.safetensors"
_FIT_BATCHES, _FIT_BATCH = 250, 100
_COUNT_BATCHES = 40
_PICTURE_FIT = CropShape(frames=1, size=256)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training run left behind."""

    steps: Mapping[str, int]
    seconds: float
    run: Path
    pack: Path
    log: Path


def train(  # noqa: PLR0913 - the command's options, each with a default
    recipe: str = "mini",
    *,
    clips: Sequence[Path],
    run: Path,
    minutes: float,
    stages: Sequence[str] | None = None,
    start_from: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    metrics_dir: Path | None = None,
    max_steps: int | None = None,
    on_progress: Report | None = None,
) -> TrainResult:
    """Train for `minutes` and export a pack into `run`/pack.

    Args:
        recipe: name of a recipe.
        clips: folders of clips and pictures.
        run: folder of checkpoints, log and pack; an existing one is continued.
        minutes: wall time of all stages together, shared equally.
        stages: names of the stages to run, all by default.
        start_from: pack whose weights a new run starts from.
        device: where to train.
        threads: CPU threads.
        metrics_dir: folder with the LPIPS weights; without it stages train without LPIPS.
        max_steps: steps a stage at most, for trying out.
        on_progress: told about every step.

    Raises:
        PackError: unknown recipe, or weights that do not fit.
        SourceError: no clips, none large enough, an unknown stage, or one that needs LPIPS.
    """
    plan = recipe_of(recipe)
    chosen = _chosen(plan, stages, metrics_dir)
    run.mkdir(parents=True, exist_ok=True)
    execution = Execution.choose(local_device(device), threads=threads)
    processes = Processes(execution, shard=plan.shard)
    started = time.monotonic()
    with processes.first_alone():
        store = ClipStore(clips, run / "clips", exclude=plan.exclude)
        sizes = (shape for name in chosen for shape in plan.stages[name].shapes)
        for shape in (*sizes, plan.counted):
            store.require(shape)  # now rather than after hours of training
        components = _start(plan, store, run, start_from)
    steps = {}
    for name in plan.stages:
        if name not in chosen:
            continue
        known = _judged(components, run, name)
        bench = _prepared(plan, known, run, metrics_dir, execution)
        budget = Budget(minutes=minutes / len(chosen), steps=max_steps)
        steps[name] = run_stage(
            STAGE_CLASSES[name](bench),
            store,
            plan.stages[name],
            Run(folder=run, processes=processes),
            budget,
            on_progress,
        )
        _save_start(bench, run, processes)
    if processes.first:
        components = _judged(components, run)
        bench = _prepared(plan, components, run, None, execution)
        batches = _normalised(store, plan.counted, _COUNT_BATCHES if max_steps is None else 2)
        document = _document(plan, components, clips)
        export_pack(bench, document, run / "pack", (b.to(execution.device) for b in batches))
    processes.wait()
    return TrainResult(
        steps=steps,
        seconds=time.monotonic() - started,
        run=run,
        pack=run / "pack",
        log=run / "log.jsonl",
    )


def _chosen(recipe: Recipe, stages: Sequence[str] | None, metrics: Path | None) -> tuple[str, ...]:
    """Return the stages to run; without LPIPS there is nothing that a judge could learn from."""
    known = recipe.stages
    if unknown := set(stages or ()) - set(known):
        raise SourceError(f"unknown stage {sorted(unknown)}; stages are {', '.join(known)}")
    if metrics is None and JudgeTraining.name in (stages or ()):
        raise SourceError("stage judge learns from LPIPS; name the folder of its weights")
    untaught = {JudgeTraining.name} if metrics is None else set()
    return tuple(stages or (name for name in known if name not in untaught))


def _judged(components: Mapping[str, Any], run: Path, stage: str | None = None) -> dict[str, Any]:
    """Return components without a judge unless it learned in this run, or learns in this stage."""
    with safe_open(run / _START_FILE, "pt") as stored:
        learned = any(key.startswith(f"{JUDGE}.") for key in stored.keys())  # noqa: SIM118
    keep = learned or stage == JudgeTraining.name
    return {name: part for name, part in components.items() if keep or name != JUDGE}


def recipe_of(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        PackError: there is none.
    """
    if name not in RECIPES:
        raise PackError(f"no recipe {name!r}; recipes are {', '.join(RECIPES)}")
    return RECIPES[name]


def _start(
    recipe: Recipe, store: ClipStore, run: Path, start_from: str | Path | None
) -> dict[str, Any]:
    """Return the components of the run, after leaving its first weights in `run`."""
    stored = run / _START_FILE
    if start_from is not None:
        folder = find_pack(start_from)
        fresh = {k: v for k, v in recipe.components.items() if k in (REFINER, JUDGE)}
        components = fresh | dict(read_manifest(folder).components)
        components[PRIOR] = {**recipe.components[PRIOR], **components[PRIOR]}
        if not stored.exists():
            _save_start(_from_pack(folder, components), run)
        return components
    components = copy.deepcopy(dict(recipe.components))
    if recipe.base is not None:
        base = find_pack(recipe.base)
        components = based_components(base, components)
        if not stored.exists():
            verify_pack(base)
            _save_start(_workbench(components, None, None, torch.device("cpu"), base), run)
        return components
    if stored.exists():
        _adopt_statistics(components, load_file(stored))
        return components
    bench = replace(_workbench(components, None, None, torch.device("cpu")), judge=None)
    linear = bench.autoencoder.linear
    if linear is not None:
        batches = _normalised(store, CropShape(frames=5, size=48), None, batch=_FIT_BATCH)
        mean, std = fit_linear_path(linear, batches, _FIT_BATCHES)
        bench.autoencoder.mean.copy_(mean.view_as(bench.autoencoder.mean))
        bench.autoencoder.std.copy_(std.view_as(bench.autoencoder.std))
        if isinstance(bench.codec, LatentCodec):
            weighted = LatentCodec(bench.codec.config, bench.autoencoder.std.flatten())
            bench.codec.load_state_dict(weighted.state_dict())
        else:
            batches = _normalised(store, _PICTURE_FIT, None, batch=2)
            fit_picture_transform(bench.codec.picture, batches, _FIT_BATCHES // 2)
    _save_start(bench, run)
    _adopt_statistics(components, load_file(stored))
    return components


def _adopt_statistics(components: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Put the latents' mean and deviation into the manifest's autoencoder configuration."""
    wan = components["autoencoder"]["wan"]
    wan["latents_mean"] = weights["autoencoder.mean"].flatten().tolist()
    wan["latents_std"] = weights["autoencoder.std"].flatten().tolist()


def _from_pack(folder: Path, components: Mapping[str, Any]) -> Workbench:
    """Return the networks of a finished pack, its integer prior made trainable again.

    A refiner that it lacks starts afresh.
    """
    verify_pack(folder)
    networks = build_networks(components, (REFINER,)) | load_networks(folder)
    entropy = EntropyModel(PriorConfig(**components[PRIOR]))
    entropy.adopt(load_arrays(folder / f"{PRIOR}.safetensors"))
    return Workbench(
        autoencoder=networks["autoencoder"],
        codec=networks[TRANSFORM],
        entropy=entropy,
        refiner=networks[REFINER],
        lpips=None,
        judge=networks.get(JUDGE),
    )


def _prepared(
    recipe: Recipe,
    components: Mapping[str, Any],
    run: Path,
    metrics: Path | None,
    execution: Execution,
) -> Workbench:
    """Return the run's networks, as a stage of a recipe trains them."""
    base = None if recipe.base is None else find_pack(recipe.base)
    bench = _workbench(components, run, metrics, execution.device, base)
    if recipe.checkpointing:
        bench.refiner.wan.enable_gradient_checkpointing()
    if execution.dtype != torch.float32:
        bench.refiner.autocast = execution.dtype
    return replace(
        bench,
        refinement=recipe.refinement,
        adversarial=recipe.adversarial,
        defaults=recipe.defaults,
    )


def _workbench(
    components: Mapping[str, Any],
    run: Path | None,
    metrics: Path | None,
    device: torch.device,
    base: Path | None = None,
) -> Workbench:
    """Build the networks and load the run's weights into them."""
    if base is None:
        networks = build_networks(components)
    else:
        networks = build_networks(components, (TRANSFORM,)) | based_networks(base, components)
    bench = Workbench(
        autoencoder=networks["autoencoder"],
        codec=networks[TRANSFORM],
        entropy=EntropyModel(PriorConfig(**components[PRIOR])),
        refiner=networks["refiner"],
        lpips=None if metrics is None else Lpips(metrics / _LPIPS_FILE).to(device),
        vgg=None if metrics is None else Vgg.find(metrics, device),
        judge=networks.get(JUDGE),
        base=base,
    )
    if run is not None:
        stored = load_file(run / _START_FILE)
        for name, network in bench.parts().items():
            prefix = f"{name}."
            state = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
            if state or name != JUDGE:  # a judge may join a run late
                network.load_state_dict(state)
        for network in bench.networks:
            network.to(device)
    return bench


def _save_start(bench: Workbench, run: Path, processes: Processes | None = None) -> None:
    """Write the weights that the next stage, and the next run, start from."""
    state = {
        f"{name}.{key}": whole(value.detach()).cpu().clone()
        for name, network in bench.parts().items()
        for key, value in network.state_dict().items()
    }
    if processes is None or processes.first:
        partial = run / "start.partial"
        save_file(state, partial)
        partial.replace(run / _START_FILE)
    if processes is not None:
        processes.wait()


def _normalised(
    store: ClipStore, shape: CropShape, count: int | None, *, batch: int = 4
) -> Iterator[Tensor]:
    batches = store.batches(batch, shape, seed=1)
    return (b.float() / 127.5 - 1 for b in itertools.islice(batches, count))


def _document(
    recipe: Recipe, components: Mapping[str, Any], clips: Sequence[Path]
) -> dict[str, Any]:
    """Return the manifest without its files."""
    return {
        "name": recipe.name,
        "version": recipe.version,
        "licence": recipe.licence,
        "use": "research-only",
        "trained_on": sorted(folder.resolve().name for folder in clips),
        "components": {**components, "defaults": asdict(recipe.defaults)},
    }
