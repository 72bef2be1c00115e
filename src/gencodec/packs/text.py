"""Prompts that are not empty: embedded by the pack's text encoder once, and kept beside the pack.

prompts/DIGEST.safetensors      what the text encoder said, with the text and the pack's identity
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import OutputError, PackError, UsageError
from gencodec.packs.manifest import PROMPTS, TEXT_ENCODER, TOKENIZER, Manifest
from gencodec.packs.prompt import packed_vectors, read_vectors, text_size
from gencodec.packs.text_encoder import embed_prompt

_PACK, _TEXT = "pack", "text"


def embed(folder: Path, manifest: Manifest, text: str) -> NDArray[np.float32]:
    """Return the vectors [n, text_dim] of a text; what the text encoder said once is kept.

    Raises:
        UsageError: the text is too long.
        PackError: the pack reads no text, has no text encoder, or what is kept is of another pack.
    """
    if not manifest.has_prompt:
        raise PackError(
            f"pack {manifest.name} reads no text, so there is no prompt {text!r}; encode without "
            "--prompt, or with a pack of Wan networks such as wan2.1-1.3b"
        )
    path = folder / PROMPTS / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"
    if not path.is_file():
        _keep(path, _asked(folder, manifest, text), manifest, text)
    vectors, meta = read_vectors(path, manifest)
    if meta.get(_PACK) != manifest.sha256 or meta.get(_TEXT) != text:
        raise PackError(
            f"{path} is the prompt {meta.get(_TEXT)!r} for pack {str(meta.get(_PACK))[:12]}, not "
            f"{text!r} for {manifest.name} ({manifest.sha256[:12]}); remove it, and it is computed "
            "anew"
        )
    return vectors


def _asked(folder: Path, manifest: Manifest, text: str) -> NDArray[np.float32]:
    """Return what the text encoder says of a text."""
    if not all((folder / part).is_dir() for part in (TEXT_ENCODER, TOKENIZER)):
        raise PackError(
            f"pack {manifest.name} has no text encoder for the prompt {text!r}; run `gencodec "
            f"models fetch {manifest.name}`, with --from FOLDER if {TEXT_ENCODER} and {TOKENIZER} "
            f"are there, or copy {PROMPTS}/ from a machine that has embedded it"
        )
    vectors = embed_prompt(folder, text)
    length, _ = text_size(manifest)
    if len(vectors) > length:
        raise UsageError(f"the prompt has {len(vectors)} tokens, must be at most {length}")
    return vectors


def _keep(path: Path, vectors: NDArray[np.float32], manifest: Manifest, text: str) -> None:
    """Write an embedding; it appears whole or not at all."""
    try:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_bytes(packed_vectors(vectors, {_PACK: manifest.sha256, _TEXT: text}))
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot keep the embedding of the prompt in {path}: {error}") from error
