"""How like two videos are, frame by frame in constant memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gencodec.frames import Pixels

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) * 219 / 255  # BT.601, limited range
_PEAK = 255.0
_LPIPS_FILE = "squeezenet1_1_lpips.npz"

Metric = Callable[[Pixels, Pixels], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Means over the frames; None was not computed.

    Attributes:
        psnr_y, psnr_rgb: decibels; luma as BT.601 has it.
        ssim: structural similarity of RGB, 1 is equal.
        lpips: LPIPS-squeeze, 0 is equal.
        temporal: mean |change of the decoded luma - change of the source's| from frame to frame,
            of 255; what flickers or drags.
        activity: how much the decoded luma changes as a share of how much the source's does; below
            1 it is too still.
    """

    frames: int
    psnr_y: float
    psnr_rgb: float
    ssim: float | None
    lpips: float | None
    temporal: float | None
    activity: float | None


def compare(pairs: Iterable[tuple[Pixels, Pixels]], *, ssim: bool = False) -> Scores:
    """Compare pairs of frames (source, decoded), each uint8 [H, W, 3].

    SSIM needs pytorch-msssim, LPIPS the folder GENCODEC_METRICS_DIR with its weights.

    Raises:
        ValueError: there is no pair, or two frames differ in size.
    """
    found = _Sums()
    optional = {"ssim": _ssim() if ssim else None, "lpips": _lpips()}
    for source, decoded in pairs:
        found.add(source, decoded)
        for name, metric in optional.items():
            if metric is not None:
                found.values.setdefault(name, []).append(metric(source, decoded))
    return found.scores()


@dataclass(slots=True)
class _Sums:
    """What is kept of the frames so far: numbers, and the luma of the last pair."""

    values: dict[str, list[float]] = field(default_factory=dict)
    last: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def add(self, source: Pixels, decoded: Pixels) -> None:
        if source.shape != decoded.shape:
            raise ValueError(f"frames are {source.shape} and {decoded.shape}, must be the same")
        s, d = source.astype(np.float32) @ _LUMA, decoded.astype(np.float32) @ _LUMA
        error = source.astype(np.float32) - decoded
        found = {"psnr_y": _decibels(s - d), "psnr_rgb": _decibels(error)}
        if self.last is not None:
            wanted, shown = s - self.last[0], d - self.last[1]
            found["temporal"] = float(np.abs(shown - wanted).mean())
            found["wanted"] = float(np.abs(wanted).mean())
            found["shown"] = float(np.abs(shown).mean())
        self.last = s, d
        for name, value in found.items():
            self.values.setdefault(name, []).append(value)

    def scores(self) -> Scores:
        if not self.values:
            raise ValueError("there are no frames to compare")
        means = {name: float(np.mean(values)) for name, values in self.values.items()}
        wanted = means.get("wanted", 0.0)
        return Scores(
            frames=len(self.values["psnr_y"]),
            psnr_y=means["psnr_y"],
            psnr_rgb=means["psnr_rgb"],
            ssim=means.get("ssim"),
            lpips=means.get("lpips"),
            temporal=means.get("temporal"),
            activity=means["shown"] / wanted if wanted else None,
        )


def _decibels(error: NDArray[np.float32]) -> float:
    """Return the PSNR of one frame; a lossless one counts as 100 dB."""
    mse = float(np.mean(np.square(error, dtype=np.float64)))
    return min(100.0, 10 * float(np.log10(_PEAK**2 / mse))) if mse else 100.0


def _ssim() -> Metric | None:
    try:
        from pytorch_msssim import ssim
    except ImportError:
        return None

    def measure(source: Pixels, decoded: Pixels) -> float:
        return float(ssim(_batch(source), _batch(decoded), data_range=_PEAK))

    return measure


def _lpips() -> Metric | None:
    folder = os.environ.get("GENCODEC_METRICS_DIR")
    if not folder or not (Path(folder) / _LPIPS_FILE).is_file():
        return None
    from gencodec.training.perceptual import Lpips

    network = Lpips(Path(folder) / _LPIPS_FILE)

    @torch.inference_mode()
    def measure(source: Pixels, decoded: Pixels) -> float:
        return float(network(_batch(source) / 127.5 - 1, _batch(decoded) / 127.5 - 1))

    return measure


def _batch(rgb: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float()
