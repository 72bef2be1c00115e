"""How unlike frames look to trained networks, and how unlike they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from gencodec.errors import PackError
from gencodec.evaluation.metrics.meter import Meter, MetricError, Setting
from gencodec.evaluation.metrics.weights import hub_folder, needs_eval_extra, own_file
from gencodec.evaluation.pairing import Pair
from gencodec.execution import define_torchvision_operators
from gencodec.perceptual import Lpips, SqueezeNet10

_Own = TypeVar("_Own", Lpips, SqueezeNet10)

_SIDE = 32  # pixels that every backbone can work on
_HUB = {  # LPIPS's name of a backbone -> its file in torch's hub, megabytes
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", 5),
    "alex": ("alexnet-owt-7be5be79.pth", 233),
}


class _Network(Protocol):
    """A network whose features tell how unlike pictures are."""

    def features(self, x: Tensor) -> Sequence[Tensor]:
        """Return the features of pictures [n, 3, H, W] in -1..1."""
        ...

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Return the distance [n] of features."""
        ...


class _Features(Meter):
    """Distance of each frame from its source, and how unlike both change from frame to frame.

    In bfloat16 where that is fast: numbers differ from those of float32 by less than 5e-4.
    """

    NAMES: tuple[str, ...] = ()  # the distance; |change of the video - change of the source|

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(_SIDE)
        self._device = setting.execution.device
        self._network = self._load(setting)
        self._precision = setting.fast()
        self._last: tuple[Sequence[Tensor], Sequence[Tensor]] | None = None

    def _load(self, setting: Setting) -> _Network:
        raise NotImplementedError

    @torch.inference_mode()
    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        planes = pair.planes.to(self._device) / 127.5 - 1
        with self._precision:
            both = self._network.features(planes)
        source, shown = [each[:1] for each in both], [each[1:] for each in both]
        distance = self._network.distance
        values = [float(distance(source, shown))]
        if len(self.NAMES) > 1:
            if self._last is not None:
                last_source, last_shown = self._last
                change = distance(shown, last_shown) - distance(source, last_source)
                values.append(abs(float(change)))
            self._last = source, shown
        self._note(pair.index, **dict(zip(self.NAMES, values, strict=False)))


class LpipsSqueeze(_Features):
    """LPIPS and tLPIPS with SqueezeNet 1.1: weights of our own folder, or torch's."""

    NAMES = ("lpips_squeeze", "tlpips_squeeze")

    def _load(self, setting: Setting) -> _Network:
        try:
            return _own("squeezenet1_1_lpips.npz", Lpips, setting)
        except MetricError as missing:
            try:
                return _TorchmetricsLpips("squeeze", setting)
            except MetricError as error:
                raise MetricError(f"{missing}, and {error}") from error


class LpipsAlex(_Features):
    """LPIPS with AlexNet."""

    NAMES = ("lpips_alex",)

    def _load(self, setting: Setting) -> _Network:
        return _TorchmetricsLpips("alex", setting)


class Squeeze10(_Features):
    """Mean distance of the features of SqueezeNet 1.0; its weights come with no library."""

    NAMES = ("squeeze10",)

    def _load(self, setting: Setting) -> _Network:
        return _own("squeezenet1_0_caffe.npz", SqueezeNet10, setting)


class _TorchmetricsLpips:
    """The networks of torchmetrics's LPIPS, features and distance apart."""

    def __init__(self, backbone: str, setting: Setting) -> None:
        with hub_folder(*_HUB[backbone], setting), needs_eval_extra():
            define_torchvision_operators()
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

            metric = LearnedPerceptualImagePatchSimilarity(net_type=backbone)
            self._network: Any = metric.net.eval().to(
                setting.execution.device, memory_format=torch.channels_last
            )

    def features(self, x: Tensor) -> list[Tensor]:
        layers = self._network.net(self._network.scaling_layer(x))
        return [nn.functional.normalize(each.float(), dim=1) for each in layers]

    def distance(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        layers = zip(self._network.lins, a, b, strict=True)
        parts = [weigh((fa - fb) ** 2).mean((1, 2, 3)) for weigh, fa, fb in layers]
        return torch.stack(parts).sum(0)


def _own(name: str, make: type[_Own], setting: Setting) -> _Own:
    """Return a network made of a file of our own folder.

    Raises:
        MetricError: the file is missing or damaged.
    """
    try:
        network = make(own_file(name)).to(setting.execution.device)
        # Halves the time on CPUs.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    except PackError as error:
        raise MetricError(str(error)) from error
