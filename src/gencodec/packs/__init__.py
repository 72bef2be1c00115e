"""Model packs: find, verify, load. Loading (`gencodec.packs.models`) needs torch, the rest not."""

from gencodec.packs.manifest import Manifest, check_files, read_manifest, write_manifest
from gencodec.packs.published import PUBLISHED
from gencodec.packs.store import PackInfo, find_pack, list_packs, verify_pack

__all__ = [
    "PUBLISHED",
    "Manifest",
    "PackInfo",
    "check_files",
    "find_pack",
    "list_packs",
    "read_manifest",
    "verify_pack",
    "write_manifest",
]
