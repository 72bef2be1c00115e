"""How fast this machine is just now: x264 medium codes the same clip."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from gencodec.peers import find_peer
from gencodec.peers.library import encode

NAME = "x264 medium, encode"
_CRF = 40.0
_RUNS = 3


def seconds(clip: Path, work: Path, threads: int) -> float:
    """Return the seconds x264 needs for a clip, reading it included: the best of three runs.

    Args:
        clip: a video.
        work: folder for a file that nobody keeps.
        threads: CPU threads.
    """
    peer = find_peer("x264").encoder
    medium = replace(peer, options={"preset": "medium", "g": peer.options["g"]})
    best = float("inf")
    for _ in range(_RUNS):
        started = time.perf_counter()
        encode(medium, _CRF, clip, work / "yardstick.h264", half=False, threads=threads)
        best = min(best, time.perf_counter() - started)
    return best
