"""The usual text of a pack of real Wan networks: the empty prompt's embedding, computed once.

The text encoder is four times as large as the transformer and nearly always sees the same text, so
a pack keeps what it says (`text_encoder.py`) in `prompt.safetensors`, with a digest. No torch here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gencodec.errors import PackError
from gencodec.packs.manifest import PROMPT, Manifest

LENGTH = 512  # vectors of the text input, zeros after those of the prompt (Wan's pipelines)
_KEY, _DIGEST = "prompt", "sha256"


def read_prompt(folder: Path, manifest: Manifest) -> NDArray[np.float32]:
    """Return the vectors [n, text_dim] of the empty text, those that are not padding.

    Raises:
        PackError: the embedding is missing, damaged, or not of the transformer's size.
    """
    path, name = folder / PROMPT, manifest.name
    if not path.is_file():
        raise PackError(
            f"pack {name} has no embedding of the empty prompt ({path}); run `gencodec models "
            f"fetch {name}`, with --from FOLDER if its text_encoder is there"
        )
    return read_vectors(path, manifest)[0]


def read_vectors(path: Path, manifest: Manifest) -> tuple[NDArray[np.float32], dict[str, str]]:
    """Return the vectors [n, text_dim] in a file, and what is said of them there.

    Raises:
        PackError: as `read_prompt`.
    """
    try:
        with safe_open(path, "numpy") as stored:
            vectors, meta = np.asarray(stored.get_tensor(_KEY)), stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise PackError(f"cannot read {path}: {error}; fetch the pack again") from error
    length, width = text_size(manifest)
    if vectors.dtype != np.float32 or vectors.shape[1:] != (width,) or len(vectors) > length:
        raise PackError(
            f"{path} holds {vectors.dtype} {vectors.shape}, the pack's transformer takes at most "
            f"{length} vectors of {width}; fetch the pack again"
        )
    if _digest(vectors) != meta.get(_DIGEST) or not np.isfinite(vectors).all():
        raise PackError(f"{path} is damaged (SHA-256 differs); fetch the pack again")
    return vectors, meta


def write_prompt(folder: Path, vectors: NDArray[np.float32]) -> None:
    """Write vectors [n, text_dim] of the empty text."""
    (folder / PROMPT).write_bytes(packed_vectors(vectors, {}))


def packed_vectors(vectors: NDArray[np.float32], meta: Mapping[str, str]) -> bytes:
    """Return a file of vectors [n, text_dim] with their digest and what is to be said of them."""
    return save({_KEY: np.ascontiguousarray(vectors)}, {_DIGEST: _digest(vectors), **meta})


def text_size(manifest: Manifest) -> tuple[int, int]:
    """Return the most vectors of a pack's text input, and their width.

    Raises:
        PackError: the manifest does not tell.
    """
    try:
        length = int(manifest.components["prompt"]["length"])
        return length, int(manifest.components["refiner"]["text_dim"])
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"pack {manifest.name}: unusable prompt: {error!r}") from error


def _digest(vectors: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, "<f4").tobytes()).hexdigest()
