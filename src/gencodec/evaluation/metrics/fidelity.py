"""How near the pixels are: PSNR of luma and of RGB, MS-SSIM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gencodec.evaluation.metrics.meter import LOSSLESS, Meter, Setting
from gencodec.evaluation.metrics.weights import needs_eval_extra
from gencodec.evaluation.pairing import Pair

_PEAK = 255.0
_SSIM_SIDE = 161  # five scales of a window of eleven pixels


class Psnr(Meter):
    """PSNR with a peak of 255 in dB; the luma's samples are those of limited range."""

    NAMES = ("psnr_y", "psnr_rgb")

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)

    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        reference, distorted = pair.luma
        error = pair.reference.astype(np.float32) - pair.distorted
        self._note(pair.index, psnr_y=_decibels(reference - distorted), psnr_rgb=_decibels(error))


class MsSsim(Meter):
    """MS-SSIM of RGB, as pytorch-msssim computes it.

    Source: Wang, Simoncelli and Bovik, "Multiscale structural similarity", Asilomar 2003.
    """

    NAMES = ("ms_ssim",)

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(_SSIM_SIDE)
        with needs_eval_extra():
            from pytorch_msssim import ms_ssim
        self._ms_ssim = ms_ssim
        self._device = setting.execution.device

    @torch.inference_mode()
    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        reference, distorted = pair.planes.to(self._device).chunk(2)
        value = self._ms_ssim(reference, distorted, data_range=_PEAK)
        self._note(pair.index, ms_ssim=float(value))


def _decibels(error: NDArray[np.float32]) -> float:
    mean = float(np.mean(np.square(error, dtype=np.float64)))
    return min(LOSSLESS, 10 * float(np.log10(_PEAK**2 / mean))) if mean else LOSSLESS
