"""The closed-form start of a pack: Karhunen-Loeve transforms and their best synthesis.

Analysis: most channels of a clip block are its temporal mean on the picture basis ("steady"), so
that a still scene has the same coefficients in every block; the others are the strongest directions
of what remains ("change"). A picture block uses the same picture basis, scaled to match.

Synthesis: linear regression from a neighbourhood of quantised coefficients to the middle block,
which removes block edges without a gradient step. Steady coefficients make one picture that all
frames of a block share: fitted to each frame apart, the fit's own noise flickers (4.8 grey levels
between the frames of a still scene, against 0.4 this way).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gencodec.geometry import TEMPORAL_STRIDE
from gencodec.latents import LinearPath
from gencodec.transform.picture import STRIDE, PictureTransform

_STEADY = 0.75  # of the channels; 32 of 48 did as well as the unconstrained basis (27.26, 27.28 dB)
_QUANTISER_STEP = 1.0  # coefficient units at which synthesis is fitted
_RIDGE = 1e-3
_BASIS_BATCHES = 100  # of all batches, those that the bases are made from


def fit_linear_path(
    path: LinearPath, batches: Iterator[Tensor], count: int
) -> tuple[Tensor, Tensor]:
    """Fill `path` from `count` batches of crops [b, 3, 5, 48, 48] in -1..1.

    Returns:
        Mean [c] and deviation [c] of the coefficients, for normalising latents.
    """
    crops = torch.cat([next(batches) for _ in range(min(count, _BASIS_BATCHES))])
    image, clip = _blocks(crops[:, :, :1], path.stride), _blocks(crops[:, :, 1:], path.stride)
    channels = path.image_analysis.out_channels
    analysis_image, analysis_clip, steady = _bases(image, clip, channels)
    with torch.no_grad():
        _set_centre(path.image_analysis, analysis_image)
        _set_centre(path.clip_analysis, analysis_clip)
        latents = torch.cat([path.analyse(crops[:, :, :1]), path.analyse(crops[:, :, 1:])], 2)
        normal = _Normal(path, steady)
        normal.add(crops)
        for _ in range(count - _BASIS_BATCHES):
            normal.add(next(batches))
        normal.solve(path, analysis_clip)
    flat = latents.transpose(0, 1).flatten(1)
    return flat.mean(1), flat.std(1)


@torch.no_grad()
def fit_picture_transform(picture: PictureTransform, batches: Iterator[Tensor], count: int) -> None:
    """Start the block transform of pictures from a Karhunen-Loeve transform.

    Args:
        picture: to fill.
        batches: crops [b, 3, 1, H, W] in -1..1.
        count: of batches to use.
    """
    image = _Moments(3 * STRIDE**2)
    for crops in itertools.islice(batches, count):
        image.add(_blocks(crops, STRIDE))
    centre = image.mean.float()
    basis = _strongest(image.covariance, picture.linear_analysis.out_channels).float()
    _set_centre(picture.linear_analysis, basis.T)
    _set_centre(picture.linear_synthesis, basis)
    _set_bias(picture.linear_analysis, -(basis.T @ centre))
    _set_bias(picture.linear_synthesis, centre)


def _blocks(frames: Tensor, stride: int) -> Tensor:
    """Frames [b, 3, T, H, W] -> block vectors [n, T·3·stride²] in `pixel_unshuffle` order."""
    b, _, t, height, width = frames.shape
    x = F.pixel_unshuffle(frames.transpose(1, 2).reshape(b, t * 3, height, width), stride)
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _bases(image: Tensor, clip: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return analysis matrices [c, 3·s²] and [c, 12·s²] in falling order of energy.

    The third result [c] tells which channels are steady.
    """
    picture = _strongest(_covariance(image), channels)
    shared = round(_STEADY * channels)
    still = picture[:, :shared].repeat(TEMPORAL_STRIDE, 1) / TEMPORAL_STRIDE**0.5
    covariance = _covariance(clip)
    projection = torch.eye(len(covariance), dtype=covariance.dtype) - still @ still.T
    change = _strongest(projection @ covariance @ projection, channels - shared)
    basis = torch.cat([still, change], 1)
    order = (basis * (covariance @ basis)).sum(0).argsort(descending=True)
    scale = TEMPORAL_STRIDE**0.5  # a still picture then has equal coefficients in both bases
    images, clips = (scale * picture[:, order]).T.float(), basis[:, order].T.float()
    return images, clips, order < shared


