"""Measure: how like a decoded video is to its source, by many metrics."""

from gencodec.evaluation.evaluate import Evaluation, EvaluationOptions, Score, evaluate
from gencodec.evaluation.metrics import METRICS, Metric
from gencodec.evaluation.pairing import FrameReader, open_frames

__all__ = [
    "METRICS",
    "Evaluation",
    "EvaluationOptions",
    "FrameReader",
    "Metric",
    "Score",
    "evaluate",
    "open_frames",
]
