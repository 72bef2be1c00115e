"""The closed-form start of the autoencoder: a Karhunen-Loeve transform and its best synthesis.

Analysis: the first `shared` channels of a clip block are its temporal mean on the picture basis,
so that a still scene has the same coefficients in every block; the other channels are the strongest
directions of what remains (change over time). A picture block uses the same picture basis, scaled
to match. Synthesis: linear regression from a neighbourhood of quantised coefficients to pixels,
which removes block edges without a gradient step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gencodec.geometry import TEMPORAL_STRIDE
from gencodec.latents import LinearPath

_SHARED = 0.75  # of the channels; 32 of 48 did as well as the unconstrained basis (27.26, 27.28 dB)
_QUANTISER_STEP = 1.0  # coefficient units at which synthesis is fitted
_RIDGE = 1e-3


def fit_linear_path(
    path: LinearPath, batches: Iterator[Tensor], samples: int
) -> tuple[Tensor, Tensor]:
    """Fill `path` from crops [b, 3, 5, 48, 48] in -1..1.

    Returns:
        Mean [c] and deviation [c] of the coefficients, for normalising latents.
    """
    crops = torch.cat([next(batches) for _ in range(samples)])
    image, clip = _blocks(crops[:, :, :1], path.stride), _blocks(crops[:, :, 1:], path.stride)
    analysis_image, analysis_clip = _bases(image, clip, path.image_analysis.out_channels)
    with torch.no_grad():
        _set_centre(path.image_analysis, analysis_image)
        _set_centre(path.clip_analysis, analysis_clip)
        for conv, frames in (
            (path.image_synthesis, crops[:, :, :1]),
            (path.clip_synthesis, crops[:, :, 1:]),
        ):
            _fit_synthesis(conv, path.analyse(frames).squeeze(2), frames, path.stride)
        latents = torch.cat([path.analyse(crops[:, :, :1]), path.analyse(crops[:, :, 1:])], 2)
    flat = latents.transpose(0, 1).flatten(1)
    return flat.mean(1), flat.std(1)


def _blocks(frames: Tensor, stride: int) -> Tensor:
    """Frames [b, 3, T, H, W] -> block vectors [n, T·3·stride²] in `pixel_unshuffle` order."""
    b, _, t, height, width = frames.shape
    x = F.pixel_unshuffle(frames.transpose(1, 2).reshape(b, t * 3, height, width), stride)
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _bases(image: Tensor, clip: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Return analysis matrices [c, 3·s²] and [c, 12·s²], channels in falling order of energy."""
    picture = _strongest(_covariance(image), channels)
    shared = round(_SHARED * channels)
    steady = picture[:, :shared].repeat(TEMPORAL_STRIDE, 1) / TEMPORAL_STRIDE**0.5
    covariance = _covariance(clip)
    projection = torch.eye(len(covariance), dtype=covariance.dtype) - steady @ steady.T
    change = _strongest(projection @ covariance @ projection, channels - shared)
    basis = torch.cat([steady, change], 1)
    order = (basis * (covariance @ basis)).sum(0).argsort(descending=True)
    scale = TEMPORAL_STRIDE**0.5  # a still picture then has equal coefficients in both bases
    return (scale * picture[:, order]).T.float(), basis[:, order].T.float()


def _covariance(vectors: Tensor) -> Tensor:
    return (vectors.T @ vectors).double() / len(vectors)


def _strongest(covariance: Tensor, count: int) -> Tensor:
    """The `count` eigenvectors [d, count] of largest eigenvalue, signed so that sums are >= 0."""
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :count]
    return vectors * torch.where(vectors.sum(0) < 0, -1.0, 1.0)


def _set_centre(conv: torch.nn.Conv2d, matrix: Tensor) -> None:
    conv.weight.zero_()
    middle = conv.kernel_size[0] // 2
    conv.weight[:, :, middle, middle] = matrix
    if conv.bias is not None:
        conv.bias.zero_()


def _fit_synthesis(
    conv: torch.nn.Conv2d, coefficients: Tensor, frames: Tensor, stride: int
) -> None:
    """Regress the pixels of the middle block of each crop on the coefficients around it."""
    k = conv.kernel_size[0]
    quantised = (coefficients / _QUANTISER_STEP).round() * _QUANTISER_STEP
    middle = coefficients.shape[-1] // 2
    near = quantised[
        ..., middle - k // 2 : middle + k // 2 + 1, middle - k // 2 : middle + k // 2 + 1
    ]
    x = torch.cat([near.flatten(1), torch.ones(len(near), 1)], 1).double()
    cells = _blocks(frames, stride).view(
        len(frames), coefficients.shape[-2], coefficients.shape[-1], -1
    )
    target = cells[:, middle, middle].double()
    normal = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(normal, x.T @ target).T.float()
    conv.weight.copy_(solution[:, :-1].reshape(conv.weight.shape))
    if conv.bias is not None:
        conv.bias.copy_(solution[:, -1])
