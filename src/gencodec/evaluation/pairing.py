"""Two videos, frame beside frame by the time it is shown; a .gnv is decoded on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from gencodec.container import SIGNATURE
from gencodec.errors import SourceError
from gencodec.execution import Execution
from gencodec.frames import Frame, FrameSource, Pixels, VideoInfo, open_source, yuv_matrix
from gencodec.input import named, open_stream

if TYPE_CHECKING:
    from gencodec.decoding import Decoder

Luma = NDArray[np.float32]

_WEIGHTS = {1: (0.2126, 0.7152, 0.0722), 9: (0.2627, 0.6780, 0.0593)}  # H.273 matrix -> R, G, B
_BT601 = (0.299, 0.587, 0.114)
_LIMITED = 219 / 255
_SAME_MOMENT = Fraction(1, 4)  # of a frame; containers round times to a millisecond


class FrameReader:
    """The frames of a video file or a .gnv, upright, with their times. A context manager.

        with open_frames(path) as frames:
            for seconds, rgb in frames: ...

    Attributes:
        info: of the stored video.
        width, height: pixels of the upright frames.
    """

    def __init__(self, path: Path, execution: Execution | None, steps: int | None) -> None:
        self._video: FrameSource | Decoder
        self._path, self._ended = path, False
        with ExitStack() as opened:
            if _is_gnv(path):
                from gencodec.decoding import Decoder  # its networks take seconds to import

                stream = opened.enter_context(open_stream(path))
                self._video = Decoder(stream, execution or Execution.choose(), steps=steps)
            else:
                self._video = opened.enter_context(open_source(path))
            self._opened = opened.pop_all()  # from here on, `__exit__` closes
        self.info: VideoInfo = self._video.info
        turned = self.info.rotation % 180 == 90
        sides = (self.info.width, self.info.height)
        self.width, self.height = sides[::-1] if turned else sides

    @property
    def skipped(self) -> tuple[str, ...]:
        """Streams beside the video, such as "audio aac"; they count in the size of the file."""
        return self._video.skipped if isinstance(self._video, FrameSource) else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened to the video while it was read; complete at the end."""
        if isinstance(self._video, FrameSource):
            return self._video.notes
        cut = self._ended and not self._video.reader.complete
        return (*self._video.warnings, *(("the file is cut: it has no end",) if cut else ()))

    def __iter__(self) -> Iterator[tuple[Fraction, Pixels]]:
        """Yield (seconds from the first frame, uint8 [H, W, 3] upright) of each frame.

        Raises:
            SourceError, FormatError, PackError: a frame cannot be decoded.
        """
        first: int | None = None
        quarters = -self.info.rotation // 90 % 4  # np.rot90 turns counter-clockwise
        for frame in self._frames():
            first = frame.ticks if first is None else first
            upright = np.ascontiguousarray(np.rot90(frame.rgb, quarters))
            yield (frame.ticks - first) * self.info.time_base, upright
        self._ended = True

    def _frames(self) -> Iterator[Frame]:
        if isinstance(self._video, FrameSource):
            return self._video.frames()
        return self._coded_frames(self._video)

    def _coded_frames(self, video: Decoder) -> Iterator[Frame]:
        with named(self._path):
            yield from video.frames(video.records(None, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()


def open_frames(
    path: str | Path, *, execution: Execution | None = None, steps: int | None = None
) -> FrameReader:
    """Open a video or a .gnv for reading frames.

    Args:
        path: a .gnv, or anything FFmpeg reads.
        execution: where a .gnv is decoded; None chooses.
        steps: refinement steps of a .gnv instead of its own; 0 shows the base.

    Raises:
        SourceError, FormatError, PackError: see `gencodec.errors`.
    """
    return FrameReader(Path(path), execution, steps)


class Pair:
    """One moment of both videos; what several metrics need of it is computed once.

    Attributes:
        index: number of the pair, from 0.
        seconds: when it is shown, from the reference's first frame.
        reference, distorted: uint8 [H, W, 3].
    """

    def __init__(
        self, index: int, seconds: Fraction, pictures: tuple[Pixels, Pixels], matrix: int
    ) -> None:
        self.index, self.seconds = index, seconds
        self.reference, self.distorted = pictures
        self._weights = np.array(_WEIGHTS.get(matrix, _BT601), np.float32) * _LIMITED

    @cached_property
    def luma(self) -> tuple[Luma, Luma]:
        """Luma of both, float32 [H, W], 0 to 219 as the samples of limited range."""
        reference, distorted = (
            picture.astype(np.float32) @ self._weights
            for picture in (self.reference, self.distorted)
        )
        return reference, distorted

    @cached_property
    def planes(self) -> torch.Tensor:
        """Source and video, float32 [2, 3, H, W], 0 to 255."""
        both = np.stack([self.reference, self.distorted])
        return torch.from_numpy(both).permute(0, 3, 1, 2).float()


@dataclass(slots=True)
class Unmatched:
    """How many frames of each video had no partner."""

    reference: int = 0
    distorted: int = 0


class Pairing:
    """Pairs of frames that are shown at the same moment, in constant memory.

    Times count from each video's first frame; a quarter of a frame apart is the same moment.

    Attributes:
        scaled: the distorted video is brought to the size of the reference.
        matrix: H.273 code of the matrix that makes luma of RGB.
        unmatched: frames so far that had no partner; with `align` only.
    """

    def __init__(
        self, reference: FrameReader, distorted: FrameReader, names: tuple[str, str], *, align: bool
    ) -> None:
        """Compare what is known before the first frame.

        Raises:
            SourceError: the sizes differ and shall not be aligned.
        """
        self._reference, self._distorted, self._names = reference, distorted, names
        self._align = align
        self._size = (reference.height, reference.width)
        self.matrix = yuv_matrix(reference.info.colour.matrix, reference.info.height)
        self.unmatched = Unmatched()
        self.scaled = (distorted.height, distorted.width) != self._size
        if self.scaled and not align:
            raise SourceError(
                f"{names[0]} is {reference.width}x{reference.height} and {names[1]} "
                f"{distorted.width}x{distorted.height}; pass --align to scale the latter"
            )
        rates = reference.info.frame_rate, distorted.info.frame_rate
        self._tolerance = _SAME_MOMENT / max(rates)

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs.

        Raises:
            SourceError: a frame has no partner and shall not be left out; says which.
        """
        for index, ((seconds, reference), (_, distorted)) in enumerate(self._matched()):
            yield Pair(index, seconds, (reference, self._fitted(distorted)), self.matrix)

    def _matched(self) -> Iterator[tuple[tuple[Fraction, Pixels], tuple[Fraction, Pixels]]]:
        left, right = iter(self._reference), iter(self._distorted)
        one, other = next(left, None), next(right, None)
        paired = 0
        while one is not None or other is not None:
            if one is not None and other is not None and self._together(one[0], other[0]):
                yield one, other
                paired += 1
                one, other = next(left, None), next(right, None)
                continue
            if not self._align:
                raise SourceError(self._difference(paired, one, other))
            if other is None or (one is not None and one[0] < other[0]):
                self.unmatched.reference += 1
                one = next(left, None)
            else:
                self.unmatched.distorted += 1
                other = next(right, None)

    def _together(self, one: Fraction, other: Fraction) -> bool:
        return abs(one - other) <= self._tolerance

    def _difference(
        self,
        paired: int,
        one: tuple[Fraction, Pixels] | None,
        other: tuple[Fraction, Pixels] | None,
    ) -> str:
        advice = "pass --align to leave out what has no partner"
        if one is None or other is None:
            short, long = self._names if one is None else self._names[::-1]
            return f"{short} has {paired} frames and {long} more; {advice}"
        places = (
            f"{float(moment[0]):.3f} s in {name} ({float(reader.info.frame_rate):.6g} frames/s)"
            for moment, name, reader in zip(
                (one, other), self._names, (self._reference, self._distorted), strict=True
            )
        )
        return f"frame {paired} is shown at {' and at '.join(places)}; {advice}"

    def _fitted(self, picture: Pixels) -> Pixels:
        """Return the picture in the size of the reference."""
        if not self.scaled:
            return picture
        planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        scaled = F.interpolate(planes, self._size, mode="bicubic", antialias=True)
        pixels: Pixels = scaled.round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
        return np.ascontiguousarray(pixels)


def _is_gnv(path: Path) -> bool:
    if path.suffix.lower() == ".gnv":
        return True
    if not path.is_file():
        return False  # opening it says what is wrong; a pipe must not lose its first bytes
    with open_stream(path) as stream:
        return stream.read(len(SIGNATURE)) == SIGNATURE
