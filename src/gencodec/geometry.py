"""Shapes and quality indices that follow from a group's header. Pure, shared by all who decode."""

from __future__ import annotations

from dataclasses import dataclass

TEMPORAL_STRIDE = 4


def latent_shape(frames: int, height: int, width: int, stride: int) -> tuple[int, int, int]:
    """Return (t, h, w) of the latents of a group of frames, padding included."""
    return 1 + -(-(frames - 1) // TEMPORAL_STRIDE), -(-height // stride), -(-width // stride)


ANCHOR_PAIRS = (-2, 13)  # of quality indices; what a group can say


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuality:
    """Quality index of the anchor and of the other latent frames of a group."""

    anchor: int
    inter: int

    def of(self, frame: int) -> int:
        """Return the quality index of a latent frame."""
        return self.anchor if frame == 0 else self.inter


def group_quality(quality: int, anchor_offset: int, qualities: int) -> GroupQuality:
    """Return the quality indices of a group's latent frames, clamped to those that exist.

    Args:
        quality: index of the group.
        anchor_offset: pairs of indices by which the anchor is better.
        qualities: number of indices.
    """
    top = qualities - 1
    return GroupQuality(
        anchor=min(max(quality + 2 * anchor_offset, 0), top), inter=min(max(quality, 0), top)
    )
