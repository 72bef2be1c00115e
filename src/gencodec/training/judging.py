"""Stage `judge`: a small network learns to see what LPIPS-squeeze sees, in coded pictures.

    pictures, and what the codec makes of them  ->  features of both networks, layer by layer

What counts in the end is how features of a coded picture differ from those of its source, so the
differences must be alike, too.

Source: FitNets, Romero et al., arXiv 1412.6550.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.training.coding import coded_steps
from gencodec.training.loop import Rate
from gencodec.training.motion import motion_codec
from gencodec.training.perceptual import varied
from gencodec.training.stages import without
from gencodec.training.workbench import Workbench, train_only

_DISTANCE = 0.1  # relative error of the distance, against those of the layers


class JudgeTraining:
    """The judge of a pack with a motion codec."""

    name = "judge"

    def __init__(self, bench: Workbench) -> None:
        if bench.judge is None or bench.lpips is None:
            raise PackError("stage judge needs a pack with a judge, and the weights of LPIPS")
        self._bench, self._codec = bench, motion_codec(bench)
        self._judge, self._teacher = bench.judge, bench.lpips
        train_only(bench, bench.judge.parameters())
        self.trained = nn.ModuleDict({"judge": bench.judge})

    def rates(self) -> list[Rate]:
        """Convolutions by Muon."""
        parameters = list(self._judge.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        return [Rate(matrices, 10.0, muon=True), Rate(without(parameters, matrices))]

    def loss(self, frames: Tensor) -> tuple[Tensor, Mapping[str, float]]:
        """Error of features and of their differences, relative to how much they vary."""
        made, true = self._pair(frames)
        pictures = torch.cat([made, true])
        with torch.no_grad():
            taught = self._teacher.features(pictures)
            wanted = self._teacher.distance(*_halves(taught))
        learned = self._judge.features(pictures)
        layers = zip(learned, taught, self._teacher.layer_weights(), strict=False)  # but the last
        errors = [_layer_error(a, b, weight) for a, b, weight in layers]
        apart = self._judge.distance(*_halves(learned))
        distance = ((apart + 1e-3).log() - (wanted + 1e-3).log()).abs().mean()
        features, change = (torch.stack(kind).mean() for kind in zip(*errors, strict=True))
        numbers = {"features": features, "change": change, "distance": distance}
        loss = features + change + _DISTANCE * distance
        return loss, {name: float(value.detach()) for name, value in numbers.items()}

    @torch.no_grad()
    def _pair(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return first frames as the codec makes them [b, 3, H, W] and as they were."""
        bench = self._bench
        first, quality, _ = bench.coded_material(frames[:, :, :1])
        (step,) = coded_steps(self._codec, bench.autoencoder, first, quality, quality)
        made, true = varied(step.decoded[:, :, 0].clamp(-1, 1), first[:, :, 0])
        return made, true


def _halves(features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Part what was seen of coded pictures from what was seen of their sources."""
    halves = [x.chunk(2) for x in features]
    return [a for a, _ in halves], [b for _, b in halves]


def _layer_error(learned: Tensor, taught: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share that was not learned: of features [2n, c, h, w], and of their differences.

    Args:
        learned: features of pictures and then of their sources.
        taught: the same by the teacher.
        weight: what each channel counts [c].
    """
    weight = weight.view(1, -1, 1, 1)
    spread = (taught - taught.mean((0, 2, 3), keepdim=True)).square()
    error = ((learned - taught).square() * weight).mean() / (spread * weight).mean()
    changes = [made - true for made, true in (learned.chunk(2), taught.chunk(2))]
    missed = (changes[0] - changes[1]).square()
    return error, (missed * weight).mean() / (changes[1].square() * weight).mean()
