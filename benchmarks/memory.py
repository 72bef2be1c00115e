"""Whether memory grows with the length of a video: peaks of a short and a long clip."""

from __future__ import annotations

import subprocess
import sys

from benchmarks import scene
from benchmarks.section import Options, Section
from gencodec.errors import TargetError

_SECONDS = {False: (3, 18), True: (10, 60)}  # with and without --full


def measure(options: Options) -> Section:
    """Encode and decode two clips of different length, each in a process of its own."""
    lengths = _SECONDS[options.full]
    peaks: dict[str, list[int]] = {"encode": [], "decode": []}
    for seconds in lengths:
        clip = scene.write_clip(options.work / f"{seconds}.mp4", seconds * scene.RATE)
        coded, decoded = clip.with_suffix(".gnv"), clip.with_suffix(".decoded.mp4")
        threads = ["--threads", str(options.threads), "--device", "cpu"]
        encode = ["encode", str(clip), "-o", str(coded), "--bpp", "0.02", "--pack", options.pack]
        peaks["encode"].append(_peak([*encode, *threads]))
        peaks["decode"].append(_peak(["decode", str(coded), "-o", str(decoded), *threads]))
    rows = [(name, *(_mb(p) for p in pair), pair[1] / pair[0]) for name, pair in peaks.items()]
    return Section(
        title=f"peak memory, {scene.WIDTH}x{scene.HEIGHT}",
        columns=("", *(f"{seconds} s clip" for seconds in lengths), "ratio"),
        rows=rows,
        data={
            "clip_seconds": lengths,
            "full": options.full,
            "peak_bytes": peaks,
            "ratio": {name: pair[1] / pair[0] for name, pair in peaks.items()},
        },
        notes=[] if options.full else ["--full measures clips of 10 s and 60 s"],
    )


def _peak(arguments: list[str]) -> int:
    """Return the peak bytes of one run of the command.

    Raises:
        RuntimeError: the command failed.
    """
    command = [sys.executable, "-m", "benchmarks.peak", *arguments, "--progress", "off"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode not in (0, TargetError.exit_code):  # the rate does not matter here
        raise RuntimeError(f"gencodec {' '.join(arguments)}: {run.stderr.strip()}")
    return int(run.stdout)


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
