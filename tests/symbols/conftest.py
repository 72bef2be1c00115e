"""A tiny pack made of integers only, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gencodec.symbols import Prior, PriorConfig, Tables, array_shapes
from gencodec.symbols.motion import CONTEXTS

Arrays = dict[str, NDArray[np.generic]]


def _numbers(name: str, count: int, limit: int) -> NDArray[np.int64]:
    """Return `count` integers -limit .. limit that follow from a name."""
    data = hashlib.shake_256(name.encode()).digest(4 * count)
    return np.frombuffer(data, "<u4").astype(np.int64) % (2 * limit + 1) - limit


def _prior_arrays(config: PriorConfig, seed: int) -> Arrays:
    arrays: Arrays = {}
    for name, shape in array_shapes(config).items():
        count = int(np.prod(shape))
        if name.endswith("weight"):
            inputs = int(np.prod(shape[-3:])) if len(shape) > 4 else shape[-1]
            limit = int(2500 / inputs**0.5)
            arrays[name] = _numbers(f"{seed} {name}", count, limit).astype(np.int16).reshape(shape)
        else:
            arrays[name] = _numbers(f"{seed} {name}", count, 2**18).astype(np.int32).reshape(shape)
    for part in ("out0", "out1"):  # spread the scales over their whole range
        bias = arrays[f"{part}.bias"].astype(np.int32)
        rows = bias.shape[2] // 2
        spread = np.arange(4 * rows, dtype=np.int32) % config.scales << 18
        bias[..., :rows] += spread.reshape(2, 2, -1)
        arrays[f"{part}.bias"] = bias
    return arrays


def _table(radius: int, centre: int, spread: int) -> NDArray[np.int64]:
    """Return an integer table with its peak at centre / 16 that falls with the squared distance."""
    r = np.arange(-radius, radius + 1, dtype=np.int64)
    weights = np.append(2**40 // (spread + (16 * r - centre) ** 2), 2**20)
    table: NDArray[np.int64] = 1 + weights * (2**24 - len(weights)) // weights.sum()
    table[np.argmax(table)] += 2**24 - table.sum()
    return table


def _table_arrays(config: PriorConfig) -> Arrays:
    radii = np.arange(1, config.scales) * 2 - 1
    tables = [
        _table(int(radius), 16 * f // config.fractions, 4 * int(radius) ** 2)
        for radius in radii
        for f in range(config.fractions)
    ]
    hyper_radii = np.arange(2 * config.hyper_channels) % 3
    hyper = [_table(int(radius), 0, 8) for radius in hyper_radii]
    contexts = np.arange(CONTEXTS, dtype=np.uint32)
    return {
        "motion.counts": np.stack([contexts % 11, contexts * 7 % 13], 1),
        "tables.frequencies": np.concatenate(tables).astype(np.uint32),
        "tables.radii": radii.astype(np.uint16),
        "hyper.frequencies": np.concatenate(hyper).astype(np.uint32),
        "hyper.radii": hyper_radii.reshape(2, -1).astype(np.uint16),
    }


@pytest.fixture(scope="session")
def config() -> PriorConfig:
    return PriorConfig(
        channels=5, hidden=6, hyper_channels=2, split=2, qualities=3, scales=7, fractions=4
    )


@pytest.fixture(scope="session")
def prior_arrays() -> Callable[[PriorConfig, int], Arrays]:
    return _prior_arrays


@pytest.fixture(scope="session")
def table_arrays() -> Callable[[PriorConfig], Arrays]:
    return _table_arrays


@pytest.fixture(scope="session")
def prior(config: PriorConfig) -> Prior:
    return Prior(config, _prior_arrays(config, 1))


@pytest.fixture(scope="session")
def tables(config: PriorConfig) -> Tables:
    return Tables(config, _table_arrays(config))
