"""How many frames a group has at most, unless told otherwise. Pure."""

from __future__ import annotations

import math

from gencodec.frames import GroupLength, VideoInfo
from gencodec.geometry import check_group_frames
from gencodec.packs.defaults import Defaults

_GROUP_PIXELS = 1 << 27  # of a group by default: 129 frames of 720p, 61 of 1080p
_FEWEST_FRAMES = 17  # of a group by default, however large the frames are
_GVC_FRAMES = 33  # of a group of gvc by default, as its source has it
_MOST_CHANGE = 200.0  # inside a group by default; see docs/log.md, 2026-11-30


def group_length(asked: int | None, defaults: Defaults, info: VideoInfo) -> GroupLength:
    """Return what was asked for, or what memory, the pack and the motion in the video allow.

    Raises:
        UsageError: the length asked for is none the pack allows.
    """
    frames = _frames(asked, defaults.group_frames, defaults.group_frames_max, info)
    return GroupLength(frames=frames, change=_MOST_CHANGE if asked is None else math.inf)


def gvc_frames(asked: int | None, defaults: Defaults, info: VideoInfo) -> int:
    """Return the frames that a group of gvc stands for; as `group_length`."""
    return _frames(asked, _GVC_FRAMES, defaults.group_frames_max, info)


def _frames(asked: int | None, usual: int, most: int, info: VideoInfo) -> int:
    if asked is None:
        fitting = _GROUP_PIXELS // (info.width * info.height)
        return min(usual, most, max(_FEWEST_FRAMES, fitting - (fitting - 1) % 4))
    check_group_frames(asked, most)
    return asked
