"""What a prior is made of: its sizes, its integer arrays, and the proof that its sums are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import PackError

Integers = NDArray[np.integer[Any]]  # any integer type

FEATURE_BITS = 8  # fractional bits of features and symbols
WEIGHT_BITS = 10  # fractional bits of weights
ACCUMULATOR_BITS = FEATURE_BITS + WEIGHT_BITS
FEATURE_MAX = 4095  # largest activation
SYMBOL_CLIP = 15  # symbols enter the network clipped to this magnitude
MEAN_LIMIT = 8  # means lie in -8 .. 8 symbol units
STEPS = 4  # coding steps a latent frame
BOUND = 2**50  # every sum of absolute products plus |bias| is below this

_RANGES = {
    "channels": (2, 512),
    "hidden": (1, 512),
    "hyper_channels": (1, 64),
    "hyper_stride": (1, 16),
    "split": (1, 511),
    "qualities": (1, 256),
    "scales": (2, 256),
    "fractions": (1, 16),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorConfig:
    """Sizes of a prior; together with the arrays it fixes every probability."""

    channels: int = 48  # symbols a latent position, 2 .. 512
    hidden: int = 64  # features of every hidden layer, 1 .. 512
    hyper_channels: int = 8  # hyper symbols a hyper position, 1 .. 64
    hyper_stride: int = 4  # latent positions a hyper position covers along each axis, 1 .. 16
    split: int = 16  # channels of the first part, 1 .. channels - 1
    qualities: int = 64  # number of quality indices, 1 .. 256
    scales: int = 64  # scale indices; 0 means "skip", 2 .. 256
    fractions: int = 4  # means are multiples of 1 / fractions, a power of two, 1 .. 16
    motion: bool = False  # channels 0, 1 and the last of frames but the anchor are motion

    def __post_init__(self) -> None:
        """Check every size.

        Raises:
            PackError: a size is outside its range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise PackError(f"prior {name} is {value!r}, must be an integer {low} .. {high}")
        if type(self.motion) is not bool:
            raise PackError(f"prior motion is {self.motion!r}, must be true or false")
        if self.motion and not 2 <= self.split < self.channels - 1:
            raise PackError(f"prior split is {self.split}, motion needs 2 .. channels - 2")
        if self.split >= self.channels:
            raise PackError(f"prior split is {self.split}, must be below {self.channels} channels")
        if self.fractions & (self.fractions - 1):
            raise PackError(f"prior fractions is {self.fractions}, must be a power of two")

    def hyper_shape(self, shape: tuple[int, int]) -> tuple[int, int, int]:
        """Return [cz, hz, wz] of the hyper symbols of a latent frame of `shape` (h, w)."""
        h, w = shape
        return self.hyper_channels, -(-h // self.hyper_stride), -(-w // self.hyper_stride)

    def part(self, step: int) -> slice:
        """Return the channels that coding step 0 .. 3 codes."""
        return slice(0, self.split) if step < 2 else slice(self.split, self.channels)

    def coded_part(self, step: int, kind: int) -> slice:
        """Return the channels of `part` that the prior codes: all but those of motion."""
        part, margin = self.part(step), self.motion and kind > 0
        first = part.start + 2 * (margin and step < 2)
        return slice(first, part.stop - (margin and step >= 2))

    def motion_channels(self, kind: int) -> tuple[int, ...]:
        """Return the channels of a motion field in frames of a kind: x, y and the reference."""
        return (0, 1, self.channels - 1) if self.motion and kind > 0 else ()


def array_shapes(config: PriorConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every array a prior is made of; axis 0 is the frame's kind."""
    n, c, c0 = config.hidden, config.channels, config.split
    return {
        "trunk0.weight": (2, n, n + config.hyper_channels, 3, 3),
        "trunk0.bias": (2, config.qualities, n),
        "trunk1.weight": (2, n, n, 3, 3),
        "trunk1.bias": (2, n),
        "ctx.weight": (2, STEPS, n, n),
        "step.bias": (2, STEPS, n),
        "step1.weight": (2, n, c0, 3, 3),
        "step2.weight": (2, n, c0, 3, 3),
        "step3.weight": (2, n, c, 3, 3),
        "out0.weight": (2, 2, 2 * c0, n),
        "out0.bias": (2, 2, 2 * c0),
        "out1.weight": (2, 2, 2 * (c - c0), n),
        "out1.bias": (2, 2, 2 * (c - c0)),
        "state.weight": (2, n, n + c, 3, 3),
        "state.bias": (2, n),
    }


def load_arrays(
    config: PriorConfig, arrays: Mapping[str, NDArray[np.generic]]
) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return the arrays of `array_shapes` as int64, and the largest |accumulator| they can make.

    Raises:
        PackError: an array is missing, has the wrong shape or type, or could make a sum inexact.
    """
    shapes = array_shapes(config)
    ints = {name: _integers(arrays, name, shape) for name, shape in shapes.items()}
    bound = _largest_sum(ints)
    if bound >= BOUND:
        raise PackError(f"prior sums can reach {bound}, must stay below {BOUND}")
    return ints, bound


def _integers(
    arrays: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]
) -> NDArray[np.int64]:
    """Return one array as int64 after checking its presence, shape and type."""
    if name not in arrays:
        raise PackError(f"prior has no array {name!r}")
    array = arrays[name]
    allowed = ("int32", "int64") if name.endswith("bias") else ("int8", "int16")
    if array.shape != shape or array.dtype.name not in allowed:
        raise PackError(
            f"prior array {name!r} is {array.dtype} {list(array.shape)}, "
            f"must be {' or '.join(allowed)} {list(shape)}"
        )
    ints = array.astype(np.int64)
    if int(ints.max()) >= BOUND or int(ints.min()) <= -BOUND:
        raise PackError(f"prior array {name!r} reaches 2**50, every value must stay below")
    return ints


def _largest_sum(ints: Mapping[str, NDArray[np.int64]]) -> int:
    """Return the largest sum of |weight| * 4095 plus |bias| over all rows of all layers."""
    sums = {
        name.removesuffix(".weight"): FEATURE_MAX
        * np.abs(array).sum(axis=(-3, -2, -1) if array.ndim > 4 else -1)
        for name, array in ints.items()
        if name.endswith("weight")
    }
    sums["trunk0"] = sums["trunk0"][:, None]  # one bias a quality index
    sums["step"] = sums["ctx"]
    sums["step"][:, 1:] += np.stack([sums["step1"], sums["step2"], sums["step3"]], axis=1)
    layers = ("trunk0", "trunk1", "step", "out0", "out1", "state")
    return max(int((sums[name] + np.abs(ints[f"{name}.bias"])).max()) for name in layers)
