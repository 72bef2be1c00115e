"""What an encoder may choose about GVC; all of it is written into the file."""

from __future__ import annotations

from dataclasses import dataclass

from gencodec.container import FLF2V, I2V, PROMPT_MAX_BYTES, T2V, VARIANTS, GvcBlock
from gencodec.container.blocks import GVC_ATOMS_MAX, GVC_CODEBOOK_MAX
from gencodec.errors import UsageError

BEST_REFERENCE = 32  # quality index of a reference picture, unless told otherwise
_HD_ROWS = 720
_RANGES = {
    "steps": (1, 255),
    "plain_steps": (0, 31),
    "codebook": (2, GVC_CODEBOOK_MAX),
    "g_scale": (0, 255 / 32),
    "shift": (1, 255 / 16),
    "reference_quality": (0, 63),
    "tail_frames": (0, 255),
    "tail_share": (0, 255 / 16),
    "segment": (1, 65_535),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GvcSettings:
    """Settings of the coder `gvc`.

    Attributes:
        variant: "t2v", "i2v" or "flf2v".
        steps: of the sampler.
        plain_steps: the last of them, which get no atoms.
        codebook: atoms to choose from at each step of each latent frame.
        atoms: chosen at each step of each latent frame; None follows the target.
        g_scale: strength of the sampler's noise.
        shift: of the noise levels towards noise; None is 5 from 720 rows on, else 3.
        cache: evaluate the network at every other step only.
        reference_quality: quality index of the reference pictures of i2v and flf2v; None is 32, and
            less where a rate is asked for of which they would take more than half.
        tail_frames, tail_share: i2v: the last latent frames, and how many times the atoms they have
            more.
        segment: i2v: groups from one coded reference picture to the next.
        prompt: text that the flow model reads; the decoder needs the pack's text encoder, too.

    Source: the defaults are those of GVCC, arXiv 2603.26571.
    """

    variant: str = "t2v"
    steps: int = 20
    plain_steps: int = 3
    codebook: int = 16_384
    atoms: int | None = None
    g_scale: float = 3.0
    shift: float | None = None
    cache: bool = False
    reference_quality: int | None = None
    tail_frames: int = 2
    tail_share: float = 1.0
    segment: int = 8
    prompt: str = ""

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise UsageError(f"no variant gvc-{self.variant}; there are {', '.join(VARIANTS)}")
        for name, (low, high) in _RANGES.items():
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), low, high)
        if self.plain_steps >= self.steps:
            raise UsageError(
                f"{self.steps} steps, the last {self.plain_steps} without atoms, leave nothing to "
                f"steer; take at least {self.plain_steps + 1}"
            )
        if self.reference_quality is not None and self.number == T2V:
            raise UsageError("gvc-t2v has no reference pictures; leave out --reference-quality")
        if self.atoms is not None:
            _check("atoms", self.atoms, 0, self.most_atoms)
        _check("bytes of the prompt", len(self.prompt.encode()), 0, PROMPT_MAX_BYTES)

    @property
    def most_atoms(self) -> int:
        """The largest `atoms`: no frame may have more than the codebook."""
        tail = self.tail_share if self.variant == VARIANTS[I2V] else 0
        return int(min(self.codebook, GVC_ATOMS_MAX / self.steps) / (1 + tail))

    @property
    def number(self) -> int:
        """Of the variant, in the format."""
        return VARIANTS.index(self.variant)

    def is_closed(self, group: int, *, cut: bool) -> bool:
        """Return whether a group is to be decodable alone."""
        if self.number == T2V or group == 0 or cut:
            return True
        return self.number == I2V and group % self.segment == 0

    def block(self, rows: int) -> GvcBlock:
        """Return the settings as a file holds them, for frames of so many rows; levels are 0."""
        quality = BEST_REFERENCE if self.reference_quality is None else self.reference_quality
        shift = (5.0 if rows >= _HD_ROWS else 3.0) if self.shift is None else self.shift
        tail = self.number == I2V
        atoms = 0 if self.atoms is None else self.atoms * (self.steps - self.plain_steps)
        return GvcBlock(
            variant=self.number,
            cache=self.cache,
            plain_steps=self.plain_steps,
            steps=self.steps,
            g_scale=round(32 * self.g_scale),
            shift=round(16 * shift),
            codebook=self.codebook,
            atoms=atoms,
            quality=quality if self.number in (I2V, FLF2V) else 0,
            tail_frames=self.tail_frames if tail else 0,
            tail_share=round(16 * self.tail_share) if tail else 0,
        )


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"gvc {name.replace('_', ' ')} is {value}, must be {low:g} to {high:.9g}")
