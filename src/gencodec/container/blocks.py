"""The coder blocks: what a coder says about one group, each described once as in `layout.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gencodec.container.cursor import BytesCursor
from gencodec.container.fields import Record, check, pack, parse, wire
from gencodec.errors import UnsupportedError
from gencodec.geometry import ANCHOR_PAIRS, ANCHOR_PLACES

T2V, I2V, FLF2V = 0, 1, 2
VARIANTS = ("t2v", "i2v", "flf2v")
"""Names of the variants of `gvc`, by number."""

USES_NOISE, HALF_SIZE = 1, 2  # bits of the flags of `GnvcVdBlock`

GVC_CODEBOOK_MAX = 1 << 20  # atoms of a codebook
GVC_ATOMS_MAX = 1 << 18  # chosen atoms of a group


class CoderBlock(Record):
    """Settings of a coder for one group."""

    __slots__ = ()

    def to_bytes(self) -> bytes:
        """Return the coder block."""
        return pack(self)

    @classmethod
    def from_bytes(cls, block: bytes, *, offset: int = 0) -> Self:
        """Inverse of `to_bytes`.

        Raises:
            UnsupportedError: the block is longer than this version knows.
            FormatError: a field breaks its rule.
        """
        cursor = BytesCursor(block, offset=offset)
        settings = parse(cls, cursor)
        if cursor.left:
            raise UnsupportedError(
                f"the coder block has {cursor.left} bytes this version does not know; "
                "upgrade gencodec",
                offset=cursor.offset,
            )
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class GnvcVdBlock(CoderBlock):
    """Coder block of coder 1, `gnvc-vd`; 3 bytes or 4."""

    quality: int = wire("b6", 0, 63, "index", "of the quality; larger is better and costs more")
    anchor_offset: int = wire(
        "b4",
        *ANCHOR_PAIRS,
        "pairs",
        "of indices added to `quality` for the anchor, then clamped",
        default=0,
    )
    steps: int = wire("b4", 0, 15, "steps", "of refinement; 0: none", default=0)
    start_level: int = wire(
        "b10", 0, 1000, "1/1000", "share of noise (sigma) that refinement starts from", default=0
    )
    flags: int = wire(
        "b2", 0, USES_NOISE | HALF_SIZE, "mask", "1 noise, 2 half size", default=0, tail=True
    )
    anchor_place: int = wire(
        "b6",
        0,
        ANCHOR_PLACES,
        "1/63",
        "of the way through the group, to the latent frame that is coded first",
        default=0,
        tail=True,
    )

    @property
    def uses_noise(self) -> bool:
        """Whether refinement starts from latents mixed with noise."""
        return bool(self.flags & USES_NOISE)

    @property
    def half_size(self) -> bool:
        """Whether the codec saw pictures of half the width and height."""
        return bool(self.flags & HALF_SIZE)

    def __post_init__(self) -> None:
        check(self)
        if self.steps and not self.start_level:
            raise ValueError(f"{self.steps} steps of refinement need a start level above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class GvcBlock(CoderBlock):
    """Coder block of coder 2, `gvc`."""

    variant: int = wire("b2", 0, 2, "", "0 t2v, 1 i2v, 2 flf2v")
    cache: bool = wire("b1", 0, 1, "", "the estimate is used twice, see gvc-1", default=False)
    plain_steps: int = wire("b5", 0, 31, "steps", "at the end, without atoms and noise")
    steps: int = wire("u8", 1, 255, "steps", "of the sampler")
    g_scale: int = wire("u8", 0, 255, "1/32", "strength of the sampler's noise")
    shift: int = wire("u8", 16, 255, "1/16", "of the noise levels towards noise")
    codebook: int = wire("var", 2, GVC_CODEBOOK_MAX, "atoms", "of a codebook")
    atoms: int = wire(
        "var", 0, GVC_ATOMS_MAX, "atoms", "chosen for a latent frame in all its steps"
    )
    quality: int = wire("u8", 0, 63, "index", "of the reference pictures", default=0, tail=True)
    start_level: int = wire(
        "var", 0, 1000, "1/1000", "the first latent frame is held above it", default=0, tail=True
    )
    end_level: int = wire(
        "var", 0, 1000, "1/1000", "the last latent frame is held above it", default=0, tail=True
    )
    tail_frames: int = wire(
        "u8", 0, 255, "latent frames", "the last ones, that have more atoms", default=0, tail=True
    )
    tail_share: int = wire(
        "u8", 0, 255, "1/16", "of the atoms, that they have more", default=0, tail=True
    )

    def __post_init__(self) -> None:
        check(self)
        if self.plain_steps >= self.steps:
            raise ValueError(f"{self.plain_steps} plain steps of {self.steps} leave none to steer")
        most = -(-self.tail_atoms // self.coded_steps)
        if most > self.codebook:
            raise ValueError(f"{most} atoms of a step from a codebook of {self.codebook}")

    @property
    def coded_steps(self) -> int:
        """Steps that atoms are chosen for."""
        return self.steps - self.plain_steps

    @property
    def tail_atoms(self) -> int:
        """Atoms of each of the last `tail_frames` latent frames."""
        return self.atoms + self.atoms * self.tail_share // 16

    @property
    def name(self) -> str:
        """The variant as people call it."""
        return VARIANTS[self.variant]
