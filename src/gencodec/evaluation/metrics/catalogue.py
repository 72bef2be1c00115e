"""The metrics there are: their names, units and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a metric's numbers mean.

    Attributes:
        name: key in results and on the command line.
        label: for people.
        unit: of the numbers, empty for none.
        higher_is_better: None where 1 is what the source has and both sides of it are worse.
        backbone: the network whose features are compared, None without one.
    """

    name: str
    label: str
    unit: str = ""
    higher_is_better: bool | None = False
    backbone: str | None = None

    def badness(self, value: float) -> float:
        """Return a number that is larger for a worse value."""
        if self.higher_is_better is None:
            return abs(value - 1)
        return -value if self.higher_is_better else value


_ALL = (
    Metric(name="psnr_y", label="PSNR-Y", unit="dB", higher_is_better=True),
    Metric(name="psnr_rgb", label="PSNR-RGB", unit="dB", higher_is_better=True),
    Metric(name="ms_ssim", label="MS-SSIM", higher_is_better=True),
    Metric(name="lpips_squeeze", label="LPIPS-squeeze", backbone="SqueezeNet 1.1"),
    Metric(name="lpips_alex", label="LPIPS-alex", backbone="AlexNet"),
    Metric(name="lpips_vgg", label="LPIPS-vgg", backbone="VGG16"),
    Metric(name="dists", label="DISTS", backbone="VGG16"),
    Metric(name="squeeze10", label="SqueezeNet 1.0 features", backbone="SqueezeNet 1.0"),
    Metric(name="vmaf", label="VMAF", higher_is_better=True),
    Metric(name="xpsnr_y", label="XPSNR-Y", unit="dB", higher_is_better=True),
    Metric(name="tdiff", label="temporal difference", unit="of 255"),
    Metric(name="activity_ratio", label="temporal activity / source", higher_is_better=None),
    Metric(name="warp_error", label="flow-warped error", unit="of 255"),
    Metric(name="warp_residual", label="flow-warped error beside source's", unit="of 255"),
    Metric(name="tlpips_squeeze", label="tLPIPS-squeeze", backbone="SqueezeNet 1.1"),
    Metric(name="band_ratio_0", label="fine detail / source", higher_is_better=None),
    Metric(name="band_ratio_1", label="medium detail / source", higher_is_better=None),
    Metric(name="band_ratio_2", label="coarse detail / source", higher_is_better=None),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every metric by name, in the order people read them."""
