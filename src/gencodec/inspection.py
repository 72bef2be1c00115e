"""What a .gnv file says about itself, and whether it is whole. No torch, no video library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from gencodec.container import (
    CODER_GNVC_VD,
    CODER_GVC,
    GnvcVdBlock,
    GroupRecord,
    GvcBlock,
    Header,
    Reader,
)
from gencodec.errors import FormatError, SourceError, UnsupportedError
from gencodec.geometry import group_quality, latent_shape
from gencodec.gvc import Schedule, latent_frames, parse_payload, read_gvc_block
from gencodec.packs import find_pack, list_packs, read_manifest
from gencodec.packs.prior import ExactPack, load_exact
from gencodec.progress import Progress, Report
from gencodec.symbols import GroupDecoder

_QUALITIES = 64  # of the format
_PROFILES = {1: "gnvc-vd", 2: "gvc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReference:
    """The pack a file was made with, and whether it is installed here."""

    name: str | None
    sha256: str
    installed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """One group of a file; `bytes` is the whole unit, `start` its first time in seconds.

    What a coder does not have is None; of a coder that is not known all of it.

    Attributes:
        quality, anchor_quality: gnvc-vd: quality indices; gvc: `quality` of the reference pictures.
        steps, start_level: of the refinement, the level only with steps; gvc: steps of the sampler.
        atoms: gvc: chosen at each coded step of each latent frame, on average.
        codebook: gvc: atoms to choose from.
        evaluations: gvc: of the flow model.
        variant: gvc: "t2v", "i2v" or "flf2v".
        needs: numbers of the groups that decoding needs.
    """

    index: int
    offset: int
    bytes: int
    payload_bytes: int
    frames: int
    start: float
    quality: int | None
    anchor_quality: int | None
    steps: int | None
    start_level: float | None
    cut: bool
    needs: tuple[int, ...] = ()
    variant: str | None = None
    atoms: float | None = None
    codebook: int | None = None
    evaluations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a file says about itself; rates count the whole file."""

    format_version: str
    width: int
    height: int
    frames: int
    fps: float
    frame_rate: str
    duration: float
    rotation: int
    sample_aspect: str
    bit_depth: int
    colour: dict[str, int]
    bpp: float
    kbps: float
    bytes: int
    container_bytes: int
    payload_bytes: int
    profile: str
    pack: PackReference
    complete: bool
    groups: tuple[GroupInfo, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What a verification went through."""

    groups: int
    frames: int
    symbols: int
    bytes: int
    complete: bool


@contextmanager
def open_stream(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Lend a file, "-" (standard input) or an open stream for reading.

    Raises:
        SourceError: the file cannot be opened.
    """
    if source == "-":
        yield sys.stdin.buffer
    elif isinstance(source, (str, Path)):
        with _opened(Path(source)) as stream:
            yield stream
    else:
        yield source


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"cannot open {path}: {error.strerror or error}") from error


def info(source: str | Path | BinaryIO) -> Info:
    """Describe a .gnv file without decoding it.

    Raises:
        SourceError: the file cannot be read.
        FormatError: it is not a valid .gnv file.
    """
    with open_stream(source) as stream:
        reader = Reader(stream)
        counted = _Counted(reader)
        rows = [counted.row(record) for record in reader.groups()]
        total = _size(stream, counted.end)
        header = reader.header
    frames = counted.frames
    seconds = counted.seconds
    bits = 8 * total
    pixels = header.width * header.height * frames
    return Info(
        format_version=f"{header.version.major}.{header.version.minor}",
        width=header.width,
        height=header.height,
        frames=frames,
        fps=float(header.frame_rate),
        frame_rate=str(header.frame_rate),
        duration=float(seconds),
        rotation=header.rotation,
        sample_aspect=f"{header.sample_aspect.numerator}:{header.sample_aspect.denominator}",
        bit_depth=header.bit_depth,
        colour={
            "primaries": header.primaries,
            "transfer": header.transfer,
            "matrix": header.matrix,
            "range": header.colour_range,
        },
        bpp=bits / pixels if pixels else 0.0,
        kbps=float(bits / seconds / 1000) if seconds else 0.0,
        bytes=total,
        container_bytes=total - counted.payload_bytes,
        payload_bytes=counted.payload_bytes,
        profile=_profile(header, rows),
        pack=_reference(header),
        complete=reader.complete,
        groups=tuple(rows),
    )


