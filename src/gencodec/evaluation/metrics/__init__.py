"""Metrics: what each means, and the meters that compute them, which need torch."""

from typing import TYPE_CHECKING

from gencodec.evaluation.metrics.catalogue import METRICS, Metric
from gencodec.lazy import lazy

if TYPE_CHECKING:
    from gencodec.evaluation.metrics.chosen import meters_for
    from gencodec.evaluation.metrics.meter import FrameMeter, Meter, MetricError, Series, Setting

__all__ = [
    "METRICS",
    "FrameMeter",
    "Meter",
    "Metric",
    "MetricError",
    "Series",
    "Setting",
    "meters_for",
]

_METER = ("FrameMeter", "Meter", "MetricError", "Series", "Setting")

__getattr__ = lazy(
    __name__,
    {
        "meters_for": "gencodec.evaluation.metrics.chosen",
        **dict.fromkeys(_METER, "gencodec.evaluation.metrics.meter"),
    },
)