def _covariance(vectors: Tensor) -> Tensor:
    return (vectors.T @ vectors).double() / len(vectors)


class _Moments:
    """Mean and covariance of vectors [n, d], added up batch by batch; only sums are held."""

    def __init__(self, size: int) -> None:
        self._count = 0
        self._sum = torch.zeros(size, dtype=torch.float64)
        self._squares = torch.zeros(size, size, dtype=torch.float64)

    def add(self, vectors: Tensor) -> None:
        """Add vectors [n, d]."""
        self._count += len(vectors)
        self._sum += vectors.sum(0)
        self._squares += vectors.T @ vectors

    @property
    def mean(self) -> Tensor:
        """Mean, float64 [d]."""
        return self._sum / self._count

    @property
    def covariance(self) -> Tensor:
        """Second moments about the mean, float64 [d, d]."""
        return self._squares / self._count - torch.outer(self.mean, self.mean)


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


class _Normal:
    """Normal equations of both syntheses, added up batch by batch."""

    def __init__(self, path: LinearPath, steady: Tensor) -> None:
        self._path, self._steady = path, steady
        taps = path.image_synthesis.kernel_size[0] ** 2
        pixels = 3 * path.stride**2
        sizes = (len(steady) * taps + 1, int(steady.sum()) * taps + 1)
        self._left = [torch.zeros(n, n, dtype=torch.float64) for n in sizes]
        self._right = [torch.zeros(n, pixels, dtype=torch.float64) for n in sizes]
        self._count = 0

    def add(self, crops: Tensor) -> None:
        """Add the middle blocks of crops [b, 3, 5, 48, 48]: first frame, mean of the others."""
        still = crops[:, :, 1:].mean(2, keepdim=True)
        image = self._path.analyse(crops[:, :, :1])[:, :, 0]
        clip = self._path.analyse(crops[:, :, 1:])[:, self._steady, 0]
        for k, (coefficients, target) in enumerate(((image, crops[:, :, :1]), (clip, still))):
            x = self._near(coefficients)
            self._left[k] += x.T @ x
            self._right[k] += x.T @ self._middle(target)
        self._count += len(crops)

    def _near(self, coefficients: Tensor) -> Tensor:
        """Quantised coefficients around the middle block, and a one, [b, n]."""
        quantised = (coefficients / _QUANTISER_STEP).round() * _QUANTISER_STEP
        reach, middle = self._path.image_synthesis.kernel_size[0] // 2, coefficients.shape[-1] // 2
        span = slice(middle - reach, middle + reach + 1)
        near = quantised[..., span, span].flatten(1)
        return torch.cat([near, torch.ones(len(near), 1)], 1).double()

    def _middle(self, frames: Tensor) -> Tensor:
        """Pixels of the middle block of frames [b, 3, 1, H, W], [b, 3·s²]."""
        side = frames.shape[-1] // self._path.stride
        cells = _blocks(frames, self._path.stride).view(len(frames), side, side, -1)
        return cells[:, side // 2, side // 2].double()

    def solve(self, path: LinearPath, analysis_clip: Tensor) -> None:
        """Write both syntheses; change channels get the pseudo-inverse of their analysis."""
        image, clip = (self._solution(k) for k in range(2))
        conv = path.image_synthesis
        conv.weight.copy_(image[:, :-1].reshape(conv.weight.shape))
        _set_bias(conv, image[:, -1])
        conv = path.clip_synthesis
        middle = conv.kernel_size[0] // 2
        shape = (-1, int(self._steady.sum()), *conv.kernel_size)
        conv.weight.zero_()
        conv.weight[:, self._steady] = clip[:, :-1].reshape(shape).repeat(TEMPORAL_STRIDE, 1, 1, 1)
        inverse = torch.linalg.pinv(analysis_clip.double()).float()
        conv.weight[:, ~self._steady, middle, middle] = inverse[:, ~self._steady]
        _set_bias(conv, clip[:, -1].repeat(TEMPORAL_STRIDE))

    def _solution(self, k: int) -> Tensor:
        ridge = _RIDGE * self._count * torch.eye(len(self._left[k]), dtype=torch.float64)
        return torch.linalg.solve(self._left[k] + ridge, self._right[k]).T.float()


def _set_bias(conv: torch.nn.Conv2d, bias: Tensor) -> None:
    if conv.bias is not None:
        conv.bias.copy_(bias)
