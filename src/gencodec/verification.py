"""Is a .gnv file as it was written? No torch, no video library."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gencodec.container import GroupRecord, Header, Reader, named_groups
from gencodec.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from gencodec.geometry import group_quality, latent_shape
from gencodec.inspection import open_stream, read_block, stream_size
from gencodec.packs import find_pack
from gencodec.packs.prior import ExactPack, load_exact
from gencodec.progress import Progress, Report
from gencodec.symbols import GroupDecoder

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
            named_error = FormatError(f"{error}; {named_groups(damaged)} cannot be decoded")
            named_error.offset = error.offset
            raise named_error from error


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
    """Return (part, number) of every group that is lost or does not decode."""
    damaged: list[tuple[int, int]] = []
    due = (0, 0)
    with suppress(FormatError, LimitError):
        reader = Reader(stream, recover=True)
        for record in reader.groups():
            first = due[1] if due[0] == record.part else 0
            damaged += [(record.part, number) for number in range(first, record.number)]
            due = record.part, record.number + 1
            try:
                checker.check(record, reader.parts[record.part].header)
            except FormatError:
                damaged.append((record.part, record.number))
        damaged += [(due[0], due[1] + n) for n in range(min(reader.missing[0], _LISTED_GROUPS))]
    return damaged


class _SymbolChecker:
    """Decodes the symbols of groups; loads the integer part of each pack once."""

    def __init__(self, pack_dirs: Sequence[Path]) -> None:
        self._pack_dirs = pack_dirs
        self._packs: dict[str, ExactPack] = {}

    def check(self, record: GroupRecord, header: Header) -> int:
        """Decode a group and return its number of symbols; raise as `verify`."""
        block = read_block(record)
        if block is None:
            raise UnsupportedError(
                f"group {record.number}: coder {record.coder} cannot be verified by this version",
                offset=record.offset,
            )
        exact = self._exact(header.main_pack.hex())
        frames, *shape = latent_shape(record.frames, header.height, header.width, exact.stride)
        quality = group_quality(block.quality, block.anchor_offset, exact.prior.config.qualities)
        try:
            decoder = GroupDecoder(
                exact.prior,
                exact.tables,
                (shape[0], shape[1]),
                record.payload,
                digest=record.digest,
            )
            coded = [decoder.decode_frame(quality.of(t)) for t in range(frames)]
            decoder.finish()
        except FormatError as error:
            raise FormatError(f"group {record.number}: {error}", offset=record.offset) from error
        return sum(y.size + z.size for y, z in coded)

    def _exact(self, sha256: str) -> ExactPack:
        if sha256 not in self._packs:
            self._packs[sha256] = load_exact(find_pack(sha256, self._pack_dirs))
        return self._packs[sha256]
