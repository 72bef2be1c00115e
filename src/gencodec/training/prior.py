"""The trainable twin of the integer prior.

Every weight, bias, activation and output passes through the same fixed-point rounding as in
`gencodec.symbols.prior`, with gradients straight through, so exporting integers changes nothing:
run in float64, the twin gives the same table indices bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gencodec.symbols.layout import (
    ACCUMULATOR_BITS,
    FEATURE_BITS,
    FEATURE_MAX,
    MEAN_LIMIT,
    STEPS,
    SYMBOL_CLIP,
    WEIGHT_BITS,
    PriorConfig,
    array_shapes,
)

_WEIGHT_MAX = 2**15 - 1


class TrainablePrior(nn.Module):
    """Predicts the scale index and mean of every symbol from the symbols before it.

    Tensors are real numbers (integers divided by 2**bits); b is the batch.
    """

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        self.arrays = nn.ParameterDict()
        for name, shape in array_shapes(config).items():
            self.arrays[_key(name)] = nn.Parameter(_initial(name, shape, config))

    def start(self, batch: int, height: int, width: int) -> Tensor:
        """Return the state [b, n, h, w] before the first latent of a group."""
        return self._weight("ctx.weight").new_zeros(batch, self.config.hidden, height, width)

    def forward(
        self, state: Tensor, symbols: Tensor, hyper: Tensor, quality: Tensor, kind: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict all symbols of one latent frame, each step seeing the ones before it.

        Args:
            state: [b, n, h, w] of the frame before.
            symbols: integers [b, c, h, w] of this frame.
            hyper: integers [b, cz, hz, wz] of this frame.
            quality: quality index [b].
            kind: 0 for the first frame of a group, 1 for the others.

        Returns:
            Scale indices [b, c, h, w], means [b, c, h, w] in symbols, and the next state.
        """
        known = symbols.clamp(-SYMBOL_CLIP, SYMBOL_CLIP)
        context = self._context(state, hyper, quality, kind, symbols.shape[-2:])
        masks = _phases(symbols)
        scales, means = torch.zeros_like(symbols), torch.zeros_like(symbols)
        split = self.config.split
        for step in range(STEPS):
            part, phase = divmod(step, 2)
            channels = slice(0, split) if part == 0 else slice(split, None)
            raw = self._step(step, known, masks, context, kind)
            scale, mean = raw.chunk(2, 1)
            scales[:, channels] += _scale(scale, self.config) * masks[phase]
            means[:, channels] += _mean(mean, self.config) * masks[phase]
        joined = torch.cat([state, known], 1)
        bias = self._bias("state.bias", kind)
        following = F.conv2d(joined, self._weight("state.weight", kind), bias, padding=1)
        return scales, means, _activate(following)

    def _context(
        self, state: Tensor, hyper: Tensor, quality: Tensor, kind: int, size: torch.Size
    ) -> Tensor:
        clipped = hyper.clamp(-SYMBOL_CLIP, SYMBOL_CLIP)
        wide = clipped.repeat_interleave(self.config.hyper_stride, 2)
        wide = wide.repeat_interleave(self.config.hyper_stride, 3)[:, :, : size[0], : size[1]]
        bias = self._bias("trunk0.bias", kind)[quality][:, :, None, None]
        weight = self._weight("trunk0.weight", kind)
        x = _activate(F.conv2d(torch.cat([state, wide], 1), weight, padding=1) + bias)
        weight = self._weight("trunk1.weight", kind)
        return _activate(F.conv2d(x, weight, self._bias("trunk1.bias", kind), padding=1))

    def _step(
        self, step: int, known: Tensor, masks: list[Tensor], context: Tensor, kind: int
    ) -> Tensor:
        """Return the raw outputs of one coding step, dense over positions."""
        split = self.config.split
        part, phase = divmod(step, 2)
        weight = self._weight("ctx.weight", kind, step)[:, :, None, None]
        x = F.conv2d(context, weight, self._bias("step.bias", kind, step))
        seen = (
            None,
            known[:, :split] * masks[0],
            known[:, :split],
            torch.cat([known[:, :split], known[:, split:] * masks[0]], 1),
        )[step]
        if seen is not None:
            x = x + F.conv2d(seen, self._weight(f"step{step}.weight", kind), padding=1)
        weight = self._weight(f"out{part}.weight", kind, phase)[:, :, None, None]
        return F.conv2d(_activate(x), weight, self._bias(f"out{part}.bias", kind, phase))

    def _weight(self, name: str, *at: int) -> Tensor:
        limit = _WEIGHT_MAX / 2**WEIGHT_BITS
        return _fixed(self.arrays[_key(name)][at].clamp(-limit, limit), WEIGHT_BITS)

    def _bias(self, name: str, *at: int) -> Tensor:
        return _fixed(self.arrays[_key(name)][at], ACCUMULATOR_BITS)

    def export(self) -> dict[str, NDArray[np.int16] | NDArray[np.int32]]:
        """Return the integer arrays that `gencodec.symbols` reads."""
        arrays: dict[str, NDArray[np.int16] | NDArray[np.int32]] = {}
        for name in array_shapes(self.config):
            is_weight = name.endswith("weight")
            value = (self._weight(name) if is_weight else self._bias(name)).detach().double()
            integers = torch.round(value * 2 ** (WEIGHT_BITS if is_weight else ACCUMULATOR_BITS))
            whole = integers.cpu().numpy()
            arrays[name] = whole.astype(np.int16) if is_weight else whole.astype(np.int32)
        return arrays

    def adopt(self, arrays: Mapping[str, Tensor]) -> None:
        """Take over exported integers; the inverse of `export`."""
        for name in array_shapes(self.config):
            bits = WEIGHT_BITS if name.endswith("weight") else ACCUMULATOR_BITS
            self.arrays[_key(name)].data.copy_(arrays[name].double() / 2**bits)


