"""Encoders and decoders inside PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from gencodec.errors import ExecutionError
from gencodec.frames import Pixels, open_source
from gencodec.peers.codecs import Encoder, Stream
from gencodec.peers.pictures import Geometry, coded_pictures, shown_picture
from gencodec.peers.streams import FORMATS, write_stream

_DECODERS: dict[Stream, str] = {"av1": "libdav1d"}  # FFmpeg's own needs hardware


def encode(
    encoder: Encoder, setting: float, source: Path, output: Path, *, half: bool, threads: int
) -> int:
    """Code a video and return the bytes that count.

    Args:
        encoder: which, and how.
        setting: of its dial.
        source: the video.
        output: the stream, see `streams`.
        half: code at half the width and height.
        threads: of the encoder.

    Raises:
        ExecutionError: this build of PyAV has no such encoder.
        FFmpegError: it failed.
    """
    with open_source(source) as video:
        info = video.info
    geometry = Geometry.of(info, half=half, depths=encoder.depths)
    context = _context(encoder.name, geometry, info.frame_rate)
    context.options = encoder.settings(setting, threads)
    context.thread_count = threads
    packets: list[bytes] = []
    for number, picture in enumerate(coded_pictures(source, geometry)):
        picture.pts, picture.time_base = number, context.time_base
        picture.pict_type = PictureType.NONE
        packets += map(bytes, context.encode(picture))
    packets += map(bytes, context.encode(None))
    return write_stream(output, encoder.stream, packets, geometry.coded, info.frame_rate)


def decode(kind: Stream, path: Path, geometry: Geometry, *, threads: int) -> Iterator[Pixels]:
    """Yield the pictures of a stream as RGB of full size, in the order they are shown.

    Raises:
        FFmpegError: the stream is damaged.
    """
    reformatter = VideoReformatter()
    with av.open(f"file:{path}", mode="r", format=FORMATS[kind]) as container:
        stream = container.streams.video[0]
        decoder = av.CodecContext.create(_DECODERS.get(kind, kind), "r")
        if not isinstance(decoder, VideoCodecContext):
            raise ExecutionError(f"FFmpeg's {kind} decoder is no video decoder")
        decoder.thread_count = threads
        for packet in container.demux(stream):
            for picture in decoder.decode(packet if packet.size else None):
                yield shown_picture(picture, geometry, reformatter)


def _context(name: str, geometry: Geometry, rate: Fraction) -> VideoCodecContext:
    try:
        context = av.CodecContext.create(name, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise ExecutionError(f"PyAV {av.__version__} has no encoder {name}") from error
    if not isinstance(context, VideoCodecContext):
        raise ExecutionError(f"{name} is no video encoder")
    context.width, context.height = geometry.coded
    context.pix_fmt = geometry.pixel_format
    context.colorspace, context.color_range = geometry.matrix, geometry.range
    context.time_base, context.framerate = 1 / rate, rate
    return context
