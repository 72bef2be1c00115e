"""The trainable entropy model: bits of symbols under the prior, with compressai's likelihoods.

Both the prior and the transform learn on rounded symbols, the ones the coder will see; the
transform's gradient passes straight through the rounding. The usual proxy (uniform noise instead of
rounding) charged almost twice the real bits at 0.02 bpp, where most symbols are zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gencodec.execution import define_torchvision_operators
from gencodec.symbols import PriorConfig, sigma_bank
from gencodec.training.prior import TrainablePrior
from gencodec.training.processes import own_rows, whole_batch

define_torchvision_operators()
from compressai.entropy_models import EntropyBottleneck, GaussianConditional  # noqa: E402


class _Bottleneck(EntropyBottleneck):
    """Draws its noise for the batch that all processes share."""

    def quantize(self, inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        """Add noise to inputs [cz, 1, n], n over samples first; other modes are compressai's."""
        if mode != "noise":
            return super().quantize(inputs, mode, means)
        shape = whole_batch(inputs.shape[-1]), len(inputs)
        noise = own_rows(torch.rand(shape, device=inputs.device)) - 0.5
        return inputs + noise.T[:, None]


class EntropyModel(nn.Module):
    """Rate of one latent frame after the other."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.prior = TrainablePrior(config)
        self.hyper = nn.ModuleList(_Bottleneck(config.hyper_channels) for _ in range(2))
        bank = sigma_bank(config)
        self.smallest, self.growth = float(bank[0]), math.log(bank[1] / bank[0])
        self.gaussian = GaussianConditional(None, scale_bound=self.smallest / 2)

    def bits(
        self, state: Tensor, symbols: Tensor, hyper: Tensor, quality: Tensor, kind: int
    ) -> tuple[Tensor, Tensor]:
        """Return the bits [b] of a frame and the prior's next state.

        Args:
            state: [b, n, h, w], from `prior.start` or the frame before.
            symbols: [b, c, h, w] rounded, with the gradient of what they were before.
            hyper: [b, cz, hz, wz] before rounding.
            quality: quality index [b].
            kind: 0 for the first frame of a group, 1 for the others.
        """
        _, likelihood = self.hyper[kind](hyper)
        rounded_hyper = hyper + (hyper.round() - hyper).detach()
        scale, mean, state = self.prior(state, symbols.detach(), rounded_hyper, quality, kind)
        sigma = self.smallest * torch.exp((scale - 1) * self.growth)
        coded = self.gaussian._likelihood(symbols, sigma, mean)
        return _bits(coded) + _bits(likelihood), state


def _bits(likelihood: Tensor) -> Tensor:
    return -likelihood.clamp(min=1e-9).log2().flatten(1).sum(1)


def dead_zone_round(x: Tensor, zone: float = 0.12) -> Tensor:
    """Round towards zero a little more often than away from it; gradients pass straight through.

    Args:
        x: values in symbols.
        zone: width added to the zero side of every interval, 0 is plain rounding.
    """
    rounded = x.sign() * (x.abs() + (0.5 - zone)).floor().clamp(min=0)
    return x + (rounded - x).detach()
