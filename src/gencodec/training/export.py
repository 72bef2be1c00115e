"""From trained networks to a pack: counted integer tables, float16 weights, manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from gencodec.packs import Manifest, write_manifest
from gencodec.packs.models import AUTOENCODER, REFINER, TRANSFORM, save_network
from gencodec.packs.prior import PRIOR
from gencodec.symbols import (
    Prior,
    PriorConfig,
    Tables,
    hyper_tables,
    integer_frequencies,
    symbol_tables,
)
from gencodec.symbols.range_coder import PRECISION
from gencodec.training.base import export_based
from gencodec.training.coding import coded_steps
from gencodec.training.workbench import Workbench, random_quality

_HYPER_RADIUS = 15
_FAITH = 400.0  # weight of the Gaussian shape against counts, in symbols a table


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFrame:
    """Symbols of one latent frame of one sample, as integers."""

    y: NDArray[np.int64]
    z: NDArray[np.int64]


def export_pack(
    bench: Workbench, document: Mapping[str, Any], folder: Path, batches: Iterator[Tensor]
) -> Manifest:
    """Write a pack.

    Args:
        bench: trained networks.
        document: the manifest without `files`.
        folder: where to; its files are replaced.
        batches: frames [b, 3, T, H, W] in -1..1 to count symbols on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_network(bench.codec, folder, TRANSFORM)
    if bench.base is None:
        save_network(bench.autoencoder, folder, AUTOENCODER)
        save_network(bench.refiner, folder, REFINER)
    else:
        export_based(bench.refiner, bench.base, folder)
    config = bench.entropy.prior.config
    arrays = bench.entropy.prior.export()
    prior = save({**arrays, **count_tables(bench, arrays, config, batches)})
    (folder / f"{PRIOR}.safetensors").write_bytes(prior)
    return write_manifest(folder, dict(document))


def count_tables(
    bench: Workbench,
    arrays: Mapping[str, NDArray[Any]],
    config: PriorConfig,
    batches: Iterator[Tensor],
) -> dict[str, NDArray[np.generic]]:
    """Make frequency tables: Gaussian shapes corrected by the symbols that really occur."""
    shapes = symbol_tables(config)
    prior = Prior(config, arrays)
    tables = Tables(config, {**shapes, **_flat_hyper(config)})
    counts = np.zeros(len(shapes["tables.frequencies"]), np.float64)
    hyper = np.zeros((2, config.hyper_channels, 2 * _HYPER_RADIUS + 1))
    for frames in batches:
        for quality, coded in _coded_samples(bench, frames):
            y = np.stack([frame.y for frame in coded])
            z = np.stack([frame.z for frame in coded])
            scale, mean = prior.indices(y, z, [quality] * len(coded))
            _count(counts, tables, scale.astype(np.int64), mean.astype(np.int64), y)
            for t, frame in enumerate(coded):
                _count_hyper(hyper[min(t, 1)], frame.z)
    return {**_mixed(shapes, tables, counts), **_hyper(config, hyper)}


@torch.no_grad()
def _coded_samples(bench: Workbench, frames: Tensor) -> Iterator[tuple[int, list[CodedFrame]]]:
    """Code each sample of a batch at one random quality for all of them."""
    quality = random_quality(1, bench.codec.config.qualities, frames.device)
    repeated = quality.expand(len(frames))
    coded: list[list[CodedFrame]] = [[] for _ in range(len(frames))]
    for step in coded_steps(bench.codec, bench.autoencoder, frames, repeated, repeated):
        hyper = step.hyper.round()
        for sample, y, z in zip(coded, step.coded.symbols, hyper, strict=True):
            sample.append(CodedFrame(y=y.long().cpu().numpy(), z=z.long().cpu().numpy()))
    for sample in coded:
        yield int(quality), sample


def _count(
    counts: NDArray[np.float64],
    tables: Tables,
    scale: NDArray[np.int64],
    mean: NDArray[np.int64],
    y: NDArray[np.int64],
) -> None:
    """Add the residuals of symbols [t, c, h, w] to the entries of their tables; skips cost none."""
    fractions = tables.config.fractions
    coded = scale > 0
    table = (scale[coded] - 1) * fractions + mean[coded] % fractions
    residual = y[coded] - mean[coded] // fractions
    radius = tables.symbols.radii[table]
    inside = np.abs(residual) <= radius
    entry = tables.symbols.offsets[table] + np.where(inside, residual + radius, 2 * radius + 1)
    np.add.at(counts, entry, 1)


def _count_hyper(counts: NDArray[np.float64], z: NDArray[np.int64]) -> None:
    """Add hyper symbols [cz, h, w] to counts [cz, 2 R + 1]."""
    clipped = np.clip(z, -_HYPER_RADIUS, _HYPER_RADIUS) + _HYPER_RADIUS
    for channel, values in enumerate(clipped):
        counts[channel] += np.bincount(values.ravel(), minlength=counts.shape[1])


def _mixed(
    shapes: Mapping[str, NDArray[Any]], tables: Tables, counts: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    """Blend each table's Gaussian shape with its counts."""
    bank, mixed = tables.symbols, []
    for start, stop in zip(bank.offsets[:-1], bank.offsets[1:], strict=True):
        shape = shapes["tables.frequencies"][start:stop] / 2**PRECISION
        blended = counts[start:stop] + _FAITH * shape
        mixed.append(integer_frequencies(blended[:-1] / blended.sum()))
    return {"tables.frequencies": np.concatenate(mixed), "tables.radii": shapes["tables.radii"]}


def _hyper(config: PriorConfig, counts: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    """Turn counts [2, cz, 2 R + 1] into tables, never certain of anything."""
    spread = np.exp(-np.abs(np.arange(-_HYPER_RADIUS, _HYPER_RADIUS + 1)))
    flat = counts.reshape(-1, counts.shape[-1]) + 0.1 * spread
    return hyper_tables(config, [row / row.sum() * 0.9999 for row in flat])


def _flat_hyper(config: PriorConfig) -> dict[str, NDArray[np.generic]]:
    return _hyper(config, np.zeros((2, config.hyper_channels, 2 * _HYPER_RADIUS + 1)))
