"""Measure: how like a decoded video is to its source, by many metrics.

Importing this package is cheap; torch is imported when something is measured.
"""

from typing import TYPE_CHECKING

from gencodec.evaluation.metrics import METRICS, Metric
from gencodec.lazy import lazy

if TYPE_CHECKING:
    from gencodec.evaluation.pairing import FrameReader, open_frames
    from gencodec.evaluation.scoring import Evaluation, EvaluationOptions, Score, evaluate

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

_SCORING = ("Evaluation", "EvaluationOptions", "Score", "evaluate")

__getattr__ = lazy(
    __name__,
    {
        "FrameReader": "gencodec.evaluation.pairing",
        "open_frames": "gencodec.evaluation.pairing",
        **dict.fromkeys(_SCORING, "gencodec.evaluation.scoring"),
    },
)
