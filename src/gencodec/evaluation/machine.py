"""Where and with what something was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import av

_PACKAGES = ("gencodec", "av", "constriction", "diffusers", "numpy", "torch", "torchmetrics")
_MORE_PACKAGES = ("opencv-python-headless", "scipy")


def machine() -> dict[str, Any]:
    """Return what is known of this machine, and how busy it is."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": usable_processors(),
        "memory_bytes": _memory_bytes(),
        "load_average": [round(value, 2) for value in load],
        "python": platform.python_version(),
    }


def usable_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(packages: Iterable[str] = (*_PACKAGES, *_MORE_PACKAGES)) -> dict[str, str]:
    """Return the versions of those packages that are installed, and of FFmpeg inside PyAV."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    codec = av.library_versions["libavcodec"]
    return {**found, "libavcodec in av": ".".join(map(str, codec))}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
