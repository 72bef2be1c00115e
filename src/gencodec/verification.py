"""Is a .gnv file as it was written? No torch, no video library."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gencodec.container import (
    CODER_GNVC_VD,
    CODER_GVC,
    FLF2V,
    GnvcVdBlock,
    GroupRecord,
    Header,
    Reader,
    named_groups,
)
from gencodec.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from gencodec.geometry import latent_shape
from gencodec.gvc import Schedule, latent_frames, parse_payload, read_gvc_block
from gencodec.input import open_stream
from gencodec.inspection import stream_size
from gencodec.packs import find_pack, read_manifest
from gencodec.packs.prior import ExactPack, load_exact
from gencodec.progress import Progress, Report

_LISTED_GROUPS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What a verification went through."""

    groups: int
    frames: int
    symbols: int
    bytes: int
    complete: bool


def verify(
    source: str | Path | BinaryIO,
    *,
    pack_dirs: Sequence[Path] = (),
    on_progress: Report | None = None,
) -> VerifyResult:
    """Check every checksum of a file and decode every symbol against the stored digests.

    Args:
        source: file, "-" for standard input, or a binary stream.
        pack_dirs: folders searched for packs before the usual places.
        on_progress: told about every group.

    Raises:
        FormatError: the first damage found.
        PackError: the file's pack is not installed; the checksums before it are good.
    """
    with open_stream(source) as stream:
        origin = stream.tell() if stream.seekable() else None
        try:
            return _verified(stream, _SymbolChecker(pack_dirs), on_progress)
        except (UnsupportedError, TruncatedError):
            raise
        except FormatError as error:
            if origin is None:
                raise
            stream.seek(origin)
            damaged = _damaged_groups(stream, _SymbolChecker(pack_dirs))
            if not damaged:
                raise
            error.args = (f"{error}; {named_groups(damaged)} cannot be decoded",)
            raise


def _verified(
    stream: BinaryIO, checker: _SymbolChecker, on_progress: Report | None
) -> VerifyResult:
    groups = frames = symbols = end = 0
    reader = Reader(stream)
    for record in reader.groups():
        symbols += checker.check(record, reader.parts[record.part].header)
        groups, frames = groups + 1, frames + record.frames
        end = record.offset + record.container_bytes + len(record.payload)
        if on_progress is not None:
            on_progress(Progress(stage="verify", frames=frames, group=groups))
    return VerifyResult(
        groups=groups,
        frames=frames,
        symbols=symbols,
        bytes=stream_size(stream, end),
        complete=reader.complete,
    )


def _damaged_groups(stream: BinaryIO, checker: _SymbolChecker) -> list[tuple[int, int]]:
    """Return (part, number) of every group that is lost, does not decode, or needs such a group."""
    lost: set[tuple[int, int]] = set()
    stranded: set[tuple[int, int]] = set()
    due = (0, 0)
    with suppress(FormatError, LimitError):
        reader = Reader(stream, recover=True)
        for record in reader.groups():
            place, first = (record.part, record.number), due[1] if due[0] == record.part else 0
            lost |= {(record.part, number) for number in range(first, record.number)}
            due = record.part, record.number + 1
            needed = {(record.part, record.number - back) for back in record.dependencies}
            try:
                checker.check(record, reader.parts[record.part].header)
                if needed & lost or (needed & stranded and not _needs_picture_alone(record)):
                    stranded.add(place)
            except FormatError:
                lost.add(place)
        lost |= {(due[0], due[1] + n) for n in range(min(reader.missing[0], _LISTED_GROUPS))}
    return sorted(lost | stranded)


def _needs_picture_alone(record: GroupRecord) -> bool:
    """Whether a group needs a picture of the one before, which is there even if no frame is."""
    return record.coder == CODER_GVC and read_gvc_block(record).variant == FLF2V


class _SymbolChecker:
    """Decodes the symbols of groups; loads the integer part of each pack once."""

    def __init__(self, pack_dirs: Sequence[Path]) -> None:
        self._pack_dirs = pack_dirs
        self._packs: dict[str, ExactPack] = {}
        self._strides: dict[str, int] = {}

    def check(self, record: GroupRecord, header: Header) -> int:
        """Decode a group and return its number of symbols; raise as `verify`."""
        if record.coder not in (CODER_GNVC_VD, CODER_GVC):
            raise UnsupportedError(
                f"group {record.number}: coder {record.coder} cannot be verified by this version",
                offset=record.offset,
            )
        try:
            if record.coder == CODER_GVC:
                return self._check_steered(record, header)
            block = GnvcVdBlock.from_bytes(record.coder_block, offset=record.offset)
            coded = (record.payload, record.digest)
            return self._check_symbols(header.main_pack, coded, header, record.frames, block)
        except UnsupportedError:
            raise
        except FormatError as error:
            raise FormatError(f"group {record.number}: {error}", offset=record.offset) from error

    def _check_steered(self, record: GroupRecord, header: Header) -> int:
        """Decode the reference pictures and the atoms of a `gvc` group."""
        block = read_gvc_block(record)
        stride = self._stride(header.main_pack.hex())
        frames = latent_shape(latent_frames(record), header.height, header.width, stride)[0]
        steering = parse_payload(record, Schedule(block, frames))
        plain = GnvcVdBlock(quality=block.quality)
        symbols = sum(
            self._check_symbols(
                header.reference_pack, (picture.payload, picture.digest), header, 1, plain
            )
            for picture in steering.pictures
        )
        return symbols + sum(map(len, steering.choices))

    def _check_symbols(
        self,
        pack: bytes,
        coded: tuple[bytes, int],
        header: Header,
        frames: int,
        block: GnvcVdBlock,
    ) -> int:
        """Decode a payload with its digest, made by `gnvc-vd`, and return its number of symbols."""
        exact, (payload, digest) = self._exact(pack.hex()), coded
        latents = latent_shape(frames, header.height, header.width, exact.stride)
        found = exact.symbols(block, latents, payload, digest=digest)
        return sum(y.size + z.size for y, z in found)

    def _stride(self, sha256: str) -> int:
        if sha256 not in self._strides:
            self._strides[sha256] = read_manifest(find_pack(sha256, self._pack_dirs)).latent_stride
        return self._strides[sha256]

    def _exact(self, sha256: str) -> ExactPack:
        if sha256 not in self._packs:
            self._packs[sha256] = load_exact(find_pack(sha256, self._pack_dirs))
        return self._packs[sha256]
