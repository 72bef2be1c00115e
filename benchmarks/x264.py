"""The yardstick: x264 through PyAV, as fast as it is or at the size of another file."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from gencodec.frames import Colour, Pixels
from gencodec.frames.colour import YuvConverter, to_rgb

_INFINITE = "100000"
_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_SEI = 6  # type of a unit of H.264; x264 puts 700 bytes with its settings there
_CRF_STEP = 0.25
_CRF_MAX = 51.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A clip coded by x264; `bytes` are those of the packets: no container, no settings text."""

    packets: tuple[bytes, ...]
    bytes: int
    crf: float
    encode_seconds: float


def encode(
    frames: Iterable[Pixels], *, crf: float, preset: str, threads: int, rate: Fraction
) -> Coded:
    """Code RGB frames of one size with an infinite key interval; sides lose an odd last pixel."""
    context, converter = None, None
    packets: list[bytes] = []
    seconds = 0.0
    for number, rgb in enumerate(frames):
        height, width = (side - side % 2 for side in rgb.shape[:2])
        if context is None or converter is None:
            context = _context(width, height, rate)
            context.thread_count = threads
            context.options = {"preset": preset, "crf": str(crf), "g": _INFINITE}
            converter = YuvConverter(width, height, pixel_format="yuv420p", colour=Colour())
        picture = converter.convert(rgb[:height, :width])
        picture.pts, picture.time_base = number, 1 / rate
        started = time.perf_counter()
        packets += [bytes(packet) for packet in context.encode(picture)]
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    packets += [bytes(packet) for packet in context.encode(None)] if context else []
    seconds += time.perf_counter() - started
    packets = [_without_sei(packet) for packet in packets]
    size = sum(map(len, packets))
    return Coded(packets=tuple(packets), bytes=size, crf=crf, encode_seconds=seconds)


def _without_sei(packet: bytes) -> bytes:
    units = _START_CODE.split(packet)[1:]
    return b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 31 != _SEI)


def decode(coded: Coded) -> Iterator[Pixels]:
    """Yield the frames as RGB."""
    decoder = av.CodecContext.create("h264", "r")
    if not isinstance(decoder, VideoCodecContext):
        raise TypeError("FFmpeg's H.264 decoder is no video decoder")
    reformatter = av.video.reformatter.VideoReformatter()
    packets = [av.Packet(data) for data in coded.packets]
    for packet in [*packets, None]:
        for picture in decoder.decode(packet):
            yield to_rgb(picture, reformatter)


def encode_to_size(attempt: Callable[[float], Coded], size: int) -> Coded:
    """Code a clip as near to `size` bytes as quarter steps of crf allow.

    Args:
        attempt: codes the clip at a crf.
        size: bytes wanted; the result is larger where even crf 51 is.
    """
    low, high = 0, round(_CRF_MAX / _CRF_STEP)
    tried: dict[int, Coded] = {}
    while low <= high:
        step = (low + high) // 2
        tried[step] = attempt(step * _CRF_STEP)
        low, high = (step + 1, high) if tried[step].bytes > size else (low, step - 1)
    return min(tried.values(), key=lambda coded: abs(np.log(coded.bytes / size)))


def _context(width: int, height: int, rate: Fraction) -> VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    if not isinstance(context, VideoCodecContext):
        raise TypeError("FFmpeg's libx264 is no video encoder")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = 1 / rate, rate
    return context
