"""Decoded frames and what is heard with them, written to an output in step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from gencodec.decoding import Decoder
from gencodec.frames import Frame, FrameSink


@dataclass(slots=True)
class Written:
    """What came out."""

    frames: int = 0
    seconds: Fraction = Fraction(0)  # from the first frame to the end of the last


def write_shown(
    decoder: Decoder,
    shown: Iterator[Frame],
    sink: FrameSink,
    start: Fraction | None,
    end: Fraction | None,
) -> Written:
    """Write frames, and the packets that belong to them.

    Args:
        decoder: what the frames come from.
        shown: the frames.
        sink: the output; a part that does not begin at the start begins at 0 there.
        start: seconds from the first frame of the video where the part begins; None: all.
        end: seconds from the first frame where it ends.
    """
    written = Written()
    base = decoder.info.time_base
    zero = decoder.reader.header.start_tick * base
    low, high = None, None if end is None else zero + end
    first, shift = 0, Fraction(0)
    for frame in shown:
        if not written.frames:
            first = frame.ticks
            if start is not None:
                low, shift = first * base, -first * base
        sink.write(replace(frame, ticks=frame.ticks + round(shift / base)))
        for packet in decoder.separator.released(low, high, shift):
            sink.write_packet(packet)
        written.frames += 1
        written.seconds = (frame.ticks - first + decoder.info.frame_ticks) * base
    if written.frames:
        for packet in decoder.separator.released(low, high, shift):
            sink.write_packet(packet)
    return written