class _Counted:
    """Turns records into rows and adds them up."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.frames = self.payload_bytes = self.end = 0
        self.seconds = self._before = Fraction(0)  # of all parts, of those before the last one met
        self._part = 0

    def row(self, record: GroupRecord) -> GroupInfo:
        header = self._reader.parts[record.part].header
        size = record.container_bytes + len(record.payload)
        self.frames += record.frames
        self.payload_bytes += len(record.payload)
        self.end = record.offset + size
        if record.part != self._part:
            self._part, self._before = record.part, self.seconds
        last = record.ticks[-1] + header.frame_ticks
        self.seconds = self._before + (last - header.start_tick) * header.time_base
        start = self._before + (record.ticks[0] - header.start_tick) * header.time_base
        return GroupInfo(
            index=record.number,
            offset=record.offset,
            bytes=size,
            payload_bytes=len(record.payload),
            frames=record.frames,
            start=float(start),
            cut=record.cut,
            needs=tuple(record.number - back for back in record.dependencies),
            **_settings(record),
        )


def _profile(header: Header, rows: list[GroupInfo]) -> str:
    """Return the coder of a file, of gvc with the variant of its first group."""
    name = _PROFILES.get(header.coder, str(header.coder))
    variant = next((row.variant for row in rows if row.variant), None)
    return f"{name}-{variant}" if header.coder == CODER_GVC and variant else name


def _settings(record: GroupRecord) -> dict[str, Any]:
    """Return the fields of a row that the coder block tells."""
    if record.coder == CODER_GVC:
        return _gvc_settings(read_gvc_block(record))
    if record.coder != CODER_GNVC_VD:
        return dict.fromkeys(("quality", "anchor_quality", "steps", "start_level"))
    block = GnvcVdBlock.from_bytes(record.coder_block, offset=record.offset)
    quality = group_quality(block.quality, block.anchor_offset, _QUALITIES)
    return {
        "quality": block.quality,
        "anchor_quality": quality.anchor,
        "steps": block.steps,
        "start_level": block.start_level / 1000 if block.steps else None,
    }


def _gvc_settings(block: GvcBlock) -> dict[str, Any]:
    return {
        "quality": block.quality if block.variant else None,
        "anchor_quality": None,
        "steps": block.steps,
        "start_level": None,
        "variant": block.name,
        "atoms": block.atoms / block.coded_steps,
        "codebook": block.codebook,
        "evaluations": Schedule(block, 1).evaluations,
    }


def _size(stream: BinaryIO, read: int) -> int:
    """Return the bytes of the whole stream; of a pipe, those up to the last group."""
    return stream.seek(0, 2) if stream.seekable() else read


def _reference(header: Header) -> PackReference:
    sha256 = ""
    with suppress(FormatError):  # it names none, which only the decoder minds
        sha256 = header.main_pack.hex()
    name = next((pack.name for pack in list_packs() if pack.sha256 == sha256), None)
    return PackReference(name=name, sha256=sha256, installed=name is not None)


def verify(source: str | Path | BinaryIO, *, on_progress: Report | None = None) -> VerifyResult:
    """Check every checksum of a file and decode every symbol against the stored digests.

    Raises:
        FormatError: the first damage found.
        PackError: the file's pack is not installed; the checksums before it are good.
    """
    groups = frames = symbols = end = 0
    with open_stream(source) as stream:
        reader = Reader(stream)
        checker = _SymbolChecker()
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
            bytes=_size(stream, end),
            complete=reader.complete,
        )


class _SymbolChecker:
    """Decodes the symbols of groups; loads the integer part of each pack once."""

    def __init__(self) -> None:
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
        exact = self._exact(pack.hex())
        count, *shape = latent_shape(frames, header.height, header.width, exact.stride)
        quality = group_quality(block.quality, block.anchor_offset, exact.prior.config.qualities)
        payload, digest = coded
        decoder = GroupDecoder(
            exact.prior, exact.tables, (shape[0], shape[1]), payload, digest=digest
        )
        found = [decoder.decode_frame(quality.of(t)) for t in range(count)]
        decoder.finish()
        return sum(y.size + z.size for y, z in found)

    def _stride(self, sha256: str) -> int:
        if sha256 not in self._strides:
            self._strides[sha256] = read_manifest(find_pack(sha256)).latent_stride
        return self._strides[sha256]

    def _exact(self, sha256: str) -> ExactPack:
        if sha256 not in self._packs:
            self._packs[sha256] = load_exact(find_pack(sha256))
        return self._packs[sha256]
