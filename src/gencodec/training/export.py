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
from gencodec.packs.models import AUTOENCODER, JUDGE, REFINER, TRANSFORM, save_network
from gencodec.packs.prior import PRIOR
from gencodec.symbols import (
    Prior,
    PriorConfig,
    Tables,
    hyper_tables,
    integer_frequencies,
    symbol_tables,
)
from gencodec.symbols.motion import CONTEXTS, MotionModel
from gencodec.symbols.range_coder import PRECISION
from gencodec.training.base import export_based
from gencodec.training.coding import coded_steps
from gencodec.training.workbench import Workbench, random_quality
from gencodec.transform import ANCHOR, MotionCodec

_HYPER_RADIUS = 15
_FAITH = 400.0  # weight of the Gaussian shape against counts, in symbols a table


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedFrame:
    """Symbols of one latent frame of one sample, as integers."""

    y: NDArray[np.int64]
    z: NDArray[np.int64]
    quality: int


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
    if bench.judge is not None:
        save_network(bench.judge, folder, JUDGE)
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
    flat = {"motion.counts": np.zeros((CONTEXTS, 2), np.uint32), **_flat_hyper(config)}
    tables = Tables(config, {**shapes, **flat})
    counts = np.zeros(len(shapes["tables.frequencies"]), np.float64)
    hyper = np.zeros((2, config.hyper_channels, 2 * _HYPER_RADIUS + 1))
    motion = np.zeros((CONTEXTS, 2), np.int64)
    for frames in batches:
        for coded in _coded_samples(bench, frames):
            y = np.stack([frame.y for frame in coded])
            z = np.stack([frame.z for frame in coded])
            scale, mean = prior.indices(y, z, [frame.quality for frame in coded])
            _count(counts, tables, scale.astype(np.int64), mean.astype(np.int64), y)
            for t, frame in enumerate(coded):
                _count_hyper(hyper[min(t, 1)], frame.z)
            if config.motion:
                _count_motion(motion, y[1:, config.motion_channels(1)])
    counted = {**_mixed(shapes, tables, counts), **_hyper(config, hyper)}
    return {**counted, "motion.counts": motion.astype(np.uint32)} if config.motion else counted


@torch.no_grad()
def _coded_samples(bench: Workbench, frames: Tensor) -> Iterator[list[CodedFrame]]:
    """Code each sample of a batch at random qualities."""
    if isinstance(bench.codec, MotionCodec):
        frames, anchor, inter = bench.coded_material(frames)
    else:
        qualities = bench.codec.config.qualities
        inter = anchor = random_quality(len(frames), qualities, frames.device)
    coded: list[list[CodedFrame]] = [[] for _ in range(len(frames))]
    for step in coded_steps(bench.codec, bench.autoencoder, frames, anchor, inter):
        quality = anchor if step.kind == ANCHOR else inter
        rows = zip(step.coded.symbols, step.hyper.round(), quality.tolist(), strict=True)
        for sample, (y, z, index) in zip(coded, rows, strict=True):
            y, z = (x.long().cpu().numpy() for x in (y, z))
            sample.append(CodedFrame(y=y, z=z, quality=index))
    yield from coded


def _count_motion(counts: NDArray[np.int64], fields: NDArray[np.int64]) -> None:
    """Add the bits of a group's motion fields [t, 3, h, w] to counts."""
    _, _, h, w = fields.shape
    model = MotionModel(counts, (h, w))
    for field in fields:
        model.count(counts, field.astype(np.int16))


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
