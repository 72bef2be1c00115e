from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import torch
from gencodec.memory import keep_memory

if sys.argv[1] == "keep":
    keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_kept_memory_is_not_taken_anew() -> None:
    """20 tensors of 64 MiB, one after the other: memory is asked for once instead of 20 times."""
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", _FAULTS, how]))
        for how in ("keep", "return")
    }
    assert faults["keep"] < 0.7 * faults["return"]
