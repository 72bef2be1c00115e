"""Make frequency tables from distributions. For training only: a decoder reads what was shipped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gencodec.symbols.layout import PriorConfig
from gencodec.symbols.range_coder import PRECISION
from gencodec.symbols.tables import MAX_RADIUS

SIGMA_MIN = 0.1  # standard deviation, in symbols, of scale index 1
SIGMA_MAX = 40.0  # of the last scale index
TAIL = 0.01  # share of the Laplace component, which keeps outliers cheap
_REACH = 5.5  # radius in standard deviations; the rest escapes


def sigma_bank(config: PriorConfig) -> NDArray[np.float64]:
    """Return the standard deviations [scales - 1] of scale indices 1 .. scales - 1, geometric."""
    return np.geomspace(SIGMA_MIN, SIGMA_MAX, config.scales - 1)


def symbol_tables(config: PriorConfig, *, tail: float = TAIL) -> dict[str, NDArray[np.generic]]:
    """Return `tables.frequencies` and `tables.radii` of discretised Gaussians.

    Args:
        config: the prior's sizes.
        tail: share 0 .. 1 of a Laplace distribution with the same standard deviation.
    """
    radii, tables = [], []
    for sigma in sigma_bank(config):
        radius = min(MAX_RADIUS, max(1, math.ceil(_REACH * sigma + 0.5)))
        radii.append(radius)
        for fraction in range(config.fractions):
            edges = np.arange(-radius, radius + 2) - 0.5 - fraction / config.fractions
            cumulative = [_mixed_cdf(float(edge / sigma), tail) for edge in edges]
            tables.append(integer_frequencies(np.diff(cumulative)))
    return {
        "tables.frequencies": np.concatenate(tables),
        "tables.radii": np.array(radii, np.uint16),
    }


def hyper_tables(
    config: PriorConfig, probabilities: Sequence[NDArray[np.float64]]
) -> dict[str, NDArray[np.generic]]:
    """Return `hyper.frequencies` and `hyper.radii` of the hyper symbols.

    Args:
        config: the prior's sizes.
        probabilities: for each table kind * hyper_channels + channel the probabilities of
            -R .. R, any R of its own; what they lack to 1 is the escape's.

    Raises:
        ValueError: the number or length of the vectors is wrong.
    """
    if len(probabilities) != 2 * config.hyper_channels:
        raise ValueError(f"got {len(probabilities)} tables, need {2 * config.hyper_channels}")
    if any(len(table) % 2 == 0 or len(table) > 2 * MAX_RADIUS + 1 for table in probabilities):
        raise ValueError(f"tables must have an odd length, at most {2 * MAX_RADIUS + 1}")
    radii = np.array([len(table) // 2 for table in probabilities], np.uint16)
    return {
        "hyper.frequencies": np.concatenate([integer_frequencies(t) for t in probabilities]),
        "hyper.radii": radii.reshape(2, config.hyper_channels),
    }


def integer_frequencies(probabilities: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return the table [n + 1] of n probabilities: each at least 1, the sum exactly 2**24.

    The last entry, escape, gets what the probabilities lack to 1. Every entry gets one count; the
    others are shared in proportion, rounded down, and the most probable entry takes what is left.

    Raises:
        ValueError: a probability is negative or not finite, or the sum is 0 or above 1.
    """
    total = float(probabilities.sum())
    if not (np.all(probabilities >= 0) and 0 < total <= 1 + 1e-6):
        raise ValueError(f"probabilities must be non-negative with sum in (0, 1], sum is {total}")
    shares = np.append(probabilities, max(0.0, 1.0 - total)) / max(1.0, total)
    frequencies: NDArray[np.int64]
    frequencies = np.floor(shares * ((1 << PRECISION) - len(shares))).astype(np.int64) + 1
    frequencies[np.argmax(frequencies)] += (1 << PRECISION) - frequencies.sum()
    return frequencies.astype(np.uint32)


def _mixed_cdf(x: float, tail: float) -> float:
    """Cumulative probability of a unit Gaussian mixed with a share of a unit-variance Laplace."""
    gaussian = 0.5 * math.erfc(-x / math.sqrt(2))
    decay = 0.5 * math.exp(-abs(x) * math.sqrt(2))
    return (1 - tail) * gaussian + tail * (decay if x < 0 else 1 - decay)
