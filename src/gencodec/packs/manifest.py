"""A model pack on disk: `pack.json` and the files it names. No torch here.

The identity of a pack is the SHA-256 of its canonical manifest, which contains the SHA-256 of every
file; a .gnv file names its pack by that identity and nothing else. Files are in the pack's folder
or, as in packs of published networks, one folder below. Text embeddings (`prompt.py`) and the text
encoder are no part of the identity: each machine computes them, and rounds them in its own way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencodec.errors import PackError

MANIFEST = "pack.json"
MANIFEST_MAX_BYTES = 1 << 20
FILE_MAX_BYTES = 1 << 40
PACK_FORMAT = 1
GROUP_FRAMES_MAX = 129  # of a pack that names no other
PROMPT = "prompt.safetensors"
TEXT_ENCODER, TOKENIZER, PROMPTS = "text_encoder", "tokenizer", "prompts"
_BESIDE = (TEXT_ENCODER, TOKENIZER, PROMPTS)  # folders that are no part of the identity
CODEC = ("transform", "prior")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `pack.json` says, checked for shape but not yet against the files.

    Attributes:
        name: what people call the pack.
        version: of the weights.
        licence: of the weights.
        use: "any", or "research-only" while any training item is.
        components: part -> its architecture.
        files: file name -> (SHA-256 in hex, bytes).
        sha256: identity of the pack.
    """

    name: str
    version: str
    licence: str
    use: str
    components: Mapping[str, Any]
    files: Mapping[str, tuple[str, int]]
    sha256: str

    @property
    def group_frames_max(self) -> int:
        """The most frames of a group."""
        return int(self.components.get("defaults", {}).get("group_frames_max", GROUP_FRAMES_MAX))

    @property
    def has_codec(self) -> bool:
        """Whether the pack can code with `gnvc-vd`; without codec it is only a velocity."""
        return any(part in self.components for part in CODEC)

    @property
    def has_prompt(self) -> bool:
        """Whether the transformer reads a text."""
        return "prompt" in self.components

    def require_codec(self) -> None:
        """Refuse a pack that cannot code with `gnvc-vd`.

        Raises:
            PackError: it has no codec.
        """
        if not self.has_codec:
            raise PackError(
                f"pack {self.name} holds a generator and no codec, so gnvc-vd cannot use it; "
                "take --profile gvc-t2v, choose another --pack, or teach it a codec: gencodec "
                "train (see --help)"
            )

    def files_in(self, part: str) -> list[str]:
        """Return the pack's files in one of its folders, or the one named after a part."""
        return [n for n in self.files if n == f"{part}.safetensors" or n.startswith(f"{part}/")]

    @property
    def latent_stride(self) -> int:
        """Pixels a side of the square behind one latent position.

        Raises:
            PackError: the manifest does not describe an autoencoder.
        """
        try:
            wan = self.components["autoencoder"]["wan"]
            return int(wan.get("patch_size") or 1) * 2 ** (len(wan["dim_mult"]) - 1)
        except (KeyError, TypeError, ValueError) as error:
            raise PackError(f"pack {self.name} describes no autoencoder: {error!r}") from error


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes whose SHA-256 is the pack's identity: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def read_manifest(folder: Path) -> Manifest:
    """Read and check `folder`/pack.json.

    Raises:
        PackError: missing, too large, or not a manifest this version understands.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_MAX_BYTES:
            raise PackError(f"{path} is larger than {MANIFEST_MAX_BYTES} bytes")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise PackError(f"no model pack in {folder}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path} is not JSON: {error}") from error
    try:
        return _parse(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PackError(f"{path} is not a pack manifest: {error!r}") from error


def _parse(document: dict[str, Any]) -> Manifest:
    if document["pack_format"] != PACK_FORMAT:
        raise ValueError(f"pack format {document['pack_format']}, this version reads {PACK_FORMAT}")
    files = {}
    for name, entry in document["files"].items():
        digest, size = str(entry["sha256"]), int(entry["bytes"])
        parts = name.split("/")
        plain = all(p not in ("", ".", "..") and Path(p).name == p and "\\" not in p for p in parts)
        if not plain or len(parts) > 2 or name in (MANIFEST, PROMPT):
            raise ValueError(f"file name {name!r} must be a plain name, or folder/name")
        if len(bytes.fromhex(digest)) != hashlib.sha256().digest_size:
            raise ValueError(f"{name}: not a SHA-256: {digest!r}")
        if not 0 < size <= FILE_MAX_BYTES:
            raise ValueError(f"{name}: {size} bytes")
        files[name] = (digest, size)
    return Manifest(
        name=str(document["name"]),
        version=str(document["version"]),
        licence=str(document["licence"]),
        use=str(document["use"]),
        components=dict(document["components"]),
        files=files,
        sha256=hashlib.sha256(canonical(document)).hexdigest(),
    )


def write_manifest(folder: Path, document: dict[str, Any]) -> Manifest:
    """Hash every safetensors file of a pack into the manifest, write it, and read it back."""
    found = sorted((*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")))
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        }
        for path in found
        if path.name != PROMPT and path.parent.name not in _BESIDE
    }
    whole = {"pack_format": PACK_FORMAT, **document, "files": files}
    text = json.dumps(whole, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return read_manifest(folder)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check size and SHA-256 of every file of a pack.

    Raises:
        PackError: a file is missing, has another size, or another content.
    """
    for name, (digest, size) in manifest.files.items():
        path = folder / name
        try:
            actual = path.stat().st_size
            if actual != size:
                raise PackError(
                    f"{path} has {actual} bytes, the pack says {size}; install it again"
                )
            if file_sha256(path) != digest:
                raise PackError(f"{path} is damaged (SHA-256 differs); install the pack again")
        except OSError as error:
            raise PackError(f"cannot read {path}: {error.strerror or error}") from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex, reading it in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
