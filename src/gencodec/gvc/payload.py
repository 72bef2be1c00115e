"""The payload of a GVC group: reference pictures, then the atoms of all places as one number."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from gencodec.container import (
    CODER_GVC,
    FLF2V,
    T2V,
    BytesCursor,
    GroupRecord,
    GvcBlock,
    pack_var,
    parse_var,
)
from gencodec.errors import FormatError
from gencodec.gvc.schedule import Schedule
from gencodec.symbols import Choice, choices_digest, decode_choices, encode_choices

_DIGEST_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPicture:
    """A reference picture: a `gnvc-vd` group of one frame."""

    payload: bytes
    digest: int

    @property
    def size(self) -> int:
        """Bytes in the payload of a group."""
        return len(pack_var(len(self.payload))) + _DIGEST_BYTES + len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """What the payload of a GVC group says.

    Attributes:
        pictures: that the group brings along, of its first frame before that of its last.
        choices: of the places, in order.
    """

    pictures: tuple[CodedPicture, ...]
    choices: tuple[Choice, ...]

    @property
    def digest(self) -> int:
        """CRC-32 of the pictures' digests and the choices, all as 32-bit integers."""
        digests = b"".join(_u32(picture.digest) for picture in self.pictures)
        return choices_digest(self.choices, zlib.crc32(digests))


def own_pictures(block: GvcBlock, *, closed: bool) -> int:
    """Return how many reference pictures the payload of a group holds."""
    if block.variant == T2V:
        return 0
    return int(closed) + (block.variant == FLF2V)


def latent_frames(record: GroupRecord) -> int:
    """Return the frames a group's latents stand for: its own, one before them if it depends."""
    return record.frames + (not record.closed)


def read_gvc_block(record: GroupRecord) -> GvcBlock:
    """Return the coder block of a `gvc` group.

    Raises:
        FormatError: the block breaks a rule, or the group depends on others than its variant does.
    """
    if record.coder != CODER_GVC:
        raise TypeError(f"group {record.number} is not of coder {CODER_GVC}")
    block = GvcBlock.from_bytes(record.coder_block, offset=record.offset)
    if record.dependencies not in ((), (1,)) or (block.variant == T2V and record.dependencies):
        raise FormatError(
            f"group {record.number} ({block.name}) cannot depend on groups "
            f"{', '.join(str(record.number - back) for back in record.dependencies)}",
            offset=record.offset,
        )
    return block


def pack_payload(steering: Steering, codebook: int) -> bytes:
    """Return the payload of a group."""
    parts = [
        pack_var(len(picture.payload)) + _u32(picture.digest) + picture.payload
        for picture in steering.pictures
    ]
    return b"".join(parts) + encode_choices(steering.choices, codebook)


def parse_pictures(record: GroupRecord) -> tuple[tuple[CodedPicture, ...], bytes]:
    """Return the reference pictures of a group, and the bytes of its atoms.

    Raises:
        FormatError: the payload ends early, or the block breaks a rule.
    """
    block = read_gvc_block(record)
    cursor = BytesCursor(record.payload, offset=record.offset)
    pictures = []
    for _ in range(own_pictures(block, closed=record.closed)):
        size = parse_var(cursor)
        digest = int.from_bytes(cursor.take(_DIGEST_BYTES), "little")
        pictures.append(CodedPicture(payload=cursor.take(size), digest=digest))
    return tuple(pictures), cursor.take(cursor.left)


def parse_payload(record: GroupRecord, schedule: Schedule) -> Steering:
    """Inverse of `pack_payload`; the symbols of the pictures are left to be decoded.

    Raises:
        FormatError: the payload is damaged, or does not have the group's digest.
    """
    pictures, coded = parse_pictures(record)
    choices = decode_choices(coded, schedule.sizes, schedule.block.codebook)
    steering = Steering(pictures=pictures, choices=tuple(choices))
    if steering.digest != record.digest:
        raise FormatError(
            f"atoms have digest {steering.digest:08x}, the file says {record.digest:08x}; "
            "the file is damaged",
            offset=record.offset,
        )
    return steering


def _u32(value: int) -> bytes:
    return value.to_bytes(_DIGEST_BYTES, "little")
