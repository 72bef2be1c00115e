"""Interlaced pictures to progressive ones."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

import av
from av import VideoFrame
from av.filter import Graph


class Deinterlacer:
    """FFmpeg's bwdif, one frame out for one frame in, two pictures late."""

    def __init__(self, first: VideoFrame, time_base: Fraction) -> None:
        self._times: deque[tuple[int | None, int]] = deque()
        self._graph = Graph()
        nodes = [
            self._graph.add_buffer(
                width=first.width, height=first.height, format=first.format, time_base=time_base
            ),
            self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
            self._graph.add("buffersink"),
        ]
        self._graph.link_nodes(*nodes).configure()

    def push(self, picture: VideoFrame | None) -> list[VideoFrame]:
        """Feed a picture, None at the end; return those that are ready, with their own times."""
        if picture is not None:
            self._times.append((picture.pts, picture.duration))
        self._graph.vpush(picture)
        ready: list[VideoFrame] = []
        while True:
            try:
                done = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return ready
            done.pts, done.duration = self._times.popleft()
            ready.append(done)
