"""A clip as the encoders of the benchmark get it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import tiny

from gencodec.frames import Pixels, open_source
from gencodec.frames.lossless import LosslessSink

MakeSource = Callable[..., Path]


@pytest.fixture
def make_source(tmp_path: Path) -> MakeSource:
    """Return a function that keeps made pictures as the benchmark keeps clips."""

    def make(pictures: Sequence[Pixels], **info: Any) -> Path:  # noqa: ANN401
        height, width, _ = pictures[0].shape
        odd = width % 2 or height % 2
        clip = tiny.write_clip(tmp_path / f"clip.{'mkv' if odd else 'mp4'}", pictures, **info)
        path = tmp_path / "source.mov"
        with open_source(clip) as video, LosslessSink(path, video.info) as sink:
            for picture, ticks in video.pictures():
                sink.write(picture, ticks)
        return path

    return make
