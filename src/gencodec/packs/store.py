"""Where packs are: the one inside the package, the user's folders, and paths given by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gencodec.errors import PackError
from gencodec.packs.manifest import MANIFEST, Manifest, check_files, read_manifest
from gencodec.packs.published import PUBLISHED

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackInfo:
    """An installed pack: its folder and what its manifest says."""

    name: str
    version: str
    sha256: str
    path: Path
    bytes: int
    licence: str
    use: str
    has_codec: bool

    @classmethod
    def of(cls, folder: Path, manifest: Manifest) -> PackInfo:
        """Describe the pack in `folder`."""
        return cls(
            name=manifest.name,
            version=manifest.version,
            sha256=manifest.sha256,
            path=folder,
            bytes=sum(size for _, size in manifest.files.values()),
            licence=manifest.licence,
            use=manifest.use,
            has_codec=manifest.has_codec,
        )


def user_packs() -> Path:
    """Return the folder for the packs that a user installs."""
    data = os.environ.get("XDG_DATA_HOME")
    data_home = Path(data) if data else Path.home() / ".local" / "share"
    return data_home / "gencodec" / "packs"


def pack_folders(extra: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield every folder that holds a pack: `extra`, $GENCODEC_PACKS, the user's, the embedded."""
    listed = [Path(part) for part in os.environ.get("GENCODEC_PACKS", "").split(os.pathsep) if part]
    for root in (*extra, *listed, user_packs(), EMBEDDED):
        if (root / MANIFEST).is_file():
            yield root
        elif root.is_dir():
            yield from sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))


def list_packs(extra: Sequence[Path] = ()) -> list[PackInfo]:
    """Return every readable installed pack, the first of each identity only."""
    found: dict[str, PackInfo] = {}
    for folder in pack_folders(extra):
        try:
            info = PackInfo.of(folder, read_manifest(folder))
        except PackError:
            continue  # `find_pack` and `verify_pack` name the fault when the pack is asked for
        found.setdefault(info.sha256, info)
    return list(found.values())


def find_pack(wanted: str | Path, extra: Sequence[Path] = ()) -> Path:
    """Return the folder of a pack given by name, by folder, or by SHA-256 in hex.

    Raises:
        PackError: no such pack is installed.
    """
    folder = Path(wanted)
    if (folder / "transformer" / "config.json").is_file() and not (folder / MANIFEST).is_file():
        raise PackError(
            f"{folder} holds networks in the Hugging Face layout and no pack yet; run `gencodec "
            f"models fetch NAME --from {folder}`, then use NAME"
        )
    if isinstance(wanted, Path) or (folder / MANIFEST).is_file():
        read_manifest(folder)
        return folder
    packs = list_packs(extra)
    for info in packs:
        if wanted in (info.name, info.sha256):
            return info.path
    names = ", ".join(sorted(info.name for info in packs)) or "none"
    help_ = "put its folder into GENCODEC_PACKS, or see `gencodec models list`"
    if wanted in PUBLISHED:
        help_ = f"run `gencodec models fetch {wanted}`"
    raise PackError(f"model pack {wanted} is not installed (installed: {names}); {help_}")


def verify_pack(folder: Path) -> PackInfo:
    """Check every file of the pack in `folder` against its manifest.

    Raises:
        PackError: naming the first fault.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    if manifest.has_prompt:
        from gencodec.packs.prompt import read_prompt  # with numpy, which commands start without

        read_prompt(folder, manifest)
    return PackInfo.of(folder, manifest)
