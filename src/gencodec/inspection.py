"""What a .gnv file says about itself, and whether it is whole. No torch, no video library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from gencodec.carried import KINDS, About, Light, Mastering, Track
from gencodec.container import (
    CODER_GNVC_VD,
    CODER_GVC,
    META,
    PKT,
    TRAK,
    Damage,
    GnvcVdBlock,
    GroupRecord,
    GvcBlock,
    Header,
    Reader,
    SignatureError,
    Unit,
    parse_about,
    parse_packets,
    parse_track,
)
from gencodec.errors import FormatError, TruncatedError, UnsupportedError
from gencodec.geometry import TEMPORAL_STRIDE, anchor_at, group_quality, latent_shape
from gencodec.gvc import Schedule, read_gvc_block
from gencodec.input import open_stream
from gencodec.packs import list_packs

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
        half_size: gnvc-vd: the codec saw pictures of half the width and height.
        quality, anchor_quality: gnvc-vd: quality indices; gvc: `quality` of the reference pictures.
        anchor_frame: gnvc-vd: frame of the group from which all others are predicted.
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
    half_size: bool | None = None
    anchor_frame: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackInfo:
    """Sound or subtitles of a file; `bytes` is what its units take."""

    number: int
    kind: str
    codec: str
    language: str
    title: str
    dispositions: tuple[str, ...]
    sample_rate: int
    channels: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a file says about itself; rates count the video alone.

    `bytes` is the sum of the next three; `carried_bytes` are those of sound, subtitles, tags and
    chapters. What `damages` hit is in `container_bytes` alone, and rates are then those of what is
    whole.
    """

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
    carried_bytes: int
    profile: str
    pack: PackReference
    prompt: str
    complete: bool
    damages: tuple[Damage, ...]
    field_order: int
    tracks: tuple[TrackInfo, ...]
    tags: dict[str, str]
    chapters: tuple[tuple[float, float, str], ...]
    mastering_display: Mastering | None
    content_light: Light | None
    groups: tuple[GroupInfo, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)


def info(source: str | Path | BinaryIO) -> Info:
    """Describe a .gnv file without decoding it; of a damaged one, what is whole.

    Raises:
        SourceError: the file cannot be read.
        FormatError: it is not a valid .gnv file, or damaged, and read from a pipe.
    """
    with open_stream(source) as stream:
        origin = stream.tell() if stream.seekable() else None
        try:
            return _described(stream, Reader(stream))
        except (SignatureError, TruncatedError, UnsupportedError):
            raise
        except FormatError:
            if origin is None:
                raise
            stream.seek(origin)
            return _described(stream, Reader(stream, recover=True))


def _described(stream: BinaryIO, reader: Reader) -> Info:
    counted = _Counted(reader)
    rows = [counted.row(each) for each in counted.groups()]
    total = stream_size(stream, counted.end)
    header = reader.header
    frames = counted.frames
    seconds = counted.seconds
    damages = reader.damages
    if damages:  # rates are those of what is whole
        seconds = frames / header.frame_rate
    bits = 8 * (total - counted.carried_bytes - sum(damage.bytes for damage in damages))
    pixels = header.width * header.height * frames
    return Info(
        format_version=f"{header.version.major}.{header.version.minor}",
        width=header.width,
        height=header.height,
        frames=frames,
        fps=float(header.frame_rate),
        frame_rate=str(header.frame_rate),
        duration=float(counted.seconds),
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
        container_bytes=total - counted.payload_bytes - counted.carried_bytes,
        payload_bytes=counted.payload_bytes,
        carried_bytes=counted.carried_bytes,
        profile=_profile(header, rows),
        pack=_reference(header),
        prompt=header.prompt,
        complete=reader.complete,
        damages=tuple(damages),
        field_order=header.field_order,
        tracks=tuple(counted.tracks),
        tags=dict(counted.about.tags),
        chapters=tuple((float(c.start), float(c.end), c.title) for c in counted.about.chapters),
        mastering_display=counted.about.mastering,
        content_light=counted.about.light,
        groups=tuple(rows),
    )


class _Counted:
    """Turns records into rows and adds them up."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.frames = self.payload_bytes = self.carried_bytes = self.end = 0
        self.about = About()
        self._tracks: dict[int, TrackInfo] = {}
        self.seconds = self._before = Fraction(0)  # of all parts, of those before the last one met
        self._part = 0

    @property
    def tracks(self) -> list[TrackInfo]:
        """Tracks by their numbers; those of all parts as one."""
        return [self._tracks[number] for number in sorted(self._tracks)]

    def groups(self) -> Iterator[GroupRecord]:
        """Yield the groups, and count what stands between them."""
        for record in self._reader.records():
            if isinstance(record, GroupRecord):
                yield record
            else:
                self.carried_bytes += record.bytes
                with suppress(FormatError):  # the picture does not depend on it
                    self._carried(record)

    def _carried(self, unit: Unit) -> None:
        if unit.type == META and not self.about:
            self.about = parse_about(unit)
        elif unit.type == TRAK:
            track = parse_track(unit)
            known = self._tracks.get(track.number) or _track_info(track)
            self._tracks[track.number] = replace(known, bytes=known.bytes + unit.bytes)
        elif unit.type == PKT:
            packets = parse_packets(unit)
            number = packets[0].track
            if (told := self._tracks.get(number)) is not None:
                self._tracks[number] = replace(
                    told, packets=told.packets + len(packets), bytes=told.bytes + unit.bytes
                )

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


def _track_info(track: Track) -> TrackInfo:
    return TrackInfo(
        number=track.number,
        kind=KINDS[track.kind],
        codec=track.codec,
        language=track.language,
        title=track.title,
        dispositions=track.dispositions,
        sample_rate=track.sample_rate,
        channels=track.channels,
        packets=0,
        bytes=0,
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
    latents = latent_shape(record.frames, 1, 1, 1)[0]
    anchor = TEMPORAL_STRIDE * anchor_at(block.anchor_place, latents)
    return {
        "half_size": block.half_size,
        "quality": block.quality,
        "anchor_quality": quality.anchor,
        "anchor_frame": min(anchor, record.frames - 1),
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


def stream_size(stream: BinaryIO, read: int) -> int:
    """Return the bytes of the whole stream; of a pipe, those up to the last group."""
    return stream.seek(0, 2) if stream.seekable() else read


def _reference(header: Header) -> PackReference:
    sha256 = ""
    with suppress(FormatError):  # it names none, which only the decoder minds
        sha256 = header.main_pack.hex()
    name = next((pack.name for pack in list_packs() if pack.sha256 == sha256), None)
    return PackReference(name=name, sha256=sha256, installed=name is not None)
