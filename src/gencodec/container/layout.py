"""What the bytes of a .gnv file mean: constants, unit types and records, each described once.

`formats/gnv-1.md` is the same in prose; a test compares the two. The
codes are those of `fields.py`. This module knows no stream and no payload.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from fractions import Fraction

from gencodec.container.blocks import GnvcVdBlock, GvcBlock
from gencodec.container.cursor import VAR_MAX, BytesCursor
from gencodec.container.fields import VARIABLE, Record, check, pack, parse, wire
from gencodec.errors import FormatError, UnsupportedError

SIGNATURE = bytes.fromhex("8B 47 4E 56 0D 0A 1A 0A")
MARKER = bytes.fromhex("C7 D0")  # "GP" with the high bits set: a group unit
MAJOR, MINOR = 1, 0
KNOWN_INCOMPATIBLE = 0  # mask of the incompatible features this reader knows

TICK_MAX = 1 << 61  # bound on the size of any presentation time
FRAMES_MAX = 4096  # of one group
BLOCK_MAX_BYTES = 255  # of a coder block
BODY_MAX_BYTES = 1 << 28  # of a group
PROMPT_MAX_BYTES = 1000
CHECK_BYTES, CRC_BYTES = 2, 4

CODER_GNVC_VD, CODER_GVC = 1, 2

# Unit types. The case of the letters is a rule, see `is_critical`.
HEAD, END = b"HEAD", b"END!"
INDX, META, PKT, PROV, STAT, TRAK = b"iNDX", b"mETa", b"pKT_", b"pROV", b"sTAT", b"tRAK"

UNIT_MAX_BYTES = {
    HEAD: 1 << 12,
    END: 1 << 8,
    INDX: 1 << 24,
    META: 1 << 24,
    PKT: 1 << 24,
    PROV: 1 << 24,
    STAT: 1 << 20,
    TRAK: 1 << 20,
}
"""Payload bytes a unit may have."""
OTHER_MAX_BYTES = 1 << 24
"""Payload bytes a unit of any other type may have."""

_NONE = Fraction(0)
_LOWER = 0x20  # the bit that tells small from capital letters in ASCII


def is_type(code: bytes) -> bool:
    """Whether four bytes may be a unit type: letters, digits, `_`, `!`; the first is a letter."""
    return (
        len(code) == 4
        and code[:1].isalpha()
        and code.isascii()
        and all(chr(byte).isalnum() or byte in b"_!" for byte in code)
        and not code[2] & _LOWER
    )


def is_critical(code: bytes) -> bool:
    """Whether the picture needs units of this type: the first letter is a capital."""
    return not code[0] & _LOWER


def is_private(code: bytes) -> bool:
    """Whether the type belongs to an application, not to the format: the second letter is small."""
    return bool(code[1] & _LOWER)


def is_safe_to_copy(code: bytes) -> bool:
    """Whether an editor that does not know the type may keep it: the fourth letter is small."""
    return bool(code[3] & _LOWER)


def crc(data: bytes | memoryview, value: int = 0) -> int:
    """Return the CRC-32 of PNG and zlib, continued from `value`."""
    return zlib.crc32(data, value)


def header_check(header_crc: int) -> bytes:
    """Return the two bytes that guard a unit's header: the low half of its CRC-32."""
    return (header_crc & 0xFFFF).to_bytes(CHECK_BYTES, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Record):
    """First bytes of HEAD; their layout never changes."""

    major: int = wire("b4", 0, 15, "", "version; another one cannot be read", default=MAJOR)
    minor: int = wire("b4", 0, 15, "", "version that was written", default=MINOR)
    needs: int = wire("b4", 0, 15, "", "lowest minor version that can read this file", default=0)
    reserved: int = wire("b4", 0, 15, "", "0", default=0)
    incompatible: int = wire(
        "var", 0, VAR_MAX, "mask", "features a reader must know; none yet", default=0
    )
    compatible: int = wire(
        "var", 0, VAR_MAX, "mask", "features a reader may ignore; none yet", default=0
    )

    def require_readable(self, *, offset: int | None = None) -> None:
        """Refuse files that need a newer reader.

        Raises:
            UnsupportedError: names the version or the features.
        """
        name = f"{self.major}.{self.minor}"
        if self.major != MAJOR or self.needs > MINOR:
            raise UnsupportedError(
                f"format version {name} needs a reader of {self.major}.{self.needs}, this one "
                f"knows {MAJOR}.{MINOR}; upgrade gencodec",
                offset=offset,
            )
        unknown = self.incompatible & ~KNOWN_INCOMPATIBLE
        if unknown or self.reserved:
            raise UnsupportedError(
                f"the file uses features {unknown:#x} (reserved bits {self.reserved:#x}) that "
                "this version does not know; upgrade gencodec",
                offset=offset,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack(Record):
    """A model pack the decoder needs, named by content."""

    role: int = wire("u8", 0, 255, "", "0 main, 1 coder of reference pictures", default=0)
    sha256: bytes = wire("hash", 0, 0, "", "SHA-256 of the pack's canonical manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Record):
    """HEAD: everything about the whole video that the decoder needs."""

    version: Version = field(default_factory=Version)
    rotation: int = wire(
        "b2", 0, 270, "degrees", "clockwise turn that brings a picture upright", step=90, default=0
    )
    colour_range: int = wire("b2", 0, 2, "", "0 unknown, 1 limited, 2 full", default=0)
    field_order: int = wire(
        "b3", 0, 5, "", "of the source: 0 unknown, 1 progressive, 2 tt, 3 bb, 4 tb, 5 bt", default=0
    )
    constant_rate: bool = wire("b1", 0, 1, "", "every frame lasts `frame_ticks`", default=True)
    bit_depth: int = wire("b5", 1, 32, "bits", "of a sample of the source", default=8)
    chroma_location: int = wire(
        "b3", 0, 6, "", "of the source: 0 unknown, else the H.273 type plus 1", default=0
    )
    width: int = wire("var", 1, 65_535, "pixels", "as stored, before the rotation")
    height: int = wire("var", 1, 65_535, "pixels", "as stored, before the rotation")
    sample_aspect: Fraction = wire(  # noqa: RUF009
        "ratio", 0, 65_535, "", "width of a pixel over its height; 0/1 unknown", default=_NONE
    )
    time_base: Fraction = wire(  # noqa: RUF009
        "ratio", 1, 2**32 - 1, "seconds", "length of a tick"
    )
    frame_ticks: int = wire(
        "var", 1, 2**32 - 1, "ticks", "a frame lasts; an average if the rate varies"
    )
    nominal_rate: Fraction = wire(  # noqa: RUF009
        "ratio", 1, 2**32 - 1, "frames/s", "average rate", when="not constant_rate", default=_NONE
    )
    start_tick: int = wire(
        "svar", -TICK_MAX, TICK_MAX, "ticks", "presentation time of the first frame", default=0
    )
    group_frames: int = wire("var", 1, FRAMES_MAX, "frames", "of a group that says nothing else")
    primaries: int = wire(
        "u8", 0, 255, "CICP", "of the source, H.273 table 2; 2 unknown", default=2
    )
    transfer: int = wire("u8", 0, 255, "CICP", "of the source, H.273 table 3; 2 unknown", default=2)
    matrix: int = wire("u8", 0, 255, "CICP", "of the source, H.273 table 4; 2 unknown", default=2)
    noise_seed: int = wire("u32", 0, 2**32 - 1, "", "key of the noise generator", default=0)
    coder: int = wire(
        "u8",
        1,
        255,
        "",
        "of a group that says nothing else: 1 gnvc-vd, 2 gvc",
        default=CODER_GNVC_VD,
    )
    refine_tile: int = wire(
        "u8", 0, 255, "latents", "side of a window of refinement; 0 whole", default=0
    )
    refine_overlap: int = wire(
        "u8",
        0,
        255,
        "latents",
        "that windows share, in space and time, at most half a window",
        default=0,
    )
    refine_window: int = wire(
        "u8", 0, 255, "latent frames", "of a window of refinement; 0 whole", default=0
    )
    vae_tile: int = wire(
        "u8", 0, 255, "latents", "side of a tile of the autoencoder; 0 whole", default=0
    )
    vae_overlap: int = wire("u8", 0, 255, "latents", "that neighbouring tiles share", default=0)
    packs: tuple[Pack, ...] = wire("list Pack", 0, 0, "", "model packs", most=4, item=Pack)
    prompt: str = wire(
        "text", 0, PROMPT_MAX_BYTES, "", "that the flow model of gvc reads", default="", tail=True
    )

    def __post_init__(self) -> None:
        check(self)
        if self.constant_rate:
            if self.nominal_rate:
                raise ValueError("a constant rate follows from time_base and frame_ticks")
        elif self.nominal_rate <= 0:
            raise ValueError("a variable rate needs a nominal_rate above 0")

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second; an average if the rate varies."""
        return 1 / (self.time_base * self.frame_ticks) if self.constant_rate else self.nominal_rate

    @property
    def main_pack(self) -> bytes:
        """SHA-256 of the pack that decodes the pictures.

        Raises:
            FormatError: the file names none.
        """
        return self._pack(0, "main pack")

    @property
    def reference_pack(self) -> bytes:
        """SHA-256 of the pack that decodes reference pictures.

        Raises:
            FormatError: the file names none.
        """
        return self._pack(1, "pack of reference pictures")

    def _pack(self, role: int, name: str) -> bytes:
        found = next((each.sha256 for each in self.packs if each.role == role), None)
        if found is None:
            raise FormatError(f"HEAD names no {name} (role {role})")
        return found

    def to_bytes(self) -> bytes:
        """Return the payload of HEAD."""
        return pack(self.version) + pack(self)

    @classmethod
    def from_bytes(cls, data: bytes, *, offset: int = 0) -> Header:
        """Inverse of `to_bytes`; fields that a newer minor version appended are ignored.

        Raises:
            UnsupportedError: a newer reader is needed.
            FormatError: a field breaks its rule.
        """
        cursor = BytesCursor(data, offset=offset)
        version = parse(Version, cursor)
        version.require_readable(offset=offset)
        header = replace(parse(cls, cursor), version=version)
        if cursor.left and version.minor <= MINOR:
            raise FormatError(f"{cursor.left} needless bytes in HEAD", offset=cursor.offset)
        return header


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupHeader(Record):
    """The fields of a group unit between marker and coder block."""

    cut: bool = wire("b1", 0, 1, "", "the group starts at a scene cut", default=False)
    dependent: bool = wire("b1", 0, 1, "", "decoding needs other groups", default=False)
    own_length: bool = wire("b1", 0, 1, "", "`frames` is present", default=False)
    own_coder: bool = wire("b1", 0, 1, "", "`coder` is present", default=False)
    block_bytes: int = wire("rest", 0, BLOCK_MAX_BYTES, "bytes", "of the coder block", default=0)
    number: int = wire("var", 0, 2**32 - 1, "", "of the group in its part")
    first: int = wire(
        "var", 0, TICK_MAX, "frames or ticks",
        "frames before this group; if the rate varies: ticks from `start_tick` to its first frame",
    )  # fmt: skip
    frames: int = wire("var", 1, FRAMES_MAX, "frames", "in the group", when="own_length", default=0)
    coder: int = wire("u8", 1, 255, "", "of the group", when="own_coder", default=0)
    dependencies: tuple[int, ...] = wire(
        "list var", 1, 65_535, "groups", "distances back to the groups needed",
        when="dependent", most=8, default=(),
    )  # fmt: skip
    body_bytes: int = wire("var", 0, BODY_MAX_BYTES, "bytes", "of the body")
    digest: int = wire("u32", 0, 2**32 - 1, "", "CRC-32 of the decoded integers, as the coder says")

    def __post_init__(self) -> None:
        check(self)
        if any(distance > self.number for distance in self.dependencies):
            raise ValueError(f"group {self.number} depends on groups before the first one")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexItem(Record):
    """One group in INDX."""

    cut: bool = wire("b1", 0, 1, "", "as in the group", default=False)
    dependent: bool = wire("b1", 0, 1, "", "as in the group", default=False)
    own_length: bool = wire("b1", 0, 1, "", "`frames` is present", default=False)
    span: int = wire(
        "rest", 1, 2**60 - 1, "bytes", "from this group to the next one, from the last one to INDX"
    )
    frames: int = wire("var", 1, FRAMES_MAX, "frames", "in the group", when="own_length", default=0)
    ticks: int = wire(
        "var", 0, TICK_MAX, "ticks", "from the first frame of the group before, at first from "
        "`start_tick`, to the first frame", when=VARIABLE, default=0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer(Record):
    """END!: the totals of a part."""

    groups: int = wire("var", 0, 2**32, "groups", "in the part")
    frames: int = wire("var", 0, TICK_MAX, "frames", "in the part")
    part_bytes: int = wire("var", 0, 2**60, "bytes", "from the signature to this unit")
    index_bytes: int = wire("var", 0, 2**25, "bytes", "of the INDX unit before this one; 0: none")
    last_duration: int = wire(
        "var", 0, TICK_MAX, "ticks", "the last frame lasts; 0: `frame_ticks` of HEAD", default=0
    )
    digest: int = wire(
        "u32", 0, 2**32 - 1, "", "CRC-32 of the digests of all groups, as u32 in order"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackHead(Record):
    """TRAK up to the codec's own parameters; a reader of video alone skips it."""

    track: int = wire("u8", 1, 255, "", "number that PKT_ refers to")
    kind: int = wire("u8", 1, 2, "", "1 audio, 2 subtitle")
    time_base: Fraction = wire(  # noqa: RUF009
        "ratio", 1, 2**32 - 1, "seconds", "length of a tick of this track"
    )
    codec: str = wire("text", 1, 32, "", "FFmpeg's name of the codec, as `opus`")
    language: str = wire("text", 0, 35, "", "as the source has it; empty: unknown", default="")
    title: str = wire("text", 0, 255, "", "for people; empty: none", default="")
    disposition: int = wire(
        "var", 0, 2**32 - 1, "mask", "what it is for, as FFmpeg's AV_DISPOSITION", default=0
    )
    sample_rate: int = wire("var", 0, 2**32 - 1, "1/s", "0 for subtitles", default=0)
    channels: int = wire("u8", 0, 255, "", "0 for subtitles", default=0)
    delay: int = wire("var", 0, 2**32 - 1, "samples", "to drop at the start", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketHead(Record):
    """PKT_ up to the table of its packets; a reader of video alone skips it."""

    track: int = wire("u8", 1, 255, "", "as in TRAK")
    key: bool = wire("b1", 0, 1, "", "decoding can start at each of the packets", default=True)
    more: int = wire("b7", 0, 127, "packets", "after the first one", default=0)
    tick: int = wire(
        "svar",
        -TICK_MAX,
        TICK_MAX,
        "ticks",
        "presentation time of the first one in the track's time base",
    )
    duration: int = wire("var", 0, 2**32 - 1, "ticks", "of the first one; 0: unknown", default=0)


RECORDS = (
    Version, Header, Pack, GroupHeader, GnvcVdBlock, GvcBlock, IndexItem, Trailer, TrackHead,
    PacketHead,
)  # fmt: skip
"""Every record of the format, for the comparison with the specification."""
