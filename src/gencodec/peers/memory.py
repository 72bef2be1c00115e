"""The most memory a process ever held."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the peak of this process, or of the largest program it ran if that is higher.

    By the kernel's status where there is one: unlike getrusage, a parent cannot raise it. 0 where
    the system tells nothing.
    """
    try:
        import resource
    except ImportError:
        return 0  # Windows
    unit = 1 if sys.platform == "darwin" else 1024
    programs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text("ascii").splitlines())
        return max(programs, int(lines["VmHWM"].split()[0]) * 1024)
    return max(programs, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
