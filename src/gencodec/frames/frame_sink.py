"""What every output of frames has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import numpy as np

from gencodec.carried import TrackPacket
from gencodec.frames.ffmpeg import output_errors
from gencodec.frames.video import Frame, Pixels


class FrameSink(ABC):
    """An open output. A context manager that closes; an error inside leaves an unfinished file.

    Every method may raise `OutputError`, and BrokenPipeError where a pipe's reader is gone.

    Attributes:
        lost: tracks that the output cannot hold, and why; may grow while writing.
    """

    lost: list[str]

    _name: str
    _shape: tuple[int, int, int]

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Append a frame; its `ticks` must be above those of the frame before it."""

    def write_packet(self, packet: TrackPacket) -> None:
        """Append a packet of sound or subtitles, after the first frame; most outputs hold none."""
        del packet

    @abstractmethod
    def close(self) -> None:
        """Finish the output; it is complete when this returns. Again: nothing."""

    @abstractmethod
    def abandon(self) -> None:
        """Release the output without finishing it; raises nothing."""

    def _writing(self) -> AbstractContextManager[None]:
        return output_errors(lambda: f"{self._name} cannot be written")

    def _checked(self, frame: Frame) -> Pixels:
        if frame.rgb.shape != self._shape or frame.rgb.dtype != np.uint8:
            raise ValueError(
                f"frame is {frame.rgb.dtype} {frame.rgb.shape}, must be uint8 {self._shape}"
            )
        return frame.rgb

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
