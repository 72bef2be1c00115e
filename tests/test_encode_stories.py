"""Encoding, as somebody does it who wants a video in so many bytes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from tests import tiny

import gencodec
from gencodec import Target
from gencodec.container import GnvcVdBlock, Reader
from gencodec.errors import (
    ExecutionError,
    LimitError,
    OutputError,
    PackError,
    SourceError,
    UsageError,
)
from gencodec.progress import Progress

Encoded = tuple[gencodec.EncodeResult, Path]
Encode = Callable[..., Encoded]


@pytest.fixture
def encode(tiny_pack: Path, tmp_path: Path) -> Encode:
    """Return a function that encodes with the tiny pack, in groups of 9 frames."""

    def run(source: str | Path, target: Target | None = None, **options: Any) -> Encoded:  # noqa: ANN401
        output = tmp_path / "out.gnv"
        given = {"pack": tiny_pack, "overwrite": True, **options}
        result = gencodec.encode(source, output, target=target or Target(quality=20), **given)
        return result, output

    return run


def reader_of(path: Path) -> tuple[Reader, list[Any]]:
    reader = Reader(io.BytesIO(path.read_bytes()))
    return reader, list(reader.groups())


# -- rate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        Target(bpp=0.12),
        Target(bpp=0.2),
        Target(bitrate=9_000),
        Target(size=1_300),
        Target(size=2_600),
    ],
)
def test_a_file_hits_its_target_within_three_percent(
    target: Target, encode: Encode, clip_file: Path
) -> None:
    result, path = encode(clip_file, target)
    wanted = target.file_bytes(64 * 48 * 29, Fraction(29, 25))
    assert wanted is not None
    assert path.stat().st_size == result.bytes == result.container_bytes + result.payload_bytes
    assert result.target_bytes == round(wanted)
    assert abs(result.bytes / wanted - 1) <= 0.03
    assert result.reached
    assert not result.too_large
    assert result.quality[1] - result.quality[0] <= 1
    assert not result.warnings


@pytest.mark.parametrize(
    ("frames", "cuts", "uneven"),
    [(27, (), False), (45, (10, 31), False), (80, (33,), False), (36, (20,), True)],
)
@pytest.mark.parametrize("bpp", [0.11, 0.16, 0.3])
def test_clips_of_every_kind_hit_their_target(
    frames: int, cuts: tuple[int, ...], uneven: bool, bpp: float, encode: Encode, tmp_path: Path
) -> None:
    ticks = [4 * t + (t % 3) * uneven - (t % 7 == 0) * uneven for t in range(frames)]
    pictures = tiny.clip(64, 48, frames, cuts)
    source = tiny.write_clip(tmp_path / "in.mp4", pictures, ticks, time_base=Fraction(1, 100))
    result, path = encode(source, Target(bpp=bpp))
    assert reader_of(path)[0].header.constant_rate is not uneven
    assert result.groups >= 3
    assert abs(result.bpp / bpp - 1) <= 0.03


@pytest.mark.parametrize(
    ("target", "quality", "too_large"),
    [
        (Target(size=100), 0, True),
        (Target(bpp=0.0001), 0, True),
        (Target(size=1_000_000), 63, False),
        (Target(bitrate=1e9), 63, False),
    ],
)
def test_beyond_reach_the_nearest_is_written_with_a_warning(
    target: Target, quality: int, too_large: bool, encode: Encode, clip_file: Path
) -> None:
    result, path = encode(clip_file, target)
    assert result.quality == (quality, quality)
    assert (result.reached, result.too_large) == (False, too_large)
    assert len(result.warnings) == 1
    assert "not reached" in result.warnings[0]
    assert f"wrote {path.stat().st_size} bytes" in result.warnings[0]


def test_a_fixed_quality_is_used_for_every_group(encode: Encode, clip_file: Path) -> None:
    sizes = []
    for quality in (0, 31, 63):
        result, path = encode(clip_file, Target(quality=quality))
        assert result.quality == (quality, quality)
        assert (result.target_bytes, result.reached, result.too_large) == (None, True, False)
        _, groups = reader_of(path)
        assert {GnvcVdBlock.from_bytes(g.coder_block).quality for g in groups} == {quality}
        sizes.append(result.bytes)
    assert sizes == sorted(sizes)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Return a function that feeds a file to standard input through a pipe, and names that."""
    with ExitStack() as stack:

        def feed(path: Path) -> str:
            read, write = os.pipe()
            child = os.fork()
            if child == 0:  # a writer of its own: the pipe holds less than a clip
                with suppress(BrokenPipeError):
                    os.close(read)
                    with os.fdopen(write, "wb", buffering=0) as stream:
                        stream.write(path.read_bytes())
                os._exit(0)
            os.close(write)
            stack.callback(os.waitpid, child, 0)
            stdin = stack.enter_context(io.TextIOWrapper(os.fdopen(read, "rb")))
            monkeypatch.setattr(sys, "stdin", stdin)
            return "-"

        yield feed


