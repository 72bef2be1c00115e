"""How many frames a group has at most, unless told otherwise. Pure."""

from __future__ import annotations

from gencodec.errors import UsageError
from gencodec.frames import VideoInfo
from gencodec.packs.models import Defaults

_GROUP_PIXELS = 1 << 27  # of a group by default: 129 frames of 720p, 61 of 1080p
_FEWEST_FRAMES = 17  # of a group by default, however large the frames are
_GVC_FRAMES = 33  # of a group of gvc by default, as its source has it


def group_frames(asked: int | None, defaults: Defaults, info: VideoInfo) -> int:
    """Return the frames of a group: what was asked for, or what memory and the pack allow.

    Raises:
        UsageError: the length asked for is none the pack allows.
    """
    return _frames(asked, defaults.group_frames, defaults.group_frames_max, info)


def gvc_frames(asked: int | None, defaults: Defaults, info: VideoInfo) -> int:
    """Return the frames that a group of gvc stands for; as `group_frames`."""
    return _frames(asked, _GVC_FRAMES, defaults.group_frames_max, info)


def _frames(asked: int | None, usual: int, most: int, info: VideoInfo) -> int:
    if asked is None:
        fitting = _GROUP_PIXELS // (info.width * info.height)
        return min(usual, most, max(_FEWEST_FRAMES, fitting - (fitting - 1) % 4))
    if not 1 <= asked <= most or asked % 4 != 1:
        below = min(max(1, asked - (asked - 1) % 4), most)
        raise UsageError(f"--gop {asked} must be 4n + 1 and at most {most}: try {below}")
    return asked
