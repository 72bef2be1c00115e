"""Coded streams as files: what encoders put out, without what they say about themselves.

H.264, HEVC and VVC are kept as Annex B byte streams, AV1 and VP9 as IVF. What counts is the bytes
of the pictures' packets with their parameter sets. What a container adds does not count (IVF's
headers), nor does x264's text about its settings or AV1's temporal delimiters, which mp4 and
Matroska leave out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from gencodec.errors import SourceError
from gencodec.peers.codecs import Stream

_START_CODE = re.compile(rb"\x00\x00\x00?\x01")
_SEI = 6  # type of a unit of H.264; x264 puts 700 bytes with its settings there
_DELIMITER = b"\x12\x00"  # AV1's temporal delimiter with its size
_IVF = struct.Struct("<4sHH4sHHIIII")  # signature, version, size, codec, size, rate, count, unused
_IVF_FRAME = struct.Struct("<IQ")  # bytes, time
_FOURCC: dict[Stream, bytes] = {"av1": b"AV01", "vp9": b"VP90"}

FORMATS: dict[Stream, str] = {
    "h264": "h264",
    "hevc": "hevc",
    "vvc": "vvc",
    "av1": "ivf",
    "vp9": "ivf",
}
"""FFmpeg's name of the file format of a stream, which is also the suffix."""


def write_stream(
    path: Path, kind: Stream, packets: Sequence[bytes], size: tuple[int, int], rate: Fraction
) -> int:
    """Write the packets of a stream, one a picture, and return the bytes that count."""
    kept = [_stripped(kind, packet) for packet in packets]
    with path.open("wb") as file:
        if kind not in _FOURCC:
            file.writelines(kept)
        else:
            head = (b"DKIF", 0, _IVF.size, _FOURCC[kind], *size)
            file.write(_IVF.pack(*head, rate.numerator, rate.denominator, len(kept), 0))
            for time, packet in enumerate(kept):
                file.write(_IVF_FRAME.pack(len(packet), time) + packet)
    return sum(map(len, kept))


def rewrite_stream(path: Path, kind: Stream) -> int:
    """Strip a stream that a program wrote, in place, and return the bytes that count.

    Raises:
        SourceError: it is no stream of this kind.
    """
    data = path.read_bytes()
    if kind not in _FOURCC:
        kept = _stripped(kind, data)
        path.write_bytes(kept)
        return len(kept)
    try:
        head = _IVF.unpack_from(data)
        packets = list(_ivf_packets(data))
    except struct.error as error:
        raise SourceError(f"{path} is no whole IVF file") from error
    return write_stream(path, kind, packets, head[4:6], Fraction(head[6], head[7] or 1))


def _ivf_packets(data: bytes) -> Iterator[bytes]:
    at = _IVF.size
    while at < len(data):
        size, _ = _IVF_FRAME.unpack_from(data, at)
        at += _IVF_FRAME.size + size
        yield data[at - size : at]


def _stripped(kind: Stream, packet: bytes) -> bytes:
    if kind == "av1":
        return packet.removeprefix(_DELIMITER)
    if kind != "h264":
        return packet
    units = _START_CODE.split(packet)[1:]
    return b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 31 != _SEI)
