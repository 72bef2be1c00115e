"""AdamW, and Muon for the matrices of networks.

Muon replaces the gradient's momentum by the nearest orthogonal matrix: all directions of a layer
learn at the same speed, which halves the steps that a 1x1 convolution needs.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration
_MOMENTUM = 0.95
_DECAY = 0.05
_BETAS = (0.9, 0.99)


class Optimiser(torch.optim.Optimizer):
    """Parameter groups with `muon` set take orthogonalised steps, the others Adam's."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["first"] = torch.zeros_like(parameter)
                    if not group["muon"]:
                        state["second"] = torch.zeros_like(parameter)
                state["step"] += 1
                move = _muon if group["muon"] else _adam
                move(parameter, parameter.grad, state, group["lr"])


def _muon(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float) -> None:
    momentum = state["first"].lerp_(gradient, 1 - _MOMENTUM)
    matrix = gradient.lerp(momentum, _MOMENTUM).flatten(1)
    direction = orthogonal(matrix) * max(1, len(matrix) / matrix.shape[1]) ** 0.5
    parameter.mul_(1 - rate * _DECAY).add_(direction.view_as(parameter), alpha=-rate)


def _adam(parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float) -> None:
    low, high = _BETAS
    first = state["first"].lerp_(gradient, 1 - low)
    second = state["second"].lerp_(gradient.square(), 1 - high)
    step = float(state["step"])
    scale = (second / (1 - high**step)).sqrt_().add_(1e-10)
    parameter.addcdiv_(first / (1 - low**step), scale, value=-rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix of the same shape whose singular values are one."""
    a, b, c = _COEFFICIENTS
    x = matrix / (matrix.norm() + 1e-7)
    wide = x if len(x) <= x.shape[1] else x.T
    for _ in range(5):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * (square @ square)) @ wide
    return wide if len(x) <= x.shape[1] else wide.T