def _key(name: str) -> str:
    return name.replace(".", "_")


def _initial(name: str, shape: tuple[int, ...], config: PriorConfig) -> Tensor:
    """Small random weights; outputs start at a middling scale and mean zero."""
    if name.endswith("weight"):
        fan = shape[-1] if name.startswith(("ctx", "out")) else int(np.prod(shape[-3:]))
        gain = 0.02 if name.startswith("out") else 1.0
        return torch.randn(shape) * gain / fan**0.5
    value = torch.zeros(shape)
    if name.startswith("out"):
        value[..., : shape[-1] // 2] = 0.25 * config.scales
    return value


def _fixed(x: Tensor, bits: int) -> Tensor:
    """Round to multiples of 2**-bits, halves upwards; the gradient passes straight through."""
    return _exact(x, lambda v: _rounded(v, bits), x)


def _activate(accumulator: Tensor) -> Tensor:
    """Clamp to 0 .. 4095/256 and round to 8 fractional bits."""
    limit = FEATURE_MAX / 2**FEATURE_BITS
    return _exact(
        _leaky(accumulator, 0.0, limit),
        lambda v: _rounded(v, FEATURE_BITS).clamp(0, limit),
        accumulator,
    )


def _rounded(x: Tensor, bits: int) -> Tensor:
    return torch.floor(x * 2**bits + 0.5) / 2**bits


def _exact(smooth: Tensor, value: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`value(x)` going forward, the gradient of `smooth` going back."""
    exact = value(x.detach())
    return smooth + (exact - smooth).detach() if torch.is_grad_enabled() else exact


def _leaky(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp whose gradient outside the range is a hundredth, so that nothing dies."""
    inside = x.clamp(low, high)
    return inside + 0.01 * (x - inside)


def _scale(raw: Tensor, config: PriorConfig) -> Tensor:
    top = config.scales - 1.0
    return _exact(_leaky(raw, 0, top), lambda v: torch.floor(v + 0.5).clamp(0, top), raw)


def _mean(raw: Tensor, config: PriorConfig) -> Tensor:
    f = config.fractions
    return _exact(
        _leaky(raw, -MEAN_LIMIT, MEAN_LIMIT),
        lambda v: (torch.floor(v * f + 0.5) / f).clamp(-MEAN_LIMIT, MEAN_LIMIT),
        raw,
    )


def _phases(symbols: Tensor) -> list[Tensor]:
    """Checkerboard masks [h, w] of the positions with even and odd row + column."""
    rows = torch.arange(symbols.shape[-2], device=symbols.device)
    columns = torch.arange(symbols.shape[-1], device=symbols.device)
    odd = ((rows[:, None] + columns[None]) % 2).to(symbols.dtype)
    return [1 - odd, odd]
