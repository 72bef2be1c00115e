"""The processes that train together, as `accelerate launch` or `torchrun` start them; or just one.

All of them draw the same chance numbers and the same batch, and each trains on its rows of both, so
a step means the same however many share it. Large transformers are sharded, others copied.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gencodec.errors import UsageError
from gencodec.execution import Execution
from gencodec.refine import VelocityModel


class Processes:
    """Every process of a run; the first one writes files and decides when to stop.

    Attributes:
        rank: number of this process.
        count: of processes.
        shard: whether weights, gradients and moments are spread over the processes.
    """

    def __init__(self, execution: Execution, *, shard: bool = False) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.shard = shard and self.count > 1
        self._device = execution.device
        self._accelerator: Any = None
        if self.count > 1:
            from accelerate import Accelerator, DistributedDataParallelKwargs

            unused = DistributedDataParallelKwargs(find_unused_parameters=True)
            self._accelerator = Accelerator(
                cpu=execution.device.type == "cpu", kwargs_handlers=[unused]
            )

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean over all processes, after `share`.

        Sharding replaces a transformer's parameters: whoever holds some must ask for them again.
        """
        if self.count == 1:
            return module
        if not self.shard:
            wrapped: nn.Module = self._accelerator.prepare_model(module)
            return wrapped
        from torch.distributed.fsdp import fully_shard

        for model in (part for part in module.modules() if isinstance(part, VelocityModel)):
            for block in model.blocks():
                fully_shard(block)
            fully_shard(model.wan)
            model.watched = True
        return module

    def share_gradients(self, parameters: Sequence[nn.Parameter], limit: float) -> float:
        """Average what `wrap` left alone, and scale all gradients to a norm of at most `limit`.

        Returns:
            The norm before.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        copied = [g for g in gradients if not hasattr(g, "placements")]
        if self.shard:
            for gradient in copied:
                dist.all_reduce(gradient)
                gradient.div_(self.count)
        spread = [g for g in gradients if hasattr(g, "placements")]
        parts = [part for part in (copied, spread) if part]
        norm = math.hypot(*(float(whole(nn.utils.get_total_norm(part))) for part in parts))
        if norm > limit:
            for part in parts:
                torch._foreach_mul_(part, limit / norm)
        return norm

    def same(self, numbers: Sequence[float]) -> list[float]:
        """Return the first process's numbers in all of them."""
        if self.count == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64, device=self._told_on())
        dist.broadcast(told, 0)
        return [float(number) for number in told.cpu()]

    def mean(self, value: Tensor) -> float:
        """Return the mean of a scalar over all processes."""
        if self.count > 1:
            value = value.detach().clone().float()
            dist.all_reduce(value)
            value = value / self.count
        return float(value.detach())

    def _told_on(self) -> Any:  # noqa: ANN401 - a torch device
        return self._device if dist.get_backend() == "nccl" else "cpu"

    def wait(self) -> None:
        """Return when every process has come this far."""
        if self.count > 1:
            self._accelerator.wait_for_everyone()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process run a block before the others do."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


def local_device(asked: str) -> str:
    """Return the device of this process: each of several gets a GPU of its own."""
    local = os.environ.get("LOCAL_RANK")
    mine = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    return asked if local is None or not mine else f"cuda:{local}"


def whole_batch(rows: int) -> int:
    """Return the rows of the batch that all processes share, of which one has `rows`."""
    return rows * (dist.get_world_size() if dist.is_initialized() else 1)


def own_rows(batch: Tensor) -> Tensor:
    """Return this process's rows of what was drawn for all.

    Raises:
        UsageError: they cannot be shared equally.
    """
    if not dist.is_initialized():
        return batch
    count, rank = dist.get_world_size(), dist.get_rank()
    if len(batch) % count:
        raise UsageError(
            f"{count} processes cannot share a batch of {len(batch)}; start as many as divide it"
        )
    share = len(batch) // count
    return batch[rank * share : (rank + 1) * share]


def seed_all(step: int) -> None:
    """Let what follows draw the same chance numbers in every process, and in every run."""
    random.seed(step)
    torch.manual_seed(step)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together again, if it is sharded; all processes must ask for it."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


def like(value: Tensor, model: Any) -> Tensor:  # noqa: ANN401 - a tensor, or a sharded one
    """Return a whole tensor sharded as another one is."""
    if not hasattr(model, "placements"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements)
