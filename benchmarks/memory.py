"""Whether memory grows with the length of a video: peaks of a short and a long clip.

Both have several full groups. Only then has the allocator, whose memory is in pieces after the
first group, reached what it needs, and the ratio tells of the length alone.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks import scene
from benchmarks.section import Options, Section
from gencodec.errors import TargetError

# Frames of a group, and groups of the clips, with and without --full.
_SIZES = {False: (17, (2, 8)), True: (129, (2, 12))}


def measure(options: Options) -> Section:
    """Encode and decode two clips of different length, each in a process of its own."""
    length, groups = _SIZES[options.full]
    peaks: dict[str, list[int]] = {"encode": [], "decode": []}
    for count in groups:
        clip = scene.write_clip(options.work / f"{count}.mp4", count * length)
        coded, decoded = clip.with_suffix(".gnv"), clip.with_suffix(".decoded.mp4")
        threads = ["--threads", str(options.threads), "--device", "cpu"]
        encode = ["encode", str(clip), "-o", str(coded), "--bpp", "0.02", "--pack", options.pack]
        peaks["encode"].append(_peak([*encode, "--gop", str(length), *threads]))
        peaks["decode"].append(_peak(["decode", str(coded), "-o", str(decoded), *threads]))
    rows = [(name, *(_mb(p) for p in pair), pair[1] / pair[0]) for name, pair in peaks.items()]
    return Section(
        title=f"peak memory, {scene.WIDTH}x{scene.HEIGHT}",
        columns=("", *(f"{count} groups of {length}" for count in groups), "ratio"),
        rows=rows,
        data={
            "group_frames": length,
            "groups": groups,
            "full": options.full,
            "peak_bytes": peaks,
            "ratio": {name: pair[1] / pair[0] for name, pair in peaks.items()},
        },
        notes=[] if options.full else ["--full measures 2 and 12 groups of 129 frames"],
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
