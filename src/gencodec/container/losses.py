"""What a reader that recovers could not use yet, or not at all.

A unit whose header is lost waits: the header comes again (G9), and the unit is read then.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import replace

from gencodec.container.framing import RawUnit
from gencodec.container.layout import END
from gencodec.container.limits import Limits
from gencodec.container.records import Damage
from gencodec.errors import FormatError, LimitError

_UNIT_BYTES = 1 << 10  # that a waiting unit counts at least: it is an object, too


class HeadlessError(FormatError):
    """A unit belongs to no part that is known: the signature and header before it are lost."""


class Losses:
    """Damage in order of its place, and units that wait for a header.

    Attributes:
        damages: the stretches that could not be used.
    """

    def __init__(self, limits: Limits) -> None:
        self.damages: list[Damage] = []
        self._limits = limits
        self._settled = False
        self._waiting: deque[tuple[RawUnit, HeadlessError]] = deque()
        self._bytes = 0  # of the units that wait

    def note(self, offset: int, size: int, error: FormatError | LimitError) -> None:
        """List damage; a stretch that continues another one joins it."""
        if self._settled:
            return
        damages, reason = self.damages, str(error)
        place = bisect_right(damages, offset, key=lambda damage: damage.offset)
        before = damages[place - 1] if place else None
        if before and size and before.bytes and before.offset + before.bytes == offset:
            damages[place - 1] = replace(before, bytes=before.bytes + size)
        elif len(damages) >= self._limits.damages:
            last = damages[-1]
            end = max(last.offset + last.bytes, offset + size)
            damages[-1] = replace(last, bytes=end - last.offset)
        else:
            damages.insert(place, Damage(offset=offset, bytes=size, reason=reason))

    def settle(self, damages: list[Damage]) -> None:
        """Take the list of a reader that has been through the whole stream, and list no more."""
        self.damages[:] = damages
        self._settled = True

    def wait(self, unit: RawUnit, error: HeadlessError) -> None:
        """Keep a unit until its part's header comes again, and lose it with the end of the part.

        The oldest are lost where they are too many.

        Args:
            unit: of a part whose header is not known.
            error: why it cannot be used so far.
        """
        self._waiting.append((unit, error))
        self._bytes += max(unit.size, _UNIT_BYTES)
        while self._waiting and (unit.type == END or self._bytes > self._limits.waiting_bytes):
            self._lose()

    def take(self) -> list[RawUnit]:
        """Return the units that waited; none waits any more."""
        units = [unit for unit, _ in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        return units

    def lose(self) -> None:
        """List the units that wait in vain: another file begins, or the stream ends."""
        while self._waiting:
            self._lose()

    def _lose(self) -> None:
        unit, error = self._waiting.popleft()
        self._bytes -= max(unit.size, _UNIT_BYTES)
        self.note(unit.offset, unit.size, error)
