"""Clips with sound, subtitles, tags and chapters, and what is heard in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from tests import tiny

from gencodec.frames.muxing import ASS_HEADER

RATE = 48_000
CREATED = "2024-05-06T07:08:09.000000Z"
PLACE = "+12.3400-098.7600/"


def write(
    path: Path,
    *,
    seconds: int = 2,
    codecs: tuple[str, ...] = ("aac",),
    subtitles: str = "",
    delay: Fraction = Fraction(0),
    dispositions: tuple[int, ...] = (),
) -> Path:
    """Write 32x24 pictures, one click every half second per track, tags and two chapters.

    `dispositions` are those of the sound and then of the subtitles, in .mkv.
    """
    options = {"default_mode": "passthrough"} if dispositions else {}
    with av.open(str(path), "w", container_options=options) as container:
        container.metadata.update(title="a walk", creation_time=CREATED, location=PLACE)
        video = container.add_stream("libx264", rate=25, options={"bf": "2"})
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        video.metadata["language"] = "nld"
        tracks: list[Any] = [container.add_stream(codec, rate=RATE) for codec in codecs]
        for number, track in enumerate(tracks):
            track.metadata["language"] = ("deu", "fra", "jpn")[number]
        words = container.add_stream(subtitles) if subtitles else None
        if words is not None:
            words.metadata["language"] = "eng"
            words.time_base = Fraction(1, 1000)
            words.codec_context.subtitle_header = ASS_HEADER  # type: ignore[union-attr]
        beside = [*tracks, *([] if words is None else [words])]
        for stream, purpose in zip(beside, dispositions, strict=False):
            stream.disposition = Disposition(purpose)
        container.set_chapters([chapter(1, 0, 700, "One"), chapter(2, 700, 1000 * seconds, "Two")])
        for n, rgb in enumerate(tiny.clip(32, 24, 25 * seconds)):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(video.encode(picture))
            if n == 10 and words is not None:
                line = av.Packet(b"hello")
                line.stream, line.time_base = words, Fraction(1, 1000)
                line.pts = line.dts = 400
                line.duration = 700
                container.mux(line)
        container.mux(video.encode(None))
        for number, track in enumerate(tracks):
            container.mux([*track.encode(clicks(seconds, number, delay)), *track.encode(None)])
    return path


def chapter(number: int, start: int, end: int, title: str) -> Any:  # noqa: ANN401 - PyAV's
    """Return a chapter; times in milliseconds."""
    times = {"start": start, "end": end, "time_base": Fraction(1, 1000)}
    return {"id": number, **times, "metadata": {"title": title}}


def clicks(seconds: int, number: int, delay: Fraction) -> av.AudioFrame:
    """Return sound that is silent but for short tones at 0.25 s and every half second after it."""
    time = np.arange(RATE * seconds) / RATE
    on = ((time - 0.25) % 0.5 < 0.02) & (time >= 0.25)
    tone = (0.5 * np.sin(2 * np.pi * 1000 * (number + 1) * time) * on).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
    frame.pts = round(delay * RATE)
    return frame


def heard(path: Path, track: int = 0) -> list[float]:
    """Return the seconds at which tones begin."""
    pieces: list[tuple[int, Any]] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        rate = stream.rate
        for frame in container.decode(stream):
            assert frame.pts is not None
            samples = frame.to_ndarray()
            mono = samples[0] if frame.format.is_planar else samples.reshape(-1, 2)[:, 0]
            assert frame.time_base is not None
            pieces.append((round(frame.pts * frame.time_base * rate), mono.astype(np.float64)))
    start = pieces[0][0]
    heard = np.zeros(pieces[-1][0] - start + len(pieces[-1][1]))
    for at, mono in pieces:  # where two overlap, players let the later one win
        heard[at - start : at - start + len(mono)] = mono[: len(heard) - at + start]
    wave = np.abs(heard)
    loud = np.flatnonzero(wave > 0.25 * wave.max())
    begins = [loud[0], *loud[1:][np.diff(loud) > rate // 10]]
    return [float((begin + start) / rate) for begin in begins]
