"""The training loop every stage runs in: timed, logged, resumable, averaged.

A stage's checkpoint holds its networks, their running average and the optimiser's moments, as
safetensors; a run that stops at any moment goes on from the last one.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.progress import Progress, Report
from gencodec.training.data import ClipStore
from gencodec.training.optimiser import Optimiser
from gencodec.training.recipe import StageSettings

_WARM_UP_STEPS = 100
_DECAY_FROM = 0.6  # share of the time after which the learning rate falls
_AVERAGE = 0.999
_LOG_SECONDS = 60.0
_CHECKPOINT_SECONDS = 120.0
_GRADIENT_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Parameters that train alike: by `factor` times the learning rate, by Muon or by Adam."""

    parameters: list[nn.Parameter]
    factor: float = 1.0
    muon: bool = False


class Stage(Protocol):
    """One stage of training."""

    name: str
    trained: nn.ModuleDict

    def rates(self) -> list[Rate]:
        """Return what trains, and how fast."""

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of frames [b, 3, T, H, W] in -1..1, and numbers for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a stage may train: minutes of wall time from now, and at most `steps` if given."""

    minutes: float
    steps: int | None = None


class Checkpoint:
    """Networks, average and optimiser of a stage, and the file they go to."""

    def __init__(self, stage: Stage, path: Path) -> None:
        self._networks, self._path = stage.trained, path
        self.step = 0
        rates = [rate for rate in stage.rates() if rate.parameters]
        self.factors = [rate.factor for rate in rates]
        self.optimiser = Optimiser({"params": r.parameters, "muon": r.muon} for r in rates)
        self.average = {key: value.clone() for key, value in self._networks.state_dict().items()}
        if path.exists():
            self._load()

    def _load(self) -> None:
        try:
            stored = load_file(self._path)
        except (OSError, SafetensorError) as error:
            raise PackError(
                f"cannot read checkpoint {self._path}: {error}; remove it to start again"
            ) from error
        try:
            self.step = int(stored.pop("step"))
            self._networks.load_state_dict(_part(stored, "network."))
            self.average = _part(stored, "average.")
            moments = _part(stored, "moment.")
        except (KeyError, RuntimeError) as error:
            raise PackError(
                f"checkpoint {self._path} is of another architecture; remove it to start again"
            ) from error
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in moments.items():
            index, _, name = key.partition(".")
            state[int(index)][name] = value
        full = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": dict(state), "param_groups": full["param_groups"]})

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        tensors = {"step": torch.tensor(self.step)}
        tensors |= {f"network.{k}": v.contiguous() for k, v in self._networks.state_dict().items()}
        tensors |= {f"average.{k}": v.contiguous() for k, v in self.average.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"moment.{index}.{k}": v.contiguous() for k, v in moments.items()}
        partial = self._path.with_suffix(".partial")
        save_file({key: value.clone() for key, value in tensors.items()}, partial)
        partial.replace(self._path)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the running average towards the networks; faster in the first steps."""
        decay = min(_AVERAGE, self.step / (self.step + 10))
        for key, value in self._networks.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)
            else:
                self.average[key].copy_(value)


def run_stage(
    stage: Stage,
    store: ClipStore,
    settings: StageSettings,
    folder: Path,
    budget: Budget,
    on_progress: Report | None = None,
) -> int:
    """Train a stage until its budget is used up and leave the averaged weights in its networks.

    Args:
        stage: what to train.
        store: training material.
        settings: sample size, batch, learning rate.
        folder: of the run; holds `<stage>.safetensors` and `log.jsonl`.
        budget: how long.
        on_progress: told about every step.

    Returns:
        Steps trained so far, earlier runs included.
    """
    checkpoint = Checkpoint(stage, folder / f"{stage.name}.safetensors")
    device = next(stage.trained.parameters()).device
    batches = store.batches(settings.batch, settings.shape, seed=checkpoint.step)
    log = _Log(folder / "log.jsonl", stage.name)
    first, started = checkpoint.step, time.monotonic()
    saved = started
    stage.trained.train()
    while (elapsed := time.monotonic() - started) < budget.minutes * 60:
        if budget.steps is not None and checkpoint.step - first >= budget.steps:
            break
        share = elapsed / (budget.minutes * 60)
        rate = settings.learning_rate * _schedule(checkpoint.step, share)
        frames = next(batches).to(device).float() / 127.5 - 1
        numbers = _train_step(stage, checkpoint, frames, rate)
        log.add(checkpoint.step, numbers)
        if time.monotonic() - saved > _CHECKPOINT_SECONDS:
            checkpoint.save()
            saved = time.monotonic()
        if on_progress is not None:
            on_progress(Progress(stage="train", frames=checkpoint.step, total=None, group=0))
    log.flush(checkpoint.step)
    checkpoint.save()
    stage.trained.load_state_dict(checkpoint.average)
    stage.trained.eval()
    return checkpoint.step


def _schedule(step: int, share: float) -> float:
    """Factor of the learning rate: warm-up over steps, decay over the last part of the time."""
    decay = 1.0 if share < _DECAY_FROM else max(0.03, (1 - share) / (1 - _DECAY_FROM))
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * decay


def _train_step(
    stage: Stage, checkpoint: Checkpoint, frames: Tensor, rate: float
) -> Mapping[str, float]:
    """One step; a step whose gradient is not finite is logged and left out."""
    optimiser = checkpoint.optimiser
    for group, factor in zip(optimiser.param_groups, checkpoint.factors, strict=True):
        group["lr"] = rate * factor
    optimiser.zero_grad(set_to_none=True)
    loss, numbers = stage.loss(frames)
    loss.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, _GRADIENT_NORM)
    checkpoint.step += 1
    if not (torch.isfinite(norm) and torch.isfinite(loss)):
        return {"skipped": 1.0}
    optimiser.step()
    checkpoint.follow()
    return {"loss": float(loss.detach()), **numbers}


def _part(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): v for key, v in stored.items() if key.startswith(prefix)}


class _Log:
    """Means of the logged numbers, one JSON line a minute."""

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._started = self._written = time.monotonic()
        self._clock: Callable[[], float] = time.monotonic

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._sums[name].append(value)
        if self._clock() - self._written > _LOG_SECONDS:
            self.flush(step)

    def flush(self, step: int) -> None:
        if not self._sums:
            return
        means = {name: round(sum(v) / len(v), 5) for name, v in self._sums.items()}
        minutes = round((self._clock() - self._started) / 60, 2)
        line = {"stage": self._stage, "step": step, "minutes": minutes, **means}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._sums.clear()
        self._written = self._clock()
