"""The training loop every stage runs in: timed, logged, resumable, averaged.

A stage's checkpoint holds its networks, their running average and the optimiser's moments, as
safetensors; a run that stops at any moment goes on from the last one.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.execution import Execution
from gencodec.progress import Progress, Report
from gencodec.training.data import ClipStore, CropShape
from gencodec.training.optimiser import Optimiser
from gencodec.training.processes import Processes, like, own_rows, seed_all, whole
from gencodec.training.recipe import StageSettings

_WARM_UP_STEPS = 100
_DECAY_FROM = 0.6  # share of the stage after which the learning rate falls
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The folder of a run, which holds `<stage>.safetensors` and `log.jsonl`, and who trains it."""

    folder: Path
    processes: Processes


class StageLoss(nn.Module):
    """A stage's loss as a module, which is what processes wrap."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.trained = stage.trained
        self._stage = stage

    def forward(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of frames, and numbers for the log."""
        return self._stage.loss(frames)


class Checkpoint:
    """Networks, average and optimiser of a stage, and the file they go to.

    Weights that the stage leaves alone are no part of it.
    """

    def __init__(self, stage: Stage, path: Path, processes: Processes | None = None) -> None:
        self._networks, self._path = stage.trained, path
        self.processes = processes or Processes(Execution.choose("cpu"))
        stored = self._read() if path.exists() else None
        if stored is not None:
            self._networks.load_state_dict(_part(stored, "network."), strict=False)
        self.step = 0 if stored is None else int(stored["step"])
        self.loss = self.processes.wrap(StageLoss(stage))
        rates = [rate for rate in stage.rates() if rate.parameters]
        self.factors = [rate.factor for rate in rates]
        self.optimiser = Optimiser({"params": r.parameters, "muon": r.muon} for r in rates)
        self.average = {key: value.clone() for key, value in self._state().items()}
        if stored is not None:
            self._adopt(stored)

    def _state(self) -> dict[str, Tensor]:
        """Return what the stage changes: trained parameters, and buffers."""
        frozen = {k for k, p in self._networks.named_parameters() if not p.requires_grad}
        state = self._networks.state_dict()
        return {key: value for key, value in state.items() if key not in frozen}

    def _read(self) -> dict[str, Tensor]:
        try:
            stored = load_file(self._path)
        except (OSError, SafetensorError) as error:
            raise PackError(
                f"cannot read checkpoint {self._path}: {error}; remove it to start again"
            ) from error
        for prefix in ("network.", "average."):
            found = {key: value.shape for key, value in _part(stored, prefix).items()}
            if any(found.get(key) != value.shape for key, value in self._state().items()):
                raise PackError(
                    f"checkpoint {self._path} is of another architecture; remove it to start again"
                )
        return stored

    def _adopt(self, stored: Mapping[str, Tensor]) -> None:
        """Take averages and moments, sharded as the parameters are."""
        average = _part(stored, "average.")
        self.average = {key: like(average[key], value) for key, value in self.average.items()}
        state: dict[int, dict[str, Tensor]] = defaultdict(dict)
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for key, value in _part(stored, "moment.").items():
            index, _, name = key.partition(".")
            whole_one = name == "step"
            state[int(index)][name] = value if whole_one else like(value, parameters[int(index)])
        full = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": dict(state), "param_groups": full["param_groups"]})

    def save(self) -> None:
        """Write the checkpoint whole or not at all; every process must take part."""
        tensors = {"step": torch.tensor(self.step)}
        tensors |= {f"network.{k}": v for k, v in self._state().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"moment.{index}.{k}": v for k, v in moments.items()}
        gathered = {key: whole(value).contiguous().clone() for key, value in tensors.items()}
        if self.processes.first:
            partial = self._path.with_suffix(".partial")
            save_file(gathered, partial)
            partial.replace(self._path)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the running average towards the networks; faster in the first steps."""
        decay = min(_AVERAGE, self.step / (self.step + 10))
        for key, value in self._state().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)
            else:
                self.average[key].copy_(value)

    def settle(self) -> None:
        """Leave the running average in the networks."""
        self._networks.load_state_dict(self.average, strict=False)


def run_stage(
    stage: Stage,
    store: ClipStore,
    settings: StageSettings,
    run: Run,
    budget: Budget,
    on_progress: Report | None = None,
) -> int:
    """Train a stage until its budget is used up and leave the averaged weights in its networks.

    Args:
        stage: what to train.
        store: training material.
        settings: sample sizes, batch, learning rate, steps.
        run: where its files are, and who trains.
        budget: how long.
        on_progress: told about every step.

    Returns:
        Steps trained so far, earlier runs included.
    """
    processes = run.processes
    checkpoint = Checkpoint(stage, run.folder / f"{stage.name}.safetensors", processes)
    device = next(stage.trained.parameters()).device
    clock = _Clock(budget, settings, checkpoint.step)
    log = _Log(run.folder / "log.jsonl" if processes.first else None, stage.name)
    shape: CropShape | None = None
    batches: Iterator[Tensor] = iter(())
    stage.trained.train()
    while True:
        share, stop, save = processes.same(clock.read(checkpoint.step))
        if save:
            checkpoint.save()
        if stop:
            break
        if shape != settings.shape_at(share):
            shape = settings.shape_at(share)
            batches = store.batches(settings.batch, shape, seed=checkpoint.step)
        rate = settings.learning_rate * _schedule(checkpoint.step, share, settings.last_rate)
        frames = own_rows(next(batches)).to(device).float() / 127.5 - 1
        log.add(checkpoint.step + 1, _train_step(checkpoint, frames, rate))
        if on_progress is not None:
            on_progress(Progress(stage="train", frames=checkpoint.step, total=None, group=0))
    log.flush(checkpoint.step)
    checkpoint.save()
    checkpoint.settle()
    stage.trained.eval()
    return checkpoint.step


class _Clock:
    """How far a stage is, by its steps and by the time it has."""

    def __init__(self, budget: Budget, settings: StageSettings, step: int) -> None:
        self._budget, self._settings, self._first = budget, settings, step
        self._started = self._saved = time.monotonic()

    def read(self, step: int) -> tuple[float, bool, bool]:
        """Return the share of the stage that is done, whether it ends, and whether to save."""
        now = time.monotonic()
        share = (now - self._started) / (self._budget.minutes * 60)
        stop = share >= 1
        if self._budget.steps is not None:
            stop |= step - self._first >= self._budget.steps
        if self._settings.steps is not None:  # a recipe with steps is no matter of time
            share = step / self._settings.steps
            stop |= share >= 1
        save = now - self._saved > _CHECKPOINT_SECONDS
        self._saved = now if save else self._saved
        return min(share, 1.0), stop, save and not stop


def _schedule(step: int, share: float, last: float) -> float:
    """Factor of the learning rate: warm-up over steps, decay over the last part to `last`."""
    decay = 1.0 if share < _DECAY_FROM else max(last, (1 - share) / (1 - _DECAY_FROM))
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * decay


def _train_step(checkpoint: Checkpoint, frames: Tensor, rate: float) -> Mapping[str, float]:
    """One step; a step whose gradient is not finite is logged and left out."""
    optimiser = checkpoint.optimiser
    for group, factor in zip(optimiser.param_groups, checkpoint.factors, strict=True):
        group["lr"] = rate * factor
    optimiser.zero_grad(set_to_none=True)
    seed_all(checkpoint.step)
    loss, numbers = checkpoint.loss(frames)
    loss.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    norm = checkpoint.processes.share_gradients(parameters, _GRADIENT_NORM)
    value = checkpoint.processes.mean(loss)
    checkpoint.step += 1
    if not (math.isfinite(norm) and math.isfinite(value)):
        return {"skipped": 1.0}
    optimiser.step()
    checkpoint.follow()
    return {"loss": value, **numbers}


def _part(stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): v for key, v in stored.items() if key.startswith(prefix)}


class _Log:
    """Means of the logged numbers, one JSON line a minute."""

    def __init__(self, path: Path | None, stage: str) -> None:
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
        if not self._sums or self._path is None:
            return
        means = {name: round(sum(v) / len(v), 5) for name, v in self._sums.items()}
        minutes = round((self._clock() - self._started) / 60, 2)
        line = {"stage": self._stage, "step": step, "minutes": minutes, **means}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._sums.clear()
        self._written = self._clock()
