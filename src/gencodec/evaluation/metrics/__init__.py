"""Metrics: what each means, and the meters that compute them."""

from gencodec.evaluation.metrics.catalogue import METRICS, Metric
from gencodec.evaluation.metrics.chosen import meters_for
from gencodec.evaluation.metrics.meter import Meter, MetricError, Series, Setting

__all__ = ["METRICS", "Meter", "Metric", "MetricError", "Series", "Setting", "meters_for"]
