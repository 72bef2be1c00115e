"""Several processes train as one does: same losses, same weights; copied or sharded."""

from __future__ import annotations

import importlib
import os
import socket
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny

from gencodec.errors import UsageError
from gencodec.execution import Execution

STEPS = 3
CASES = [("codec", False), ("flow", False), ("adapter", False), ("flow", True), ("align", True)]
# Attention over the one token of the text has no gradient here: Adam follows its rounding.
UNDECIDED = ["norm2.", *(f"attn2.{kind}_{part}" for kind in ("to", "norm") for part in "qk")]
COMPONENTS: dict[str, Any] = {**tiny.COMPONENTS}


def losses(training: ModuleType, case: tuple[str, bool], path: Path) -> list[float]:
    """Train a stage of a new tiny pack for three steps of two clips; leave a checkpoint."""
    name, shard = case
    torch.manual_seed(1)
    processes = training.processes.Processes(Execution.choose("cpu"), shard=shard)
    bench = training.trainer._workbench(COMPONENTS, None, None, torch.device("cpu"))
    tiny.fill(bench.refiner, "refiner")
    tiny.set_codec(bench.codec)
    checkpoint = training.loop.Checkpoint(
        training.trainer.STAGE_CLASSES[name](bench), path, processes
    )
    found = []
    for step in range(STEPS):
        frames = torch.rand(2, 3, 9, 32, 32, generator=torch.Generator().manual_seed(step)) - 0.5
        own = training.processes.own_rows(frames)
        found.append(training.loop._train_step(checkpoint, own, 1e-3)["loss"])
    checkpoint.save()
    return found


def _work(rank: int, training: ModuleType, port: int, folder: Path) -> None:
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, case in enumerate(CASES):
            found = losses(training, case, folder / f"{number}.safetensors")
            save_file({"losses": torch.tensor(found)}, folder / f"{number}-{rank}")
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def pair(training: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave behind; forked, so that nothing is imported again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("pair")
    start: Any = importlib.import_module("torch.multiprocessing.spawn").start_processes
    start(_work, (training, port, folder), nprocs=2, start_method="fork")
    return folder


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{n}-{s}" for n, s in CASES])
def test_two_processes_train_as_one(
    number: int, training: ModuleType, pair: Path, tmp_path: Path
) -> None:
    alone = losses(training, CASES[number], tmp_path / "alone.safetensors")
    for rank in range(2):
        together = load_file(pair / f"{number}-{rank}")["losses"]
        assert torch.allclose(together, torch.tensor(alone), rtol=1e-4)
    assert len({round(value, 6) for value in alone}) == STEPS
    wanted = load_file(tmp_path / "alone.safetensors")
    found = load_file(pair / f"{number}.safetensors")
    assert found.keys() == wanted.keys()
    for key in wanted:
        if not key.startswith("moment.") and not any(part in key for part in UNDECIDED):
            assert torch.allclose(found[key], wanted[key], atol=3e-4), key


def test_a_batch_that_cannot_be_shared_is_refused(
    training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with pytest.raises(UsageError, match="3 processes cannot share a batch of 8"):
        training.processes.own_rows(torch.zeros(8, 1))
    assert torch.equal(training.processes.own_rows(torch.arange(6)), torch.tensor([2, 3]))


def test_each_process_has_a_device_of_its_own(
    training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = training.processes.local_device
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert [device(name) for name in ("auto", "cuda", "cpu")] == ["auto", "cuda", "cpu"]
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert [device(name) for name in ("cuda", "cpu", "cuda:1")] == ["cuda:3", "cpu", "cuda:1"]
