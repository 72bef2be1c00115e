"""Which noise levels the sampler goes through, and where atoms steer it. Pure; follows the file.

sigma is the share of noise: 1 is noise, 0 is clean; velocity is noise minus data.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from gencodec.container import FLF2V, T2V, GvcBlock
from gencodec.container.blocks import GVC_ATOMS_MAX
from gencodec.errors import FormatError

_LEVEL_UNIT = 1000
_SHIFT_UNIT, _SCALE_UNIT = 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One step of one latent frame that atoms are chosen for."""

    step: int
    frame: int
    atoms: int


@dataclass(frozen=True)
class Schedule:
    """The sampler's course through one group.

    Attributes:
        block: settings of the group.
        frames: latent frames of the group.
    """

    block: GvcBlock
    frames: int

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """Noise levels, steps + 1 of them, falling from 1 to 0.

        Source: GVCC, arXiv 2603.26571: t' = shift t / (1 + (shift - 1) t).
        """
        return tuple(map(float, self._exact))

    @cached_property
    def _exact(self) -> tuple[Fraction, ...]:
        shift, steps = Fraction(self.block.shift, _SHIFT_UNIT), self.block.steps
        even = (Fraction(steps - k, steps) for k in range(steps + 1))
        return tuple(shift * t / (1 + (shift - 1) * t) for t in even)

    def strength(self, step: int) -> float:
        """Return g of a step: what the sampler's noise grows with.

        Source: GVCC, arXiv 2603.26571: g = g_scale t^2.
        """
        return self.block.g_scale / _SCALE_UNIT * self.levels[step] ** 2

    def computed(self, step: int) -> bool:
        """Whether the network makes a new estimate at a step; otherwise the last one serves.

        The first and the last step are computed, and never two in a row are not.
        """
        return not self.block.cache or step == 0 or (self.block.steps - 1 - step) % 2 == 0

    @property
    def evaluations(self) -> int:
        """Evaluations of the network."""
        return sum(map(self.computed, range(self.block.steps)))

    @property
    def held(self) -> dict[int, int]:
        """Latent frames that reference pictures hold -> thousandths above which they do.

        Where a group has one latent frame, it is the first one.
        """
        block = self.block
        held = {} if block.variant == T2V else {0: block.start_level}
        if block.variant == FLF2V and self.frames > 1:
            held[self.frames - 1] = block.end_level
        return held

    def is_held(self, step: int, frame: int) -> bool:
        """Whether a reference picture decides on a latent frame at a step."""
        level = self.held.get(frame)
        return level is not None and self._exact[step] * _LEVEL_UNIT > level

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where atoms are chosen, step by step, frame by frame.

        Raises:
            FormatError: there are more atoms than a group may have.
        """
        block, steps = self.block, self.block.coded_steps
        found = []
        for step in range(steps):
            for frame in range(self.frames):
                tail = frame >= self.frames - block.tail_frames
                total = block.tail_atoms if tail else block.atoms
                atoms = total // steps + (step < total % steps)
                if atoms and not self.is_held(step, frame):
                    found.append(Place(step=step, frame=frame, atoms=atoms))
        total = sum(place.atoms for place in found)
        if total > GVC_ATOMS_MAX:
            raise FormatError(f"a group of {total} atoms, at most {GVC_ATOMS_MAX}")
        return tuple(found)

    @property
    def sizes(self) -> list[int]:
        """Atoms of every place."""
        return [place.atoms for place in self.places]
