"""How unlike the videos change from frame to frame: what flickers, freezes or tears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gencodec.evaluation.metrics.meter import Meter, Setting, Share
from gencodec.evaluation.metrics.weights import needs_eval_extra
from gencodec.evaluation.pairing import Luma, Pair

_STILL = 0.05  # mean change of luma, of 255, below which a frame of the source is a still one
_FLOW_SIDE = 32  # pixels that the coarsest scale of the flow needs


class Change(Meter):
    """Differences of luma between neighbouring frames.

    * tdiff: mean |change of the video - change of the source|, of 255.
    * activity_ratio: mean |change| of the video over that of the source.
    """

    NAMES = ("tdiff", "activity_ratio")

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        self._last: tuple[Luma, Luma] | None = None
        self._activity = Share(_STILL)

    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        if self._last is not None:
            source, shown = (now - last for now, last in zip(pair.luma, self._last, strict=True))
            share = self._activity.of(_mean(source), _mean(shown))
            self._note(pair.index, tdiff=_mean(shown - source), activity_ratio=share)
        self._last = pair.luma

    def finish(self) -> None:
        """Take the activity of the whole video."""
        if "activity_ratio" in self.series:
            self.series["activity_ratio"].mean = self._activity.total


class Warp(Meter):
    """Differences of luma along the motion of the source, as OpenCV's DIS flow sees it.

    * warp_error: mean |frame - last frame moved here|, of 255. The source has some, too.
    * warp_residual: mean |that of the video - that of the source|; 0 is equal.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; Lai et al.,
    "Learning Blind Video Temporal Consistency", ECCV 2018 (without its mask of occlusions).
    """

    NAMES = ("warp_error", "warp_residual")

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(_FLOW_SIDE)
        with needs_eval_extra():
            import cv2
        self._cv2 = cv2
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        rows, columns = np.mgrid[: setting.height, : setting.width].astype(np.float32)
        self._places = np.stack([columns, rows], -1)
        self._last: tuple[Luma, Luma] | None = None

    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        if self._last is not None:
            flow = self._flow.calc(_bytes(pair.luma[0]), _bytes(self._last[0]), None)
            came_from = self._places + flow
            source, shown = (
                now - self._moved(last, came_from)
                for now, last in zip(pair.luma, self._last, strict=True)
            )
            self._note(pair.index, warp_error=_mean(shown), warp_residual=_mean(shown - source))
        self._last = pair.luma

    def _moved(self, picture: Luma, came_from: NDArray[np.float32]) -> Luma:
        moved: Luma = self._cv2.remap(
            picture, came_from, None, self._cv2.INTER_LINEAR, borderMode=self._cv2.BORDER_REPLICATE
        )
        return moved


def _mean(picture: Luma) -> float:
    return float(np.abs(picture).mean(dtype=np.float64))


def _bytes(luma: Luma) -> NDArray[np.uint8]:
    """Return luma of 0 to 219 as the flow wants it."""
    levels: NDArray[np.uint8] = np.rint(luma * (255 / 219)).clip(0, 255).astype(np.uint8)
    return levels
