"""The integer prior: symbols already decoded -> which table codes the next symbols.

Everything here is exact. Numbers are integers; matrix products run in float64, where integers below
2**53 have no rounding, and a proof at load time bounds every partial sum by 2**50. So indices are
the same on every machine, thread count and library version. Nothing else may enter a probability.

Fixed point (a number x is stored as the integer round(x * 2**bits)):

    features       8 fractional bits, 0 .. 4095 after activation      (real 0 .. 15.996)
    symbols        8 fractional bits, clip(y, -15, 15) * 256
    weights       10 fractional bits, int8 or int16
    biases        18 fractional bits, int32 or int64
    accumulators  18 fractional bits

    act(acc)   = clamp((acc + 2**9) >> 10, 0, 4095)           real: clamp(floor(256 x + 1/2) / 256)
    scale(acc) = clamp((acc + 2**17) >> 18, 0, scales - 1)    real: floor(x + 1/2)
    mean(acc)  = clamp((acc + 2**(17-f)) >> (18-f), -8F, 8F)  real: floor(F x + 1/2), F = 2**f

Convolutions are cross-correlations with zero padding, as in torch `conv2d(padding=1)`:
out[n, i, j] = sum over c, u, v of weight[n, c, u, v] * in[c, i + u - 1, j + v - 1].

Per latent frame (k = 0 for the first that is coded, 1 for the others; q its quality index):

    U  = nearest upsampling by `hyper_stride` of clip(z, -15, 15) * 256, cropped to h x w
    A  = act(trunk0.weight[k] * [S; U] + trunk0.bias[k, q])       S: state, zero before frame 0
    X  = act(trunk1.weight[k] * A + trunk1.bias[k])
    for step j = 0 .. 3, coding part a = j // 2 at the positions with (row + col) % 2 == j % 2
    (part 0: channels 0 .. split-1, part 1: the others):
        M  = symbols of this frame coded so far, zero elsewhere, clip(., -15, 15) * 256
        H  = act(ctx.weight[k, j] . X + step.bias[k, j] + D_j)
             D_0 = 0                                D_1 = step1.weight[k] * M[:split]
             D_2 = step2.weight[k] * M[:split]      D_3 = step3.weight[k] * M
        O  = out{a}.weight[k, j % 2] . H + out{a}.bias[k, j % 2]
             first half of the rows: scale(O), second half: mean(O), one row a channel of the part
    S  = act(state.weight[k] * [S; M] + state.bias[k])            M: the whole frame now

Arrays (N hidden, C channels, C0 split, Z hyper_channels, Q qualities), axis 0 of each the kind k;
weights int8/int16, biases int32/int64; see `layout.array_shapes`:

    trunk0.weight [2, N, N+Z, 3, 3]    trunk0.bias [2, Q, N]
    trunk1.weight [2, N, N, 3, 3]      trunk1.bias [2, N]
    ctx.weight    [2, 4, N, N]         step.bias   [2, 4, N]
    step1.weight  [2, N, C0, 3, 3]     step2.weight [2, N, C0, 3, 3]  step3.weight [2, N, C, 3, 3]
    out0.weight   [2, 2, 2*C0, N]      out0.bias   [2, 2, 2*C0]
    out1.weight   [2, 2, 2*(C-C0), N]  out1.bias   [2, 2, 2*(C-C0)]
    state.weight  [2, N, N+C, 3, 3]    state.bias  [2, N]

The tables are `tables.py`'s, the bytes `coder.py`'s. The specification is formats/entropy-1.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gencodec.symbols.layout import (
    ACCUMULATOR_BITS,
    FEATURE_BITS,
    FEATURE_MAX,
    MEAN_LIMIT,
    STEPS,
    SYMBOL_CLIP,
    WEIGHT_BITS,
    Integers,
    PriorConfig,
    load_arrays,
)

MAX_POSITIONS = 2**20  # latent positions a frame
_BLOCK = 1024  # positions a matrix product; bounds memory, does not change results


@dataclass(frozen=True, slots=True, kw_only=True)
class Indices:
    """What the prior says about the symbols of one coding step, [channels of the part, positions].

    Positions are those of the step's checkerboard phase in raster order.
    """

    scale: NDArray[np.uint8]  # 0 skip, else the table's scale
    mean: NDArray[np.int16]  # in units of 1 / fractions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Geometry:
    """Where the pixels of an h x w plane lie in its zero-padded, flattened (h+2) x (w+2) plane."""

    inner: NDArray[np.intp]  # [h*w] flat index of every position
    phases: tuple[NDArray[np.intp], NDArray[np.intp]]  # raster positions (0 .. h*w-1) of each phase
    taps: NDArray[np.intp]  # [9, 1] offset of every kernel tap, in row-major kernel order
    cross: NDArray[np.intp]  # [4, 1] the taps that see the other phase


@lru_cache(maxsize=16)
def _geometry(h: int, w: int) -> _Geometry:
    rows, cols = np.indices((h, w)).reshape(2, -1)
    stride = w + 2
    taps = (np.arange(-1, 2)[:, None] * stride + np.arange(-1, 2)).reshape(9, 1)
    return _Geometry(
        inner=(rows + 1) * stride + cols + 1,
        phases=(np.flatnonzero((rows + cols) % 2 == 0), np.flatnonzero((rows + cols) % 2 == 1)),
        taps=taps,
        cross=taps[[1, 3, 5, 7]],
    )


class Prior:
    """A validated prior. Immutable after construction; safe to share between groups.

    Args:
        config: the sizes.
        arrays: the integer arrays of `array_shapes`; other names are ignored.

    Raises:
        PackError: an array is missing, has the wrong shape or type, or could make a sum inexact.
    """

    def __init__(self, config: PriorConfig, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        self.config = config
        ints, self.bound = load_arrays(config, arrays)  # largest possible |accumulator|
        self.biases = {k: v for k, v in ints.items() if k.endswith("bias")}
        self.weights = {k: v.astype(np.float64) for k, v in ints.items() if k.endswith("weight")}
        # matrices [N, inputs * taps] of each kind and step, as `_add_product` gathers
        self.steps = tuple(self._step_matrices(kind) for kind in range(2))

    def _step_matrices(self, kind: int) -> tuple[tuple[NDArray[np.float64], ...], ...]:
        """Return the kernels of the planes that `PriorState` joins in each step."""
        split = self.config.split
        first, second, third = (
            self.weights[f"step{step}.weight"][kind].reshape(self.config.hidden, -1, 9)
            for step in range(1, STEPS)
        )
        return (
            (),
            (_matrix(first[:, :, 1::2]),),
            (_matrix(second),),
            (_matrix(third[:, :split]), _matrix(third[:, split:, 1::2])),
        )

    def start(self, shape: tuple[int, int]) -> PriorState:
        """Return the state at the start of a group of latent frames of `shape` (h, w)."""
        return PriorState(self, shape)

    def indices(
        self, y: Integers, z: Integers, qualities: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """Return the scale and mean [t, C, h, w] for a whole group of given symbols.

        The symbols are taken as they are: skipped ones are not forced to their mean. None of the
        frames is a turn.

        Args:
            y: symbols [t, C, h, w].
            z: hyper symbols [t, cz, hz, wz].
            qualities: one quality index a latent frame.
        """
        t, c, h, w = y.shape
        scale = np.zeros((t, c, h * w), np.uint8)
        mean = np.zeros((t, c, h * w), np.int16)
        state = self.start((h, w))
        for frame in range(t):
            state.begin_frame(z[frame], qualities[frame])
            symbols = y[frame].reshape(c, h * w)
            for step in range(STEPS):
                part, at = self.config.part(step), state.positions(step)
                found = state.indices(step)
                scale[frame][part, at] = found.scale
                mean[frame][part, at] = found.mean
                state.place(step, symbols[part, at])
            state.end_frame()
        return scale.reshape(y.shape), mean.reshape(y.shape)


class PriorState:
    """The running prior of one group.

    For every latent frame: begin_frame; indices and place for steps 0 .. 3; end_frame. Between them
    `recall` may go back to an earlier one.
    """

    def __init__(self, prior: Prior, shape: tuple[int, int]) -> None:
        h, w = shape
        if h < 1 or w < 1 or h * w > MAX_POSITIONS:
            raise ValueError(f"latent frame is {h}x{w}, must be 1 .. {MAX_POSITIONS} positions")
        config = prior.config
        padded = (h + 2) * (w + 2)
        self._prior, self._shape, self._geometry = prior, (h, w), _geometry(h, w)
        self._kind = 0  # of the current frame: 1 from the second frame on
        # [S; U] and [S; M] with their zero border; S is kept in both
        self._trunk = np.zeros((config.hidden + config.hyper_channels, padded))
        self._state = np.zeros((config.hidden + config.channels, padded))
        self._context = np.zeros((config.hidden, h * w))

    @property
    def shape(self) -> tuple[int, int]:
        """Size (h, w) of the latent frames."""
        return self._shape

    def positions(self, step: int) -> NDArray[np.intp]:
        """Return the raster positions (0 .. h*w-1) that a step codes."""
        return self._geometry.phases[step % 2]

    def begin_frame(self, z: Integers, quality: int) -> None:
        """Take in the hyper symbols [cz, hz, wz] and the quality index of the next latent frame."""
        geometry, config = self._geometry, self._prior.config
        if z.shape != config.hyper_shape(self._shape):
            raise ValueError(f"z is {z.shape}, must be {config.hyper_shape(self._shape)}")
        if not 0 <= quality < config.qualities:
            raise ValueError(f"quality index is {quality}, must be 0 .. {config.qualities - 1}")
        h, w = self._shape
        up = np.repeat(np.repeat(_fixed(z), config.hyper_stride, 1), config.hyper_stride, 2)
        self._trunk[config.hidden :, geometry.inner] = up[:, :h, :w].reshape(-1, h * w)
        self._state[config.hidden :] = 0.0
        first = np.zeros((config.hidden, self._trunk.shape[1]))
        first[:, geometry.inner] = self._layer("trunk0", self._trunk, quality)
        self._context = self._layer("trunk1", first)

    def memory(self) -> NDArray[np.float64]:
        """Return what the next latent frame is told of those before it [hidden, positions]."""
        n = self._prior.config.hidden
        return self._state[:n].take(self._geometry.inner, axis=1)

    def recall(self, memory: NDArray[np.float64]) -> None:
        """Go on as after an earlier latent frame, from what `memory` returned then."""
        n = self._prior.config.hidden
        self._trunk[:n, self._geometry.inner] = memory
        self._state[:n, self._geometry.inner] = memory

    def indices(self, step: int) -> Indices:
        """Return scale and mean for the symbols of a step, from what was placed before it."""
        prior, config = self._prior, self._prior.config
        part, phase = divmod(step, 2)
        kind = self._kind
        hidden = prior.weights["ctx.weight"][kind, step] @ self._context[:, self.positions(step)]
        self._add_neighbours(step, hidden)
        features = _activate(hidden, prior.biases["step.bias"][kind, step])
        out = prior.weights[f"out{part}.weight"][kind, phase] @ features
        acc = out.astype(np.int64) + prior.biases[f"out{part}.bias"][kind, phase][:, None]
        channels = len(acc) // 2
        scale = (acc[:channels] + (1 << (ACCUMULATOR_BITS - 1))) >> ACCUMULATOR_BITS
        shift = ACCUMULATOR_BITS + 1 - config.fractions.bit_length()
        mean = (acc[channels:] + (1 << (shift - 1))) >> shift
        limit = MEAN_LIMIT * config.fractions
        return Indices(
            scale=np.clip(scale, 0, config.scales - 1).astype(np.uint8),
            mean=np.clip(mean, -limit, limit).astype(np.int16),
        )

    def place(self, step: int, symbols: Integers) -> None:
        """Take in the symbols of a step, [channels of the part, positions]."""
        config = self._prior.config
        part, at = config.part(step), self._geometry.inner[self.positions(step)]
        rows = np.arange(config.hidden + part.start, config.hidden + part.stop)
        self._state[rows[:, None], at] = _fixed(symbols)

    def end_frame(self) -> None:
        """Close the latent frame: its symbols become the state of the next."""
        self.recall(self._layer("state", self._state))
        self._kind = 1

    def _add_neighbours(self, step: int, hidden: NDArray[np.float64]) -> None:
        """Add the 3x3 convolutions over this frame's placed symbols to `hidden` [N, positions].

        The part being coded is known at the other phase only, so its nonzero taps are the cross.
        """
        prior, geometry, n = self._prior, self._geometry, self._prior.config.hidden
        split, at = n + prior.config.split, geometry.inner[self.positions(step)]
        first, second = self._state[n:split], self._state[split:]
        inputs = (
            (),
            ((first, geometry.cross),),
            ((first, geometry.taps),),
            ((first, geometry.taps), (second, geometry.cross)),
        )[step]
        for (plane, taps), matrix in zip(inputs, prior.steps[self._kind][step], strict=True):
            _add_product(matrix, plane, taps, at, hidden)

    def _layer(self, name: str, plane: NDArray[np.float64], *row: int) -> NDArray[np.float64]:
        """Return act(3x3 convolution + bias[row]) [N, h*w] of a plane [inputs, (h+2)*(w+2)]."""
        prior, geometry = self._prior, self._geometry
        total = np.zeros((prior.config.hidden, len(geometry.inner)))
        matrix = _matrix(prior.weights[f"{name}.weight"][self._kind])
        _add_product(matrix, plane, geometry.taps, geometry.inner, total)
        return _activate(total, prior.biases[f"{name}.bias"][self._kind, *row])


def _fixed(symbols: Integers) -> NDArray[np.float64]:
    """Clip symbols and give them 8 fractional bits."""
    clipped = np.clip(symbols, -SYMBOL_CLIP, SYMBOL_CLIP).astype(np.float64)
    return clipped * (1 << FEATURE_BITS)


def _activate(sums: NDArray[np.float64], bias: NDArray[np.int64]) -> NDArray[np.float64]:
    """Requantise sums [N, positions] to features in exact int64 arithmetic."""
    acc = sums.astype(np.int64)
    acc += (bias + (1 << (WEIGHT_BITS - 1)))[:, None]
    acc >>= WEIGHT_BITS
    return np.clip(acc, 0, FEATURE_MAX, out=acc).astype(np.float64)


def _matrix(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kernels [N, inputs, ...taps] -> [N, inputs * taps]."""
    return np.ascontiguousarray(weight.reshape(len(weight), -1))


def _add_product(
    matrix: NDArray[np.float64],
    plane: NDArray[np.float64],
    taps: NDArray[np.intp],
    at: NDArray[np.intp],
    total: NDArray[np.float64],
) -> None:
    """Add matrix [N, inputs * taps] @ (plane [inputs, flat] gathered at `at` + taps) to total."""
    for start in range(0, len(at), _BLOCK):
        block = slice(start, start + _BLOCK)
        columns = plane.take(taps + at[block], axis=1).reshape(matrix.shape[1], -1)
        total[:, block] += matrix @ columns
