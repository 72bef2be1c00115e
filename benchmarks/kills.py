"""Whether an encode that was killed goes on to the same bytes, wherever it was.

The pack is that of the golden files: what is tried out here is not the networks.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks import children, scene
from benchmarks.section import Options, Section
from gencodec.selftest import vectors_folder

_KILLS = {False: 5, True: 50}  # with and without --full
_FRAMES, _GROUP, _WIDTH, _HEIGHT = 135, 9, 64, 48
_PACK = vectors_folder() / "tiny-pack"
_POLL_SECONDS = 0.002


def measure(options: Options) -> Section:
    """Kill encodes at moments spread from the first finished group to the end, and go on."""
    clip = scene.write_clip(options.work / "in.mp4", _FRAMES, _WIDTH, _HEIGHT)
    command = [
        *("encode", str(clip), "--bpp", "0.3", "--gop", str(_GROUP), "--pack", str(_PACK)),
        *("--device", "cpu", "--threads", str(options.threads), "--progress", "off", "-y", "-o"),
    ]
    whole, output = options.work / "whole" / "out.gnv", options.work / "killed" / "out.gnv"
    for path in (whole, output):
        path.parent.mkdir()
    seconds = _lasts(command, whole)
    expected, count = whole.read_bytes(), _KILLS[options.full]
    counts = {"killed": 0, "with groups kept": 0, "same bytes": 0, "nothing left behind": 0}
    for number in range(count):
        output.unlink(missing_ok=True)
        kept = _killed(command, output, seconds * number / count)
        counts["killed"] += kept is not None
        counts["with groups kept"] += bool(kept)
        _start(command, output).join()
        counts["same bytes"] += output.read_bytes() == expected
        counts["nothing left behind"] += [*output.parent.iterdir()] == [output]
    return Section(
        title=f"{count} encodes killed, {_FRAMES} frames in groups of {_GROUP}",
        columns=("", "encodes"),
        rows=list(counts.items()),
        data={"pack": _PACK.name, "kills": count, "counts": counts, "full": options.full},
        notes=[] if options.full else [f"--full kills {_KILLS[True]} times"],
    )


def _start(command: Sequence[str], output: Path) -> BaseProcess:
    return children.start([*command, str(output)], output.parent.with_suffix(".log"))


def _journal(output: Path) -> Path:
    return output.parent / f".{output.name}.gencodec" / "groups"


def _lasts(command: Sequence[str], output: Path) -> float:
    """Encode without a kill; return the seconds from the first finished group to the end."""
    process = _start(command, output)
    _wait(process, output)
    began = time.monotonic()
    process.join()
    return time.monotonic() - began


def _wait(process: BaseProcess, output: Path) -> None:
    """Wait until a group is finished, or the process has ended."""
    while process.is_alive() and not _journal(output).exists():
        time.sleep(_POLL_SECONDS)


def _killed(command: Sequence[str], output: Path, seconds: float) -> int | None:
    """Kill an encode behind its first group; return the bytes kept, None if it was over."""
    process = _start(command, output)
    _wait(process, output)
    time.sleep(seconds)
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return None
    return _journal(output).stat().st_size if _journal(output).exists() else 0
