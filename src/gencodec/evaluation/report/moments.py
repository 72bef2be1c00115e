"""The videos of a clip at one rate, read together: the same moment of all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from gencodec.errors import SourceError
from gencodec.evaluation.results import Clip
from gencodec.frames import Pixels, open_source

SOURCE = "source"
"""What the reference is called among the codecs."""

Videos = Mapping[str, Path]
"""Codec -> decoded video of a clip; `SOURCE` first."""


def upright_size(clip: Clip) -> tuple[int, int]:
    """Return width and height of a clip's pictures as they are looked at."""
    if clip.rotation % 180:
        return clip.height, clip.width
    return clip.width, clip.height


def moments(clip: Clip, videos: Videos) -> Iterator[tuple[Pixels, ...]]:
    """Yield the frames of all videos, uint8 [H, W, 3] upright, one tuple a moment.

    Raises:
        SourceError: a video cannot be read, or has another size or number of frames than the clip.
    """
    quarters = -clip.rotation // 90 % 4  # np.rot90 turns counter-clockwise
    with ExitStack() as opened:
        sources = [opened.enter_context(open_source(path)) for path in videos.values()]
        for path, source in zip(videos.values(), sources, strict=True):
            info = source.info
            if (info.width, info.height) != (clip.width, clip.height):
                raise SourceError(
                    f"{path} is {info.width}x{info.height}, but {clip.name} is "
                    f"{clip.width}x{clip.height}; delete it from the cache and measure again"
                )
        streams = [source.frames() for source in sources]
        for number in range(clip.frames):
            frames = [next(stream, None) for stream in streams]
            for path, frame in zip(videos.values(), frames, strict=True):
                if frame is None:
                    raise SourceError(
                        f"{path} ends after {number} of {clip.frames} frames; delete it from the "
                        "cache and measure again"
                    )
            yield tuple(np.rot90(frame.rgb, quarters) for frame in frames if frame is not None)