@pytest.mark.parametrize("bpp", [0.12, 0.25])
def test_a_pipe_hits_its_rate(
    bpp: float, encode: Encode, piped: Callable[[Path], str], clip_file: Path
) -> None:
    result, path = encode(piped(clip_file), Target(bpp=bpp))
    assert result.frames == 29
    assert abs(8 * path.stat().st_size / (64 * 48 * 29) / bpp - 1) <= 0.03
    assert result.reached


def test_a_pipe_has_no_size_to_aim_at(
    encode: Encode, piped: Callable[[Path], str], clip_file: Path
) -> None:
    with pytest.raises(UsageError, match="--bitrate"):
        encode(piped(clip_file), Target(size=1_000))


# -- what a video can be ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(61, 45), (1, 1), (8, 8), (9, 7), (130, 3)])
def test_any_size(size: tuple[int, int], encode: Encode, tmp_path: Path) -> None:
    source = tiny.write_clip(tmp_path / "in.mkv", tiny.clip(*size, 3))
    result, path = encode(source)
    assert (result.width, result.height) == size
    with gencodec.open(path) as video:
        assert [rgb.shape for rgb, _ in video] == [(size[1], size[0], 3)] * 3


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 9, 10, 13])
def test_any_number_of_frames(frames: int, encode: Encode, tmp_path: Path) -> None:
    source = tiny.write_clip(tmp_path / "in.y4m", tiny.clip(32, 16, frames))
    result, path = encode(source)
    assert (result.frames, result.groups) == (frames, -(-frames // 9))
    _, groups = reader_of(path)
    assert sum(group.frames for group in groups) == frames
    with gencodec.open(path) as video:
        assert [seconds for _, seconds in video] == [Fraction(t, 25) for t in range(frames)]


@pytest.mark.parametrize("target", [Target(bpp=0.4), Target(size=300), Target(bitrate=5_000)])
def test_a_single_frame_takes_any_target(target: Target, encode: Encode, tmp_path: Path) -> None:
    source = tiny.write_clip(tmp_path / "in.y4m", tiny.clip(64, 48, 1))
    result, path = encode(source, target)
    assert (result.frames, result.groups, result.seconds) == (1, 1, Fraction(1, 25))
    assert path.stat().st_size == result.bytes


@pytest.mark.parametrize("gop", [1, 5, 13, 33])
def test_any_group_length_of_the_form(gop: int, encode: Encode, clip_file: Path) -> None:
    result, path = encode(clip_file, gop=gop)
    reader, groups = reader_of(path)
    assert reader.header.group_frames == gop
    assert result.groups == len(groups) == -(-29 // gop)


@pytest.mark.parametrize(("gop", "try_"), [(0, 1), (4, 5), (12, 13), (34, 33), (37, 33), (-3, 1)])
def test_other_group_lengths_are_refused_with_advice(
    gop: int, try_: int, encode: Encode, clip_file: Path
) -> None:
    with pytest.raises(UsageError, match=rf"--gop {gop} .* try {try_}$"):
        encode(clip_file, gop=gop)


def test_scene_cuts_start_groups(encode: Encode, tmp_path: Path) -> None:
    source = tiny.write_clip(tmp_path / "in.y4m", tiny.clip(64, 48, 24, [10, 17]))
    _, path = encode(source)
    _, groups = reader_of(path)
    assert [(g.ticks[0], g.frames, g.cut) for g in groups] == [
        (0, 9, False), (9, 1, False), (10, 7, True), (17, 7, True),
    ]  # fmt: skip


def test_ten_bits_are_taken_and_told(encode: Encode, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p10le"
        for rgb in tiny.clip(32, 24, 4):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p10le")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    _, path = encode(source)
    reader, _ = reader_of(path)
    assert reader.header.bit_depth == 10


# -- what the file says ----------------------------------------------------------------------------


def test_the_file_says_all_that_decoding_needs(
    encode: Encode, clip_file: Path, tiny_pack: Path
) -> None:
    from gencodec.packs import read_manifest

    _, path = encode(clip_file)
    reader, groups = reader_of(path)
    header = reader.header
    assert header.packs[0].sha256.hex() == read_manifest(tiny_pack).sha256
    assert (header.refine_tile, header.refine_overlap, header.refine_window) == (6, 2, 3)
    blocks = [GnvcVdBlock.from_bytes(g.coder_block) for g in groups]
    assert {block.steps for block in blocks} == {1}
    assert all(0 < block.start_level < 1000 for block in blocks)
    assert len({group.digest for group in groups}) == len(groups)


def test_the_container_costs_little(encode: Encode, clip_file: Path) -> None:
    result, _ = encode(clip_file)
    assert result.container_bytes <= 200 + 32 * result.groups


def test_progress_is_told_of_both_passes(encode: Encode, clip_file: Path) -> None:
    told: list[Progress] = []
    encode(clip_file, Target(bpp=0.15), on_progress=told.append)
    looks, searches, codes = (
        [p for p in told if p.stage == stage] for stage in ("look", "search", "code")
    )
    assert told == [*looks, *searches, *codes]
    assert [p.frames for p in looks] == [p.frames for p in codes] == [9, 18, 27, 29]
    assert [p.frames for p in searches] == list(range(1, len(searches) + 1))
    assert len(searches) >= 4  # groups, each at some qualities
    assert {p.total for p in codes} == {29}
    assert all(p.bits_per_pixel and p.quality is not None for p in codes)


def test_the_same_input_gives_the_same_bytes_to_a_file_and_a_stream(
    encode: Encode, clip_file: Path, tiny_pack: Path
) -> None:
    _, path = encode(clip_file, Target(bpp=0.15))
    stream = io.BytesIO()
    gencodec.encode(clip_file, stream, target=Target(bpp=0.15), pack=tiny_pack)
    assert stream.getvalue() == path.read_bytes()


# -- what can go wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"not a video", bytes(5_000)])
def test_an_unreadable_source_leaves_nothing(
    content: bytes | None, encode: Encode, tmp_path: Path
) -> None:
    source = tmp_path / "in.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(SourceError, match=r"in\.mp4"):
        encode(source)
    assert not (tmp_path / "out.gnv").exists()


def test_a_gnv_is_no_source(gnv_file: Path, encode: Encode) -> None:
    with pytest.raises(SourceError, match=r"clip\.gnv is already a \.gnv; use `gencodec decode`"):
        encode(gnv_file)


def test_a_source_that_breaks_off_keeps_the_old_file(encode: Encode, tmp_path: Path) -> None:
    source = tiny.write_clip(tmp_path / "in.mp4", tiny.clip(64, 48, 30))
    whole = source.read_bytes()
    _, path = encode(source)
    before = path.read_bytes()
    source.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(SourceError, match=r"damaged|truncated"):
        encode(source)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.gnv"]


def test_too_many_pixels_are_refused(encode: Encode, clip_file: Path) -> None:
    with pytest.raises(LimitError, match="3072 pixels, the limit is 1000"):
        encode(clip_file, max_pixels=1_000)


def test_the_output_may_not_be_the_source_nor_exist(
    encode: Encode, tiny_pack: Path, clip_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "in.y4m"
    copy.write_bytes(clip_file.read_bytes())
    with pytest.raises(OutputError, match="both input and output"):
        gencodec.encode(copy, copy, pack=tiny_pack, overwrite=True)
    _, path = encode(copy)
    with pytest.raises(OutputError, match="exists"):
        encode(copy, overwrite=False)
    assert copy.read_bytes() == clip_file.read_bytes()
    assert path.stat().st_size


def test_a_full_device_is_an_output_error(tiny_pack: Path, clip_file: Path) -> None:
    with pytest.raises(OutputError, match="No space left"):
        gencodec.encode(clip_file, "/dev/full", target=Target(quality=5), pack=tiny_pack)


@pytest.mark.parametrize(
    ("device", "words"), [("tpu", "unknown device"), ("cuda:99", "not available|does not exist")]
)
def test_a_device_that_is_not_there(
    device: str, words: str, encode: Encode, clip_file: Path
) -> None:
    with pytest.raises(ExecutionError, match=words):
        encode(clip_file, device=device)


def test_a_pack_that_is_not_there(encode: Encode, clip_file: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no-such is not installed"):
        encode(clip_file, pack="no-such")
    with pytest.raises(PackError, match="no model pack in"):
        encode(clip_file, pack=tmp_path)
