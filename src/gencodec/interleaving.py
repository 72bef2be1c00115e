"""Sound, subtitles and what is known about a video, put between the groups of a file by time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gencodec.carried import Track, TrackPacket
from gencodec.container import (
    META,
    PKT,
    RUN_PACKETS,
    TRAK,
    Writer,
    pack_about,
    pack_packets,
    pack_track,
)
from gencodec.frames import FrameSource, Plan, Sound, TrackCoder, make_plan, settle

_RUN_SECONDS = Fraction(1)  # of one unit at most: what a damaged byte can cost
_PACKET_BYTES = 3  # of a packet's place in the table of its unit
_UNIT_BYTES = 20  # of a unit besides
_TRACK_BYTES = 60  # of a TRAK


class Interleaver:
    """Carries what a source has beside its video into a file.

    Attributes:
        bytes: what `look` expects all of it to cost.
    """

    def __init__(self, source: FrameSource, sound: Sound, video_kilobits: float) -> None:
        """Plan; nothing is read.

        Args:
            source: opened with its tracks.
            sound: what becomes of the sound.
            video_kilobits: a second of the video, as far as it is known.
        """
        self._source = source
        self._plan: Plan = make_plan(source.streams, sound, video_kilobits)
        self._settled: Plan = settle(self._plan, source.streams, {})
        self._coder = TrackCoder({})
        self._writer: Writer | None = None
        self.bytes = 0

    @property
    def notes(self) -> list[str]:
        """What people should know of the tracks that were coded."""
        return self._coder.notes

    def measure(self) -> TrackCoder:
        """Return what to read the source with in order to choose between ways; see `measured`."""
        self._coder = TrackCoder(self._plan, keep=False)
        return self._coder

    def measured(self, seconds: Fraction) -> None:
        """Choose the smaller way for each track, after a whole reading with `measure`."""
        self._settled = settle(self._plan, self._source.streams, self._coder.measured())
        data, packets = self._coder.size(self._settled)
        units = -(-seconds // _RUN_SECONDS) * len(self._settled)
        framing = _PACKET_BYTES * packets + _UNIT_BYTES * units + _TRACK_BYTES * len(self._settled)
        about = self._source.about
        told = len(pack_about(about)) + _UNIT_BYTES if about else 0
        self.bytes = data + int(framing) + told

    def code(self) -> TrackCoder:
        """Return what to read the source with while it is coded."""
        self._coder = TrackCoder(self._settled)
        return self._coder

    def begin(self, writer: Writer) -> None:
        """Write what stands in front of the first group."""
        self._writer = writer
        if about := self._source.about:
            writer.write_unit(META, pack_about(about))
        for track in self._coder.tracks:
            writer.write_unit(TRAK, pack_track(track))

    def until(self, seconds: Fraction | None) -> None:
        """Write the packets that begin before a moment of the source; all if it is None."""
        if self._writer is None:
            return
        packets = self._coder.take(seconds)
        for track in self._coder.tracks:
            own = [packet for packet in packets if packet.track == track.number]
            for run in _runs(own, track):
                self._writer.write_unit(PKT, pack_packets(run))


def _runs(packets: list[TrackPacket], track: Track) -> Iterator[list[TrackPacket]]:
    """Split the packets of a track into what one unit holds."""
    most_ticks = _RUN_SECONDS / track.time_base
    run: list[TrackPacket] = []
    for packet in packets:
        full = len(run) == RUN_PACKETS or (
            bool(run) and (packet.key != run[0].key or packet.tick - run[0].tick >= most_ticks)
        )
        if full:
            yield run
            run = []
        run.append(packet)
    if run:
        yield run
