"""Small videos that the tests make themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

MakeVideo = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Return a function that writes YUV or RGB frames through a codec of choice."""

    def make(
        name: str,
        frames: Sequence[VideoFrame],
        *,
        codec: str = "ffv1",
        ticks: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 25),
        rate: Fraction = Fraction(25),
        options: dict[str, str] | None = None,
        audio: bool = False,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options)
            assert isinstance(stream, av.VideoStream)
            first = frames[0]
            stream.width, stream.height = first.width, first.height
            stream.pix_fmt = first.format.name
            stream.codec_context.time_base = time_base
            stream.codec_context.color_range = first.color_range
            stream.codec_context.colorspace = first.colorspace
            sound = container.add_stream("aac", rate=8000) if audio else None
            for index, frame in enumerate(frames):
                frame.pts = index if ticks is None else ticks[index]
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if isinstance(sound, av.AudioStream):
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
                )
                silence.sample_rate = 8000
                container.mux(sound.encode(silence))
                container.mux(sound.encode(None))
        return path

    return make


@pytest.fixture
def picture() -> Callable[..., NDArray[np.uint8]]:
    """Return a function that draws smooth coloured pictures, another one for each `at`."""

    def draw(width: int, height: int, at: int = 0) -> NDArray[np.uint8]:
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin((x + 2 * at) / 9), np.cos((y + at) / 7), np.sin((x + y - at) / 13)]
        rgb: NDArray[np.uint8] = np.stack(
            [np.round(127.5 + 90 * wave) for wave in waves], -1
        ).astype(np.uint8)
        return rgb

    return draw
