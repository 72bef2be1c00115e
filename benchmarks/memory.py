"""Whether memory and disk grow with the length of a video: peaks of a short and a long clip.

Both have several full groups. Only then has the allocator, whose memory is in pieces after the
first group, reached what it needs, and the ratio tells of the length alone. On the disk an encode
keeps the file it writes and its journal, which holds each group at every quality that was tried.

Two hours of 360p are not made here; the peak of an encode of theirs is printed by

    ffmpeg -f lavfi -i testsrc2=size=640x360:rate=25 -t 7200 two-hours.mkv
    python -m benchmarks.peak encode two-hours.mkv -o two-hours.gnv --progress off
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

from benchmarks import scene
from benchmarks.section import Options, Section
from gencodec.errors import TargetError

# Frames of a group, and groups of the clips, with and without --full.
_SIZES = {False: (17, (2, 8)), True: (129, (2, 12))}

_LOOK_SECONDS = 0.05


def measure(options: Options) -> Section:
    """Encode and decode two clips of different length, each in a process of its own."""
    length, groups = _SIZES[options.full]
    peaks: dict[str, list[int]] = {"encode": [], "decode": []}
    disk: list[float] = []
    for count in groups:
        clip = scene.write_clip(options.work / f"{count}.mp4", count * length)
        coded, decoded = clip.with_suffix(".gnv"), clip.with_suffix(".decoded.mp4")
        threads = ["--threads", str(options.threads), "--device", "cpu"]
        encode = ["encode", str(clip), "-o", str(coded), "--bpp", "0.02", "--pack", options.pack]
        with _DiskWatch(options.work) as watch:
            peaks["encode"].append(_peak([*encode, "--gop", str(length), *threads]))
        disk.append(watch.most_bytes / coded.stat().st_size)
        peaks["decode"].append(_peak(["decode", str(coded), "-o", str(decoded), *threads]))
    rows = [(name, *(_mb(p) for p in pair), pair[1] / pair[0]) for name, pair in peaks.items()]
    return Section(
        title=f"peak memory, {scene.WIDTH}x{scene.HEIGHT}",
        columns=("", *(f"{count} groups of {length}" for count in groups), "ratio"),
        rows=[*rows, ("disk an encode uses, of its file", *disk, disk[1] / disk[0])],
        data={
            "group_frames": length,
            "groups": groups,
            "full": options.full,
            "peak_bytes": peaks,
            "disk_share": disk,
            "ratio": {name: pair[1] / pair[0] for name, pair in peaks.items()},
        },
        notes=[] if options.full else ["--full measures 2 and 12 groups of 129 frames"],
    )


class _DiskWatch:
    """Looks again and again how much larger a folder is than at first.

    Attributes:
        most_bytes: the largest difference.
    """

    def __init__(self, folder: Path) -> None:
        self.most_bytes = 0
        self._folder = folder
        self._over = Event()
        self._thread = Thread(target=self._look, args=(self._size(),))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self, first: int) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.most_bytes = max(self.most_bytes, self._size() - first)

    def _size(self) -> int:
        total = 0
        for path in self._folder.rglob("*"):
            with suppress(OSError):  # it is gone again
                total += path.stat().st_size if path.is_file() else 0
        return total


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
