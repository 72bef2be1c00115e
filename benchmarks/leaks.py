"""Whether hundreds of small files in one process leave file handles or memory behind.

The pack is that of the golden files: a leak does not depend on what the networks have learned.
"""

from __future__ import annotations

import os
from pathlib import Path

import gencodec
from benchmarks import scene
from benchmarks.section import Options, Section
from gencodec.peers.memory import peak_bytes
from gencodec.selftest import vectors_folder

_FILES = {False: 40, True: 300}  # with and without --full
_WARM_UP = 20  # files until caches and the allocator have what they need
_PACK = vectors_folder() / "tiny-pack"
_FRAMES, _WIDTH, _HEIGHT = 9, 64, 48


def measure(options: Options) -> Section:
    """Encode, verify, describe and decode one clip again and again."""
    clip = scene.write_clip(options.work / "in.mp4", _FRAMES, _WIDTH, _HEIGHT)
    handles, peaks = [], []
    half = _FILES[options.full] // 2
    for count in (_WARM_UP, half, half):
        for _ in range(count):
            _pass(clip, options.work, options.threads)
        handles.append(_handles())
        peaks.append(peak_bytes())
    return Section(
        title=f"{2 * half} files in one process, after {_WARM_UP}",
        columns=("", "before", "half", "after"),
        rows=[("open files", *handles), ("peak MB", *(peak / 1e6 for peak in peaks))],
        data={
            "pack": _PACK.name,
            "files": 2 * half,
            "handles": handles,
            "peak_bytes": peaks,
            "full": options.full,
        },
        notes=[] if options.full else [f"--full takes {_FILES[True]} files"],
    )


def _pass(clip: Path, folder: Path, threads: int) -> None:
    coded, shown = folder / "out.gnv", folder / "out.mp4"
    gencodec.encode(
        clip,
        coded,
        target=gencodec.Target(quality=10),
        pack=_PACK,
        device="cpu",
        threads=threads,
        overwrite=True,
    )
    gencodec.verify(coded, pack_dirs=[_PACK])
    gencodec.info(coded)
    gencodec.decode(coded, shown, device="cpu", threads=threads, overwrite=True, pack_dirs=[_PACK])


def _handles() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - no paths are wanted
