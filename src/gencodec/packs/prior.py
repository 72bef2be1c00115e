"""The exact part of a pack: integer prior and frequency tables. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from gencodec.errors import PackError
from gencodec.packs.manifest import check_files, read_manifest
from gencodec.symbols import Prior, PriorConfig, Tables

PRIOR = "prior"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactPack:
    """What decoding symbols needs of a pack; `stride` is pixels a side of a latent position."""

    prior: Prior
    tables: Tables
    stride: int


def load_exact(folder: Path) -> ExactPack:
    """Load the exact part of the pack in `folder` after checking its files.

    Raises:
        PackError: a file is missing or damaged, or breaks a rule of the integer layer.
    """
    manifest = read_manifest(folder)
    manifest.require_codec()
    check_files(folder, manifest)
    path = folder / f"{PRIOR}.safetensors"
    try:
        config = PriorConfig(**manifest.components[PRIOR])
        arrays = load_file(path)
    except (KeyError, TypeError) as error:
        raise PackError(f"pack {manifest.name}: unusable prior: {error!r}") from error
    except (OSError, SafetensorError, ValueError) as error:
        raise PackError(f"cannot read {path}: {error}") from error
    return ExactPack(
        prior=Prior(config, arrays),
        tables=Tables(config, arrays),
        stride=manifest.latent_stride,
    )
