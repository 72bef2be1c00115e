"""Sound, subtitles and what is known about a video, taken out of a stream as it passes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from gencodec.carried import About, Track, TrackPacket
from gencodec.container import META, PKT, TRAK, Unit, parse_about, parse_packets, parse_track
from gencodec.errors import FormatError

_MOST_TRACKS = 64  # more are left out; no source has them
_DISTANCE_SECONDS = 24 * 3600  # between a packet and the video's start that can be meant


class Separator:
    """Collects the units of a stream that are no groups.

    Attributes:
        about: what the first META of the stream tells.
        tracks: of the first part; the others must have the same to be heard.
        warnings: what the caller should pass on to people.
    """

    def __init__(self, shift_of: Callable[[int], Fraction], start: Fraction) -> None:
        """Prepare.

        Args:
            shift_of: seconds by which a part is shown later than its own clock says.
            start: seconds on that clock at which the first part's video starts.
        """
        self._shift_of = shift_of
        self._start = start
        self._tracks: dict[tuple[int, int], Track] = {}  # by part and number
        self._packets: deque[TrackPacket] = deque()
        self.about = About()
        self.warnings: list[str] = []

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of the first part."""
        return tuple(track for (part, _), track in self._tracks.items() if part == 0)

    def take(self, unit: Unit) -> None:
        """Take a unit; what breaks a rule is left out, the picture does not need it."""
        try:
            if unit.type == META and not self.about:
                self.about = parse_about(unit)
            elif unit.type == TRAK and len(self._tracks) < _MOST_TRACKS:
                track = parse_track(unit)
                self._tracks.setdefault((unit.part, track.number), track)
            elif unit.type == PKT:
                self._take_packets(unit)
        except FormatError as error:
            self._warn(str(error))

    def _take_packets(self, unit: Unit) -> None:
        packets = parse_packets(unit)
        number = packets[0].track
        track, first = self._tracks.get((unit.part, number)), self._tracks.get((0, number))
        if track is None or first is None:
            self._warn(f"packets of track {number} are left out: the file does not describe it")
            return
        if replace(track, title="", language="", disposition=0) != replace(
            first, title="", language="", disposition=0
        ):
            self._warn(f"part {unit.part} codes track {number} in another way; it is left out")
            return
        shift = round(self._shift_of(unit.part) / track.time_base)
        for packet in packets:
            tick = packet.tick + shift
            if abs(tick * track.time_base - self._start) < _DISTANCE_SECONDS:
                self._packets.append(replace(packet, tick=tick))

    def released(
        self, start: Fraction | None, end: Fraction | None, shift: Fraction
    ) -> list[TrackPacket]:
        """Return the packets taken since the last call that begin between two moments.

        Args:
            start: seconds on the clock of the first part; None: from the beginning.
            end: likewise; None: to the end.
            shift: seconds by which all is to be shown later.
        """
        bases = {track.number: track.time_base for track in self.tracks}
        released = []
        while self._packets:
            packet = self._packets.popleft()
            base = bases[packet.track]
            moment = packet.tick * base
            if (start is None or moment >= start) and (end is None or moment < end):
                released.append(replace(packet, tick=packet.tick + round(shift / base)))
        return released

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
