"""Rounding with a dead zone that lets gradients through."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """Rounded values, and what they could have been.

    Attributes:
        symbols: whole numbers, with gradients straight through to the values.
        others: the symbols on the other side of the nearest threshold.
    """

    symbols: Tensor
    others: Tensor


def dead_zone_round(x: Tensor, zone: float = 0.12) -> Rounded:
    """Round towards zero a little more often than away from it.

    Args:
        x: values in symbols.
        zone: width added to the zero side of every interval, 0 is plain rounding.
    """
    with torch.no_grad():
        size = (x.abs() + (0.5 - zone)).floor().clamp(min=0)
        outwards = (size == 0) | (x.abs() > size + zone)
        sign = torch.where(x < 0, -1.0, 1.0)
        change = sign * size - x
        others = sign * (size + torch.where(outwards, 1.0, -1.0))
    return Rounded(symbols=x + change, others=others)
