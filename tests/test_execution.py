"""Where networks run: what other libraries are before ours looks at them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
