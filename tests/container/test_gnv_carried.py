"""Tracks, packets and META come back from their bytes; other bytes give a typed error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gencodec.carried import AUDIO, About, Chapter, Light, Mastering, Track, TrackPacket
from gencodec.container import (
    META,
    PKT,
    TRAK,
    Unit,
    pack_about,
    pack_packets,
    pack_track,
    parse_about,
    parse_packets,
    parse_track,
)
from gencodec.errors import FormatError

TRACK = Track(
    number=3,
    kind=AUDIO,
    codec="opus",
    time_base=Fraction(1, 48_000),
    language="deu",
    title="Kommentar",
    disposition=0x49,
    sample_rate=48_000,
    channels=2,
    delay=312,
    setup=b"OpusHead and so on",
)
ABOUT = About(
    tags={"title": "cat", "creation_time": "2024-05-06T07:08:09Z"},
    chapters=(Chapter(start=Fraction(0), end=Fraction(3, 2), title="One"),),
    mastering=Mastering(
        red=(34_000, 16_000),
        green=(13_250, 34_500),
        blue=(7_500, 3_000),
        white=(15_635, 16_450),
        luminance=(50, 10_000_000),
    ),
    light=Light(maximum=1000, average=400),
)


def unit(code: bytes, payload: bytes) -> Unit:
    return Unit(type=code, payload=payload, offset=100)


def test_a_track_comes_back() -> None:
    assert parse_track(unit(TRAK, pack_track(TRACK))) == TRACK
    assert TRACK.dispositions == ("default", "comment", "forced")


packets = st.lists(
    st.tuples(st.integers(-(2**40), 2**40), st.integers(0, 2**32 - 1), st.binary(max_size=20)),
    min_size=1,
    max_size=128,
)


@given(packets)
def test_packets_come_back_whatever_their_times(told: list[tuple[int, int, bytes]]) -> None:
    run = [TrackPacket(track=3, tick=t, duration=d, data=data) for t, d, data in told]
    assert parse_packets(unit(PKT, pack_packets(run))) == run


def test_a_steady_run_costs_three_bytes_a_packet() -> None:
    run = [TrackPacket(track=1, tick=960 * n, duration=960, data=bytes(40)) for n in range(50)]
    assert len(pack_packets(run)) <= 50 * 43 + 3


def test_packets_of_two_tracks_are_refused() -> None:
    one = TrackPacket(track=1, tick=0, duration=1, data=b"")
    with pytest.raises(ValueError, match="of one track"):
        pack_packets([one, replace(one, track=2)])
    with pytest.raises(ValueError, match="more is 128"):
        pack_packets([one] * 129)


def test_packets_beyond_their_unit_are_refused() -> None:
    run = [TrackPacket(track=1, tick=n, duration=1, data=bytes(9)) for n in range(3)]
    data = pack_packets(run)
    with pytest.raises(FormatError, match=r"larger than their unit \(at byte 100\)"):
        parse_packets(unit(PKT, data[:-10]))


def test_what_is_known_comes_back() -> None:
    assert parse_about(unit(META, pack_about(ABOUT))) == ABOUT
    assert not parse_about(unit(META, b"\xa0"))
    assert pack_about(ABOUT) == pack_about(
        replace(ABOUT, tags=dict(reversed(list(ABOUT.tags.items()))))
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x80",  # a list
        b"\xbf\xff",  # indefinite length
        b"\xa2\x61a\x00\x61a\x01",  # a key twice
        b"\xa1\x01\x02",  # a key that is no text
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",  # 2^64 - 1 pairs
        b"\x9b\x00\x00\x7f\xff\xff\xff\xff\xff",  # a list of 2^47
        b"\xa1\x61a" + b"\x81" * 5000 + b"\x00",  # deep
        cbor2.dumps({"chapters": [[0, 1]]}),
        cbor2.dumps({"chapters": [[0, 2**70, "x"]]}),
        cbor2.dumps({"content_light": [True, 5]}),
        cbor2.dumps({"mastering_display": [1.5] * 10}),
    ],
)
def test_a_meta_that_lies_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError, match="META"):
        parse_about(unit(META, payload))


@given(st.binary(max_size=200), st.sampled_from([parse_track, parse_packets, parse_about]))
def test_any_bytes_give_a_value_or_a_format_error(data: bytes, parse: object) -> None:
    with suppress(FormatError):
        parse(unit(PKT, data))  # type: ignore[operator]
