"""Shapes and quality indices that follow from a group's header. Pure, shared by all who decode."""

from __future__ import annotations

from dataclasses import dataclass

from gencodec.errors import UsageError

TEMPORAL_STRIDE = 4
ANCHOR_PAIRS = (-2, 13)  # of quality indices; what a group can say
ANCHOR_PLACES = 63  # parts of a group in which its anchor's place is told
MIDDLE = 31  # of them, before an anchor that no latent frame is far from


def latent_shape(frames: int, height: int, width: int, stride: int) -> tuple[int, int, int]:
    """Return (t, h, w) of the latents of a group of frames, padding included."""
    return 1 + -(-(frames - 1) // TEMPORAL_STRIDE), -(-height // stride), -(-width // stride)


def anchor_at(place: int, latents: int) -> int:
    """Return the latent frame of a group that is coded first.

    Args:
        place: 0 the first one .. `ANCHOR_PLACES` the last.
        latents: in the group.
    """
    return (2 * place * (latents - 1) + ANCHOR_PLACES) // (2 * ANCHOR_PLACES)


def symbol_shape(latents: tuple[int, int, int], *, half_size: bool) -> tuple[int, int, int]:
    """Return the (t, h, w) of a group's symbols from that of its latents.

    Args:
        latents: from `latent_shape`.
        half_size: whether the codec saw pictures of half the width and height.
    """
    t, h, w = latents
    return (t, -(-h // 2), -(-w // 2)) if half_size else latents


def check_group_frames(frames: int, most: int) -> None:
    """Refuse a length of groups that is not 4n + 1, or more than a pack can code.

    Raises:
        UsageError: says the nearest length.
    """
    if (frames - 1) % TEMPORAL_STRIDE or not 1 <= frames <= most:
        nearest = min(max(1, 1 + TEMPORAL_STRIDE * ((frames + 1) // TEMPORAL_STRIDE)), most)
        raise UsageError(f"--gop {frames} must be 4n + 1 and at most {most}: try {nearest}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuality:
    """Quality index of the anchor, which is coded first, and of the other latent frames."""

    anchor: int
    inter: int

    def of(self, frame: int) -> int:
        """Return the quality index of a latent frame, the anchor being 0."""
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
