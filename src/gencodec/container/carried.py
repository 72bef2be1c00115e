"""Tracks, their packets and what is known about a video <-> payloads of TRAK, PKT_ and META."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cbor2

from gencodec.carried import About, Chapter, Light, Mastering, Track, TrackPacket
from gencodec.container.cursor import BytesCursor, pack_svar, pack_var, parse_svar, parse_var
from gencodec.container.fields import pack, parse
from gencodec.container.layout import TICK_MAX, PacketHead, TrackHead
from gencodec.container.records import Unit
from gencodec.errors import FormatError

RUN_PACKETS = 128
"""Packets one PKT_ may hold."""

_MICROSECOND = Fraction(1, 1_000_000)
_CHAPTERS, _MASTERING, _LIGHT = "chapters", "mastering_display", "content_light"
_MASTERING_NUMBERS = 10


def pack_track(track: Track) -> bytes:
    """Return the payload of TRAK.

    Raises:
        ValueError: a field is out of its range.
    """
    names = ("kind", "time_base", "codec", "language", "sample_rate", "channels", "delay")
    fields = {name: getattr(track, name) for name in (*names, "title", "disposition")}
    return pack(TrackHead(track=track.number, **fields)) + track.setup


def parse_track(unit: Unit) -> Track:
    """Inverse of `pack_track`.

    Raises:
        FormatError: a field breaks its rule.
    """
    cursor = BytesCursor(unit.payload, offset=unit.offset)
    head = parse(TrackHead, cursor)
    return Track(
        number=head.track,
        kind=head.kind,
        codec=head.codec,
        time_base=head.time_base,
        language=head.language,
        title=head.title,
        disposition=head.disposition,
        sample_rate=head.sample_rate,
        channels=head.channels,
        delay=head.delay,
        setup=cursor.take(cursor.left),
    )


def pack_packets(packets: Sequence[TrackPacket]) -> bytes:
    """Return the payload of a PKT_ with 1 to `RUN_PACKETS` packets of one track and `key`.

    Raises:
        ValueError: there are more, or they do not belong together.
    """
    first = packets[0]
    if not all((each.track, each.key) == (first.track, first.key) for each in packets):
        raise ValueError("packets of one unit are of one track and all key or none")
    head = PacketHead(
        track=first.track,
        key=first.key,
        more=len(packets) - 1,
        tick=first.tick,
        duration=first.duration,
    )
    due = first.tick
    table = bytearray()
    for index, packet in enumerate(packets):
        if index:
            table += pack_svar(packet.tick - due) + pack_svar(packet.duration - first.duration)
        if index < len(packets) - 1:
            table += pack_var(len(packet.data))
        due = packet.tick + packet.duration
    return pack(head) + bytes(table) + b"".join(packet.data for packet in packets)


def parse_packets(unit: Unit) -> list[TrackPacket]:
    """Inverse of `pack_packets`.

    Raises:
        FormatError: the sizes do not fit, or a time is out of its range.
    """
    cursor = BytesCursor(unit.payload, offset=unit.offset)
    head = parse(PacketHead, cursor)
    tick, duration = head.tick, head.duration
    times, sizes = [], []
    for index in range(head.more + 1):
        if index:
            tick += duration + parse_svar(cursor)
            duration = head.duration + parse_svar(cursor)
        if index < head.more:
            sizes.append(parse_var(cursor))
        if abs(tick) > TICK_MAX or not 0 <= duration < 1 << 32:
            raise FormatError("a packet's time is out of range", offset=unit.offset)
        times.append((tick, duration))
    sizes.append(cursor.left - sum(sizes))
    if sizes[-1] < 0:
        raise FormatError("packets are larger than their unit", offset=unit.offset)
    first = TrackPacket(track=head.track, tick=tick, duration=0, data=b"", key=head.key)
    return [
        replace(first, tick=tick, duration=duration, data=cursor.take(size))
        for (tick, duration), size in zip(times, sizes, strict=True)
    ]


# -- META --------------------------------------------------------------------------------------


def pack_about(about: About) -> bytes:
    """Return the payload of META."""
    values: dict[str, Any] = {
        name: text
        for name, text in about.tags.items()
        if name not in (_CHAPTERS, _MASTERING, _LIGHT)
    }
    if about.chapters:
        values[_CHAPTERS] = [
            [round(each.start / _MICROSECOND), round(each.end / _MICROSECOND), each.title]
            for each in about.chapters
        ]
    if about.mastering is not None:
        display = about.mastering
        pairs = (display.red, display.green, display.blue, display.white, display.luminance)
        values[_MASTERING] = [number for pair in pairs for number in pair]
    if about.light is not None:
        values[_LIGHT] = [about.light.maximum, about.light.average]
    return cbor2.dumps(values, canonical=True)


def parse_about(unit: Unit) -> About:
    """Inverse of `pack_about`; keys that this version does not know are left out.

    Raises:
        FormatError: the payload is not one CBOR map, or a known key has an impossible value.
    """
    try:
        values = cbor2.loads(
            unit.payload,
            max_depth=4,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError) as error:
        raise FormatError(f"META is no CBOR map: {error}", offset=unit.offset) from error
    if not isinstance(values, dict):
        raise FormatError("META is no CBOR map", offset=unit.offset)
    try:
        return _about(values)
    except (TypeError, ValueError) as error:
        raise FormatError(f"META: {error}", offset=unit.offset) from error


def _about(values: Mapping[Any, Any]) -> About:
    tags = {
        name: text
        for name, text in values.items()
        if isinstance(name, str) and isinstance(text, str)
    }
    mastering, light = values.get(_MASTERING), values.get(_LIGHT)
    return About(
        tags=tags,
        chapters=tuple(_chapter(each) for each in _list(values.get(_CHAPTERS, []), None)),
        mastering=None if mastering is None else _mastering(mastering),
        light=None if light is None else _light(light),
    )


def _chapter(value: object) -> Chapter:
    start, end, title = _list(value, 3)
    if not isinstance(title, str):
        raise TypeError("the title of a chapter is no text")
    low, high = (_number(each, -TICK_MAX, TICK_MAX) for each in (start, end))
    return Chapter(start=low * _MICROSECOND, end=high * _MICROSECOND, title=title)


def _mastering(value: object) -> Mastering:
    n = [_number(each, 0, 2**32 - 1) for each in _list(value, _MASTERING_NUMBERS)]
    return Mastering(
        red=(n[0], n[1]),
        green=(n[2], n[3]),
        blue=(n[4], n[5]),
        white=(n[6], n[7]),
        luminance=(n[8], n[9]),
    )


def _light(value: object) -> Light:
    maximum, average = (_number(each, 0, 65_535) for each in _list(value, 2))
    return Light(maximum=maximum, average=average)


def _list(value: object, size: int | None) -> list[Any]:
    if not isinstance(value, list) or (size is not None and len(value) != size):
        raise TypeError("a list is expected" if size is None else f"a list of {size} is expected")
    return value


def _number(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"a number must be {low} .. {high}")
    return value
