"""How much detail a video has as a share of its source's, so that blur cannot hide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gencodec.evaluation.metrics.meter import Meter, Setting, Share
from gencodec.evaluation.metrics.weights import needs_eval_extra
from gencodec.evaluation.pairing import Luma, Pair

_BANDS = 3
_FLAT = 0.01  # mean square of a band, of 255, below which a frame of the source has nothing in it


class Bands(Meter):
    """Energy of luma's Laplacian pyramid, band by band; 0 is the finest, 1 in all is the source's.

    Below 1 is blur, above 1 detail or noise the source does not have.

    Source: Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
    """

    NAMES = tuple(f"band_ratio_{band}" for band in range(_BANDS))

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(2 ** (_BANDS + 1))
        with needs_eval_extra():
            import cv2
        self._cv2 = cv2
        self._shares = [Share(_FLAT) for _ in self.NAMES]

    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        source, shown = (self._energies(luma) for luma in pair.luma)
        shares = (share.of(*both) for share, *both in zip(self._shares, source, shown, strict=True))
        self._note(pair.index, **dict(zip(self.NAMES, shares, strict=True)))

    def finish(self) -> None:
        """Take the shares of the whole video."""
        for name, share in zip(self.NAMES, self._shares, strict=True):
            if name in self.series:
                self.series[name].mean = share.total

    def _energies(self, luma: Luma) -> list[float]:
        """Return the mean square of each band."""
        energies = []
        for _ in self.NAMES:
            coarse = self._cv2.pyrDown(luma)
            band = luma - self._cv2.pyrUp(coarse, dstsize=luma.shape[::-1])
            energies.append(float(np.square(band).mean(dtype=np.float64)))
            luma = np.asarray(coarse, np.float32)
        return energies
