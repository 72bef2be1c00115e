"""Where networks run: what other libraries are before ours looks at them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny

from gencodec.errors import ExecutionError
from gencodec.execution import Execution
from gencodec.geometry import GroupQuality
from gencodec.packs.models import Models

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_FITS = f"""
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms{_SCHEMA}")
library.define("qnms{_SCHEMA}")
"""
_LACKS = """
import torch
torch.library.register_fake("torchvision::nms")(lambda *_: None)
"""
_USE = """
from gencodec.execution import define_torchvision_operators
define_torchvision_operators()
define_torchvision_operators()
import torch, torchvision
print(torch.ops.torchvision.nms.default.name())
"""


@pytest.mark.parametrize("torchvision", [_FITS, _LACKS, None])
def test_torchvision_can_be_imported_after_us(torchvision: str | None, tmp_path: Path) -> None:
    """Whether its binary brings its operators, lacks them, or is the one that is installed."""
    if torchvision is not None:
        (tmp_path / "torchvision").mkdir()
        (tmp_path / "torchvision" / "__init__.py").write_text(torchvision)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}){_USE}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "torchvision::nms"


@pytest.mark.parametrize(
    ("unit", "dtype"),
    [(None, torch.float32), ("avx512_bf16", torch.bfloat16), ("amx_tile", torch.bfloat16)],
)
def test_bfloat16_is_for_processors_that_have_it(
    unit: str | None, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda has=name == unit: has)
    execution = Execution.choose("cpu")
    assert (execution.dtype, execution.restorer_dtype) == (torch.float32, dtype)


def test_torch_that_tells_nothing_of_the_processor_gets_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.delattr(torch.cpu, f"_is_{name}_supported")
    assert Execution.choose("cpu").restorer_dtype == torch.float32


def _received(symbols: NDArray[np.int32], _hyper: object, _quality: int) -> NDArray[np.int16]:
    return symbols.astype(np.int16)


def _exhausted(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("name", ["choose_motion", "predict", "analyse", "synthesise"])
def test_a_device_out_of_memory_says_what_helps(
    name: str, motion_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform: Any = motion_models.transform
    monkeypatch.setattr(transform._codec, name, _exhausted)
    source = transform.prepare(np.stack(tiny.clip(48, 32, 9)))
    with pytest.raises(ExecutionError, match="--device cpu"):
        transform.encode(source, GroupQuality(anchor=20, inter=20), _received)


@pytest.mark.parametrize("name", ["analyse", "synthesise"])
def test_so_it_does_where_latents_are_coded(
    name: str, tiny_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform: Any = tiny_models.transform
    monkeypatch.setattr(transform._codec, name, _exhausted)
    latents = np.zeros((tiny.CHANNELS, 2, 2, 3), np.float32)
    with pytest.raises(ExecutionError, match="--device cpu"):
        transform.encode(latents, GroupQuality(anchor=20, inter=20), _received)
