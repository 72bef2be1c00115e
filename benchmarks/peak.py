"""Runs one gencodec command and prints the most memory its process ever held, in bytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from gencodec.cli.main import run

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the peak of this process; by the kernel's status, which a parent cannot raise."""
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text("ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    code = run(sys.argv[1:])
    print(peak_bytes())
    sys.exit(code)
