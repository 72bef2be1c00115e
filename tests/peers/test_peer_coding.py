from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from tests import tiny
from tests.peers.conftest import MakeSource

from gencodec.errors import ExecutionError, SourceError
from gencodec.frames import Colour, Pixels, open_source
from gencodec.peers import Peer, find_peer, library
from gencodec.peers.pictures import Geometry
from gencodec.peers.streams import rewrite_stream, write_stream

_GOOD = {"x264": 18.0, "x265": 18.0, "svtav1": 15.0, "vp9": 12.0}


def _shown(path: Path) -> list[Pixels]:
    with open_source(path) as video:
        return [frame.rgb for frame in video.frames()]


def _coded(peer: Peer, source: Path, setting: float) -> tuple[int, Path, list[Pixels]]:
    """Return the bytes that count, the stream, and what it shows."""
    stream = source.with_suffix(".stream")
    encoder = peer.encoder
    size = library.encode(encoder, setting, source, stream, half=peer.half, threads=1)
    with open_source(source) as video:
        geometry = Geometry.of(video.info, half=peer.half, depths=encoder.depths)
    return size, stream, list(library.decode(encoder.stream, stream, geometry, threads=1))


def _psnr(a: list[Pixels], b: list[Pixels]) -> float:
    error = np.mean([(x.astype(float) - y) ** 2 for x, y in zip(a, b, strict=True)])
    return float(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("name", _GOOD)
def test_a_good_setting_shows_nearly_the_source_and_a_bad_one_is_smaller(
    make_source: MakeSource, name: str
) -> None:
    source = make_source(tiny.clip(64, 64, 6))
    peer = find_peer(name)
    size, _, shown = _coded(peer, source, _GOOD[name])
    small, _, worse = _coded(peer, source, peer.encoder.dial.worst)
    wanted = _shown(source)
    assert _psnr(wanted, shown) > 32
    assert small < size / 3
    assert _psnr(wanted, worse) < _psnr(wanted, shown) - 5


@pytest.mark.parametrize(("width", "height"), [(64, 64), (67, 65), (65, 66)])
@pytest.mark.parametrize("name", ["x264", "x264-half"])
def test_pictures_come_back_in_their_own_size(
    make_source: MakeSource, name: str, width: int, height: int
) -> None:
    y, x = np.mgrid[0:height, 0:width]
    smooth = [
        np.stack([x + t, 2 * y, 255 - x - y], -1).clip(0, 255).astype(np.uint8) for t in range(3)
    ]
    source = make_source(smooth)
    _, _, shown = _coded(find_peer(name), source, 4)
    assert {frame.shape for frame in shown} == {(height, width, 3)}
    assert _psnr(_shown(source), shown) > 36  # a shift by a pixel would cost more


def test_half_size_codes_a_quarter_of_the_pixels(make_source: MakeSource) -> None:
    source = make_source(tiny.clip(128, 96, 3))
    with open_source(source) as video:
        geometry = Geometry.of(video.info, half=True, depths=(8,))
    assert geometry.coded == (64, 48)
    sharp, _, whole = _coded(find_peer("x264"), source, 18)
    soft, _, half = _coded(find_peer("x264-half"), source, 18)
    assert soft < sharp
    assert _psnr(_shown(source), half) < _psnr(_shown(source), whole)


@pytest.mark.parametrize(("matrix", "sample_range"), [(1, 1), (6, 1), (1, 2)])
@pytest.mark.parametrize("name", ["x264", "svtav1-half"])
def test_colours_follow_the_tags_of_the_source(
    make_source: MakeSource, name: str, matrix: int, sample_range: int
) -> None:
    colour = Colour(primaries=matrix, transfer=matrix, matrix=matrix, range=sample_range)
    flat = np.broadcast_to(np.array([200, 60, 90], np.uint8), (64, 64, 3)).copy()
    source = make_source([flat] * 3, colour=colour)
    _, _, shown = _coded(find_peer(name), source, 10)
    assert np.abs(shown[0].astype(int) - flat).max() <= 4


def test_deep_samples_stay_deep_where_the_encoder_can(make_source: MakeSource) -> None:
    source = make_source(tiny.clip(64, 64, 2))
    with open_source(source) as video:
        info = video.info
    geometry = Geometry.of(info, half=False, depths=(8, 10))
    assert geometry.depth == 8
    assert Geometry.of(info, half=False, depths=(10,)).pixel_format == "yuv420p10le"


def test_the_file_of_a_byte_stream_is_what_counts(make_source: MakeSource) -> None:
    size, stream, _ = _coded(find_peer("x264"), make_source(tiny.clip(64, 64, 4)), 30)
    assert stream.stat().st_size == size
    assert b"x264 - core" not in stream.read_bytes()


def test_headers_of_ivf_and_temporal_delimiters_do_not_count(make_source: MakeSource) -> None:
    size, stream, shown = _coded(find_peer("svtav1"), make_source(tiny.clip(64, 64, 4)), 40)
    assert stream.stat().st_size == size + 32 + 12 * len(shown)
    packet = stream.read_bytes()[44:46]
    assert packet != b"\x12\x00"


def test_a_stream_of_a_program_is_stripped_like_one_of_a_library(tmp_path: Path) -> None:
    sei = b"\0\0\1\x06settings"
    picture = b"\0\0\0\1\x65" + bytes([1, 2, 3, 4])
    path = tmp_path / "a.h264"
    path.write_bytes(sei + picture)
    assert rewrite_stream(path, "h264") == len(picture)
    assert path.read_bytes() == picture

    packets = [b"\x12\x00" + bytes([9] * n) for n in (5, 3)]
    with_delimiters = tmp_path / "a.ivf"
    from fractions import Fraction

    assert write_stream(with_delimiters, "vp9", packets, (64, 48), Fraction(25)) == 12
    assert rewrite_stream(with_delimiters, "av1") == 8
    with_delimiters.write_bytes(with_delimiters.read_bytes()[:-1] + b"")
    with_delimiters.write_bytes(b"DKIF")
    with pytest.raises(SourceError, match="no whole IVF"):
        rewrite_stream(with_delimiters, "av1")


def test_an_encoder_that_is_not_built_in_is_named(make_source: MakeSource) -> None:
    source = make_source(tiny.clip(64, 64, 1))
    with pytest.raises(ExecutionError, match="libaom-av1"):
        _coded(find_peer("ffmpeg-libaom-av1"), source, 40)


def test_bytes_fall_as_the_dial_rises(make_source: MakeSource) -> None:
    source = make_source(tiny.clip(64, 64, 3))
    sizes = [_coded(find_peer("x264"), source, crf)[0] for crf in (10, 20, 30, 40)]
    assert all(a > b for a, b in itertools.pairwise(sizes))
