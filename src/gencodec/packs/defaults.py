"""What an encoder does with a pack unless told otherwise. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gencodec.geometry import ANCHOR_PAIRS
from gencodec.packs.manifest import GROUP_FRAMES_MAX
from gencodec.tiles import TilePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What an encoder does with a pack unless told otherwise; all of it is written into the file.

    Attributes:
        group_frames: frames of a group, 4n + 1; fewer where frames are large.
        group_frames_max: the most frames of a group.
        anchor_offset: quality indices the anchor of a group of one latent is better than others.
        anchor_doubling: the same, more for each doubling of the group's latents: an error of the
            anchor stays in all of them.
        half_below: quality index from which on whole pictures are coded; below, and where they
            would cost more than the lowest index, pictures of half the width and height.
        half_shift: by how many indices half-size pictures are better at equal bytes; with both 0
            there are none.
        half_tried_below: quality index from which on whole pictures are always coded; from
            `half_below` to it, both sizes are tried.
        steps: refinement steps, 0 for none.
        refine_below: groups of this quality index and above are not refined.
        noise: whether refinement starts from noise mixed into the latents.
        search_refinement: decode each group with and without refinement, at several start levels
            and with up to `steps` steps, and send what is nearest to the source.
        picture_steps: steps of descent on each anchor that is not refined, by packs with a
            judge; `gencodec.effort` sets it.
        tile_frames, tile_size, tile_overlap: windows of the transformer, in latents; 0 is whole.
        prior_frames: instead of tile_frames where the transformer works alone, in gvc, and may have
            to look further; None is tile_frames.
        vae_tile, vae_overlap: tiles of the autoencoder, in latents; 0 is whole.
    """

    group_frames: int = 129
    group_frames_max: int = GROUP_FRAMES_MAX
    anchor_offset: float = 0.0
    anchor_doubling: float = 0.0
    half_below: int = 0
    half_shift: int = 0
    half_tried_below: int = 0
    steps: int = 0
    refine_below: int = 64
    noise: bool = False
    search_refinement: bool = False
    picture_steps: int = 0
    tile_frames: int = 9
    tile_size: int = 48
    tile_overlap: int = 2
    prior_frames: int | None = None
    vae_tile: int = 0
    vae_overlap: int = 0

    def anchor_pairs(self, latents: int) -> int:
        """Return how much better an anchor before so many latents is, in pairs of indices."""
        low, high = ANCHOR_PAIRS
        indices = self.anchor_offset + self.anchor_doubling * math.log2(latents)
        return min(max(round(indices / 2), low), high)

    @property
    def tiles(self) -> TilePlan:
        """Windows of the transformer that refines decoded latents."""
        return TilePlan(frames=self.tile_frames, size=self.tile_size, overlap=self.tile_overlap)

    @property
    def prior_tiles(self) -> TilePlan:
        """Windows of the transformer alone, in gvc."""
        frames = self.tile_frames if self.prior_frames is None else self.prior_frames
        return replace(self.tiles, frames=frames)

    @property
    def vae_tiles(self) -> TilePlan:
        """Tiles of the autoencoder."""
        return TilePlan(size=self.vae_tile, overlap=self.vae_overlap)
