"""Frequency tables: load and verify the integers that ship in a pack. Knows not how they were made.

A table is a categorical distribution over the residuals -R .. R and, as its last entry, "escape":
2 R + 2 integer frequencies, each at least 1, that sum to 2**24. Tables of a bank lie behind one
another in one array.

    tables.frequencies  uint32 [sum of (2 R + 2)]    table (s - 1) * F + f for scale s, fraction f
    tables.radii        uint16 [scales - 1]          R of the F tables of scale 1, 2, ...
    hyper.frequencies   uint32 [sum of (2 R + 2)]    table kind * hyper_channels + channel
    hyper.radii         uint16 [2, hyper_channels]   R; kind 0 the anchor, 1 others

A pack with motion fields has, besides, what their bits start from:

    motion.counts       uint32 [contexts, 2]         zeros and ones of each context
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import PackError
from gencodec.symbols.layout import PriorConfig
from gencodec.symbols.motion import CONTEXTS
from gencodec.symbols.range_coder import PRECISION, categorical

MAX_RADIUS = 4095

Arrays = Mapping[str, NDArray[np.generic]]


class Bank:
    """Tables that share one kind of symbol.

    Args:
        frequencies: [entries] the tables behind one another.
        radii: [tables] R of every table.
        name: what to call the bank in an error.

    Raises:
        PackError: a rule of the module's docstring is broken.
    """

    def __init__(
        self, frequencies: NDArray[np.int64], radii: NDArray[np.int64], *, name: str
    ) -> None:
        if radii.min() < 0 or radii.max() > MAX_RADIUS:
            raise PackError(f"{name}.radii are {radii.min()} .. {radii.max()}, limit {MAX_RADIUS}")
        sizes = 2 * radii + 2
        if len(frequencies) != sizes.sum():
            raise PackError(f"{name} has {len(frequencies)} frequencies, radii need {sizes.sum()}")
        if frequencies.min() < 1 or frequencies.max() >= 1 << PRECISION:
            raise PackError(f"{name} has a frequency outside 1 .. {(1 << PRECISION) - 1}")
        self.radii: NDArray[np.int32] = radii.astype(np.int32)
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])  # [tables + 1]
        sums = np.add.reduceat(frequencies, self.offsets[:-1])
        if np.any(sums != 1 << PRECISION):
            table = int(np.argmax(sums != 1 << PRECISION))
            raise PackError(f"{name} table {table} sums to {sums[table]}, must be 2**{PRECISION}")
        self.frequencies = frequencies
        self.bits = PRECISION - np.log2(frequencies)  # [entries] ideal code length
        self.models = [categorical(f) for f in np.split(frequencies, self.offsets[1:-1])]


class Tables:
    """All tables of a prior. Safe to share between groups.

    Attributes:
        symbols: table (s - 1) * F + f for scale index s and mean fraction f.
        hyper: table kind * hyper_channels + channel.
        motion: [contexts, 2] zeros and ones of the contexts of motion fields; empty without.

    Raises:
        PackError: an array is missing, has the wrong shape or type, or breaks a rule.
    """

    def __init__(self, config: PriorConfig, arrays: Arrays) -> None:
        self.config = config
        radii = _integers(arrays, "tables.radii", (config.scales - 1,))
        self.symbols = Bank(
            _integers(arrays, "tables.frequencies", None),
            np.repeat(radii, config.fractions),
            name="tables",
        )
        self.hyper = Bank(
            _integers(arrays, "hyper.frequencies", None),
            _integers(arrays, "hyper.radii", (2, config.hyper_channels)).ravel(),
            name="hyper",
        )
        self.motion = np.empty((0, 2), np.int64)
        if config.motion:
            self.motion = _integers(arrays, "motion.counts", (CONTEXTS, 2))
            if self.motion.min() < 0 or self.motion.max() >= 2**32:
                raise PackError("motion.counts has a number outside 0 .. 2**32 - 1")


def _integers(arrays: Arrays, name: str, shape: tuple[int, ...] | None) -> NDArray[np.int64]:
    """Return one array as int64; without `shape` it is a vector of any length above 0."""
    if name not in arrays:
        raise PackError(f"pack has no array {name!r}")
    array = arrays[name]
    fits = array.shape == shape if shape else array.ndim == 1 and array.size > 0
    if not fits or array.dtype.name not in ("uint16", "int32", "uint32", "int64"):
        raise PackError(
            f"array {name!r} is {array.dtype} {list(array.shape)}, must be integers "
            f"{list(shape) if shape else '[entries]'}"
        )
    return array.astype(np.int64)
