"""How many atoms a group gets, so that a file has the bytes it is to have. Pure.

The rate of atoms is known to the byte beforehand; what is not are the reference pictures to come.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gencodec.container import GvcBlock
from gencodec.container.blocks import GVC_ATOMS_MAX
from gencodec.errors import UsageError
from gencodec.gvc.schedule import Schedule
from gencodec.symbols import choices_bits, choices_bytes

_FILE_OVERHEAD = 51  # bytes of a file's end, besides the header that comes again
_PICTURES = 0.5  # of what is left, for the reference pictures to come


@dataclass(slots=True, kw_only=True)
class Ahead:
    """What is left to code, as far as the first pass knows.

    Attributes:
        wanted: bytes of the file without what is carried; of a pipe, of a frame.
        latents: latent frames of all groups from the next one on; empty for a pipe.
        pictures: reference pictures of each of them.
        picture_bytes: of those coded so far, and their number.
        header_bytes: of the header that comes again, once it is written the first time.
    """

    wanted: float | None
    latents: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    picture_bytes: tuple[int, int] = (0, 0)
    header_bytes: int = 0

    def bytes_for(self, written: int, frames: int, framing: int, pictures: int) -> float:
        """Return the bytes that the atoms of the next group may take.

        Args:
            written: bytes of the video written so far.
            frames: in the file behind this group.
            framing: bytes of a group besides its payload.
            pictures: bytes of this group's reference pictures.
        """
        left = self._left(written, frames) - pictures
        if not self.latents:
            return left - framing
        spent, count = self.picture_bytes
        spent, count = spent + pictures, count + self.pictures[0]
        self.picture_bytes = spent, count
        left -= sum(self.pictures[1:]) * spent / count if count else 0.0
        left -= framing * len(self.latents)
        return left * self.latents[0] / sum(self.latents)

    def bytes_for_picture(self, written: int, frames: int, count: int) -> float:
        """Return the bytes that each reference picture of the next group may take.

        Args:
            written: bytes of the video written so far.
            frames: in the file behind this group.
            count: reference pictures of this group, at least one.
        """
        return _PICTURES * self._left(written, frames) / (sum(self.pictures) or count)

    def _left(self, written: int, frames: int) -> float:
        wanted = (self.wanted or 0.0) * (1 if self.latents else frames)
        return wanted - _FILE_OVERHEAD - self.header_bytes - written


def checked(block: GvcBlock, latents: int) -> GvcBlock:
    """Return a block whose atoms were asked for.

    Raises:
        UsageError: they are too many for a group.
    """
    most = 16 * GVC_ATOMS_MAX // ((16 + block.tail_share) * latents * block.coded_steps)
    if block.atoms > most * block.coded_steps:
        raise UsageError(
            f"--atoms {block.atoms // block.coded_steps} is too much for groups of {latents} "
            f"latent frames and {block.coded_steps} coded steps, at most {most}; "
            "or take a smaller --gop"
        )
    return block


def fitted(block: GvcBlock, latents: int, budget: float) -> GvcBlock:
    """Return a block with the most atoms whose choices take at most `budget` bytes.

    None where no latent frame gets any, since its reference pictures say it all.
    """
    bits = 8 * budget

    def at(atoms: int) -> GvcBlock:
        return replace(block, atoms=atoms)

    def sizes(atoms: int) -> list[int]:
        return Schedule(at(atoms), latents).sizes

    low, high = 0, 1 + _most(block, latents)
    while high - low > 1:
        middle = (low + high) // 2
        fits = choices_bits(sizes(middle), block.codebook) <= bits
        low, high = (middle, high) if fits else (low, middle)
    while low and choices_bytes(sizes(low), block.codebook) > budget:
        low -= 1
    return at(low if any(sizes(low)) else 0)


def _most(block: GvcBlock, latents: int) -> int:
    """Return the largest number of atoms: half the codebook a step, and what a group may have."""
    share = 16 + block.tail_share
    codebook = 16 * (block.codebook // 2) * block.coded_steps // share
    return min(codebook, 16 * GVC_ATOMS_MAX // (share * latents))
