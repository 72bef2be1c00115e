"""Sound and subtitles of a source as coded packets.

Times are those of the source: what comes in at a moment goes out at that moment, to a sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, cast

import av
from av import AudioFrame, Packet
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.filter import Graph
from av.stream import Stream

from gencodec.carried import AUDIO, SUBTITLE, Track, TrackPacket
from gencodec.frames.tracks import Plan, codec_name

_OPUS_RATE = 48_000
_KEPT_LAYOUT_BITS = 16  # kilobits per channel that more than two channels are worth
_LONG_FRAME_BITS = 32  # kilobits below which a packet holds 60 ms instead of 20
_GAP_SECONDS = Fraction(1, 100)  # of missing sound before silence takes its place


class _Way(Protocol):
    """Turns packets of a stream into packets of a track."""

    track: Track

    def feed(self, packet: Packet[Stream]) -> Iterator[TrackPacket]:
        """Take a packet, an empty one at the end, and yield what is ready."""


class TrackCoder:
    """Codes the tracks of one way through a source.

    Attributes:
        tracks: known after `begin`; a settled plan makes one of each stream.
        notes: what people should know.
    """

    def __init__(self, plan: Plan, *, keep: bool = True) -> None:
        """Prepare.

        Args:
            plan: what to carry; more than one way of a stream only without `keep`.
            keep: whether `take` gives the packets; if not, only their sizes matter.
        """
        self._plan = plan
        self._keep = keep
        self._ways: dict[int, list[_Way]] = {}
        self._sizes: dict[tuple[int, int], _Sizes] = {}
        self._ready: deque[TrackPacket] = deque()
        self._bases: dict[int, Fraction] = {}
        self.tracks: list[Track] = []
        self.notes: list[str] = []

    def begin(self, streams: Sequence[Stream]) -> None:
        """Set up the tracks of an opened source."""
        for number, index in enumerate(self._plan, start=1):
            stream = streams[index]
            for kilobits in self._plan[index]:
                way: _Way
                if kilobits is None:
                    way = _Copy(stream, number)
                else:
                    way = _Opus(cast("AudioStream", stream), number, kilobits, self.notes)
                self._ways.setdefault(index, []).append(way)
            self.tracks.append(self._ways[index][0].track)
            self._bases[number] = self.tracks[-1].time_base

    def feed(self, packet: Packet[Stream]) -> None:
        """Code a packet of any stream of the source."""
        for position, way in enumerate(self._ways.get(packet.stream.index, ())):
            for made in way.feed(packet):
                sizes = self._sizes.setdefault((packet.stream.index, position), _Sizes())
                sizes.data += len(made.data)
                sizes.packets += 1
                if self._keep:
                    self._ready.append(made)

    def take(self, before: Fraction | None) -> list[TrackPacket]:
        """Return the packets that begin before a moment (in seconds), all if it is None."""
        taken: list[TrackPacket] = []
        kept: deque[TrackPacket] = deque()
        for packet in self._ready:
            early = before is None or packet.tick * self._bases[packet.track] < before
            (taken if early else kept).append(packet)
        self._ready = kept
        return taken

    def size(self, plan: Plan) -> tuple[int, int]:
        """Return bytes and number of packets in the ways of a settled plan, all own ones."""
        found = [self._of(index, self._plan[index].index(way)) for index, (way,) in plan.items()]
        return sum(each.data for each in found), sum(each.packets for each in found)

    def measured(self) -> dict[int, int]:
        """Return what `settle` asks for."""
        return {
            index: self._of(index, 0).data - self._of(index, 1).data
            for index, ways in self._plan.items()
            if len(ways) > 1
        }

    def _of(self, index: int, position: int) -> _Sizes:
        return self._sizes.get((index, position), _Sizes())


@dataclass(slots=True)
class _Sizes:
    """What one way of a stream made."""

    data: int = 0
    packets: int = 0


def _track(stream: Stream, number: int, kind: int, codec: str, time_base: Fraction) -> Track:
    language = stream.metadata.get("language", "")
    return Track(
        number=number,
        kind=kind,
        codec=codec,
        time_base=time_base,
        language="" if language == "und" else _shortened(language, 35),
        title=_shortened(stream.metadata.get("title") or stream.metadata.get("name") or "", 255),
        disposition=int(stream.disposition) & (2**32 - 1),
    )


def _shortened(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


class _Copy:
    """Packets as they are; a recording that starts again is joined to what came before."""

    def __init__(self, stream: Stream, number: int) -> None:
        base = _track(stream, number, SUBTITLE, codec_name(stream), stream.time_base or Fraction(1))
        if isinstance(stream, AudioStream):
            context = stream.codec_context
            base = replace(
                base,
                kind=AUDIO,
                sample_rate=context.sample_rate,
                channels=context.layout.nb_channels,
                delay=max(0, context.delay or 0),
            )
        self.track = replace(base, setup=stream.codec_context.extradata or b"")
        self._second = round(1 / base.time_base)
        self._end: int | None = None
        self._shift = 0

    def feed(self, packet: Packet[Stream]) -> Iterator[TrackPacket]:
        if packet.size == 0 or (self.track.codec == "mov_text" and bytes(packet)[:2] == b"\0\0"):
            return  # the end, or what mov puts between subtitles
        told = packet.pts if packet.pts is not None else packet.dts
        tick = self._end if told is None else told + self._shift
        if tick is None:
            tick = 0
        if self._end is not None and tick <= self._end - self._second:
            self._shift += self._end - tick
            tick = self._end
        duration = min(max(0, packet.duration or 0), 2**32 - 1)
        self._end = tick + duration
        yield TrackPacket(
            track=self.track.number,
            tick=tick,
            duration=duration,
            data=bytes(packet),
            key=packet.is_keyframe,
        )


class _Opus:
    """Sound decoded, brought to 48 kHz without losing its place in time, coded as Opus."""

    def __init__(self, stream: AudioStream, number: int, kilobits: int, notes: list[str]) -> None:
        layout = stream.codec_context.layout
        if layout.nb_channels > 2 and kilobits < _KEPT_LAYOUT_BITS * layout.nb_channels:
            notes.append(
                f"{layout.nb_channels} channels become 2 at {kilobits} kbit/s of Opus; "
                f"--audio opus:{_KEPT_LAYOUT_BITS * layout.nb_channels} keeps them"
            )
            layout = av.AudioLayout("stereo")
        self._layout = layout.name
        self._graph: Graph | None = None
        self._shape: tuple[str, int, str] | None = None
        self._encoder = _opus_encoder(self._layout, kilobits)
        base = _track(stream, number, AUDIO, "opus", Fraction(1, _OPUS_RATE))
        self.track = replace(
            base,
            sample_rate=_OPUS_RATE,
            channels=self._encoder.layout.nb_channels,
            delay=max(0, self._encoder.delay or 0),
            setup=self._encoder.extradata or b"",
        )

    def feed(self, packet: Packet[Stream]) -> Iterator[TrackPacket]:
        try:
            frames = cast("list[AudioFrame]", packet.decode())
        except av.InvalidDataError:
            frames = []  # silence takes its place
        for frame in frames:
            for made in self._through(frame):
                yield from self._packets(self._encoder.encode(made))
        if packet.size == 0:
            for made in self._drained():
                yield from self._packets(self._encoder.encode(made))
            yield from self._packets(self._encoder.encode(None))

    def _through(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        shape = frame.format.name, frame.sample_rate, frame.layout.name
        if shape != self._shape:
            yield from self._drained()
            self._shape = shape
            self._graph = _resampler(frame, self._layout, self._encoder.frame_size)
        if self._graph is not None:
            self._graph.push(frame)
            yield from _pulled(self._graph)

    def _drained(self) -> Iterator[AudioFrame]:
        if self._graph is not None:
            self._graph.push(None)
            yield from _pulled(self._graph)
            self._graph = None

    def _packets(self, made: Sequence[Packet[AudioStream]]) -> Iterator[TrackPacket]:
        for packet in made:
            yield TrackPacket(
                track=self.track.number,
                tick=round((packet.pts or 0) * (packet.time_base * _OPUS_RATE)),
                duration=round((packet.duration or 0) * (packet.time_base * _OPUS_RATE)),
                data=bytes(packet),
            )


def _opus_encoder(layout: str, kilobits: int) -> AudioCodecContext:
    encoder = CodecContext.create("libopus", "w")
    if not isinstance(encoder, AudioCodecContext):
        raise TypeError("FFmpeg's Opus encoder is no audio encoder")
    encoder.sample_rate, encoder.format, encoder.layout = _OPUS_RATE, "flt", layout
    encoder.time_base = Fraction(1, _OPUS_RATE)
    encoder.bit_rate = 1000 * kilobits
    frame = "60" if kilobits < _LONG_FRAME_BITS else "20"
    encoder.options = {"application": "audio", "vbr": "on", "frame_duration": frame}
    encoder.open()
    return encoder


def _resampler(frame: AudioFrame, layout: str, samples: int) -> Graph:
    """Return a graph that fills gaps with silence and cuts overlaps, so that times hold."""
    graph = Graph()
    nodes = [
        graph.add_abuffer(
            format=frame.format.name,
            sample_rate=frame.sample_rate,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("aresample", f"{_OPUS_RATE}:async=1:min_hard_comp={float(_GAP_SECONDS)}"),
        graph.add(
            "aformat",
            f"sample_fmts=flt:sample_rates={_OPUS_RATE}:channel_layouts={layout}",
        ),
        graph.add("asetnsamples", f"n={samples}:p=0"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            yield cast("AudioFrame", graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return
