"""The exact part of a pack, integer prior and frequency tables: what payloads say. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from gencodec.container import GnvcVdBlock
from gencodec.errors import FormatError, PackError
from gencodec.geometry import anchor_at, group_quality, symbol_shape
from gencodec.packs.manifest import check_files, read_manifest
from gencodec.symbols import GroupDecoder, Prior, PriorConfig, Tables

PRIOR = "prior"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactPack:
    """What decoding symbols needs of a pack; `stride` is pixels a side of a latent position."""

    prior: Prior
    tables: Tables
    stride: int

    def symbols(
        self,
        block: GnvcVdBlock,
        latents: tuple[int, int, int],
        payload: bytes,
        *,
        digest: int,
        damaged: bool = False,
    ) -> list[tuple[NDArray[np.int16], NDArray[np.int16]]]:
        """Decode a group of `gnvc-vd`.

        Args:
            block: of the group.
            latents: (t, h, w), from `latent_shape`.
            payload: of the group.
            digest: stored with it.
            damaged: whatever comes out is wanted, it is not checked.

        Returns:
            Symbols [c, h, w] and hyper symbols of each latent frame, in the order of coding.

        Raises:
            FormatError: the payload is damaged, or no pack of this kind codes groups so.
        """
        count, height, width = symbol_shape(latents, half_size=block.half_size)
        anchor = anchor_at(block.anchor_place, count)
        if (anchor or block.half_size) and not self.prior.config.motion:
            raise FormatError("coded as only packs with a motion codec can, and the pack has none")
        quality = group_quality(block.quality, block.anchor_offset, self.prior.config.qualities)
        turn = count - anchor if anchor else None
        decoder = GroupDecoder(
            self.prior, self.tables, (height, width), payload, digest=digest, turn=turn
        )
        found = [decoder.decode_frame(quality.of(position)) for position in range(count)]
        if not damaged:
            decoder.finish()
        return found


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
