"""The meters that a choice of metrics needs, and what cannot be computed here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from gencodec.evaluation.metrics.fidelity import MsSsim, Psnr
from gencodec.evaluation.metrics.filters import Vmaf, Xpsnr
from gencodec.evaluation.metrics.meter import Meter, MetricError, Setting
from gencodec.evaluation.metrics.perceptual import LpipsAlex, LpipsSqueeze, Squeeze10
from gencodec.evaluation.metrics.sharpness import Bands
from gencodec.evaluation.metrics.temporal import Change, Warp
from gencodec.evaluation.metrics.vgg import Vgg


class _Kind(Protocol):
    """A class of meters: the metrics it can compute, and how to make one."""

    @property
    def NAMES(self) -> tuple[str, ...]: ...  # noqa: N802

    def __call__(self, names: Sequence[str], setting: Setting) -> Meter: ...


_KINDS: tuple[_Kind, ...] = (
    Psnr,
    MsSsim,
    LpipsSqueeze,
    LpipsAlex,
    Vgg,
    Squeeze10,
    Vmaf,
    Xpsnr,
    Change,
    Warp,
    Bands,
)


def meters_for(names: Collection[str], setting: Setting) -> tuple[list[Meter], dict[str, str]]:
    """Return meters for those metrics that can be computed, and why not for the others."""
    meters: list[Meter] = []
    missing: dict[str, str] = {}
    for kind in _KINDS:
        if wanted := [name for name in kind.NAMES if name in names]:
            try:
                meters.append(kind(wanted, setting))
            except MetricError as error:
                missing.update(dict.fromkeys(wanted, str(error)))
    return meters, missing
