"""Where and how precisely the networks run: device, number format, threads. Decided once.

Nothing here is chosen at import, and nothing else in the package names a device.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from gencodec.errors import ExecutionError

_WORKING_BYTES = 4 << 30  # for what networks compute with, and for the autoencoder

_BFLOAT16_UNITS = "avx512_bf16", "amx_tile"

_operators: list[torch.library.Library] = []


def define_torchvision_operators() -> None:
    """Define the two operators torchvision declares meta kernels for, where its binary lacks them.

    With a CPU build of torch, importing torchvision (which diffusers and compressai do when it is
    installed) fails with "operator torchvision::nms does not exist". We never call either of them.
    """
    if _operators or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        pass
    else:  # nothing is missing, and to define it twice ends the process
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in (
        ("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)  # type: ignore[no-untyped-call]
    _operators.append(library)  # the definitions live as long as the library object


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Where networks run.

    Attributes:
        device: the torch device of every network.
        dtype: number format of the transformer; the autoencoder runs in float32, save its restorer.
        reason: why this device and format, for people.
        room_bytes: free memory of the device when it was chosen; None where there is no other
            memory to move networks to.
        restorer_dtype: number format of the restorer on a CPU: bfloat16, which is twice as fast,
            where the CPU computes in it.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str
    room_bytes: int | None = None
    restorer_dtype: torch.dtype = torch.float32

    def holds(self, size: int) -> bool:
        """Whether networks of `size` bytes fit the device, with room to work in."""
        return self.room_bytes is None or size + _WORKING_BYTES <= self.room_bytes

    @property
    def version(self) -> str:
        """Version of the library that computes, with its variant."""
        return str(torch.__version__)

    @classmethod
    def choose(cls, device: str = "auto", *, threads: int | None = None) -> Execution:
        """Pick a device and number format, and set the number of CPU threads.

        Args:
            device: "auto", "cpu", "cuda" or "cuda:N".
            threads: CPU threads for torch; None keeps torch's own choice.

        Raises:
            ExecutionError: the device is unknown or not present.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        name = device
        if device == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            chosen = torch.device(name)
        except RuntimeError as error:
            raise ExecutionError(
                f"unknown device {device!r}; use auto, cpu, cuda or cuda:N"
            ) from error
        if chosen.type == "cpu":
            why = "no CUDA device found" if device == "auto" else "asked for"
            return cls(
                device=chosen,
                dtype=torch.float32,
                restorer_dtype=torch.bfloat16 if multiplies_bfloat16() else torch.float32,
                reason=f"cpu, float32: {why}",
            )
        if chosen.type != "cuda" or not torch.cuda.is_available():
            raise ExecutionError(f"device {device!r} is not available here; use --device cpu")
        if (chosen.index or 0) >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise ExecutionError(f"device {device!r} does not exist, this machine has {count}")
        name = torch.cuda.get_device_name(chosen)
        room, _ = torch.cuda.mem_get_info(chosen)
        return cls(
            device=chosen,
            dtype=torch.bfloat16,
            reason=f"{chosen}, bfloat16: {name}",
            room_bytes=room,
        )

    def peak_bytes(self) -> int:
        """Return the most memory of the device that was held; of the CPU that of this process."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        try:
            import resource
        except ImportError:
            return 0  # Windows does not tell
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def multiplies_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 itself; where it does not, it would be slower."""
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in _BFLOAT16_UNITS)
    return any(supported() for supported in known if supported is not None)


def without_weights() -> AbstractContextManager[object]:
    """Build networks inside this without memory: their parameters have shapes and no numbers."""
    return torch.device("meta")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn torch's out-of-memory errors into an ExecutionError that says what helps."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ExecutionError(
            "the device ran out of memory; use --device cpu, or encode with a smaller --gop"
        ) from error
