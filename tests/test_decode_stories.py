"""Decoding: all of a file or a part, to every kind of output, and what damage does."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import tiny

import gencodec
from gencodec import Target
from gencodec.container import META, Reader, Writer
from gencodec.errors import (
    FormatError,
    LimitError,
    OutputError,
    PackError,
    SourceError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from gencodec.evaluation import open_frames
from gencodec.frames import open_source
from gencodec.progress import Progress
from gencodec.refine import RefineStage

ReadFrames = Callable[[Path], list[tuple[Any, Fraction]]]


def pixels_of(source: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:  # noqa: ANN401
    with gencodec.open(source) as video:
        return np.stack([rgb for rgb, _ in video])


def psnr(a: Any, b: Any) -> float:  # noqa: ANN401
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b)) ** 2)
    return float(10 * np.log10(255**2 / error))


def rewritten(data: bytes, **changes: Any) -> bytes:  # noqa: ANN401
    """Write a file anew with another header; the groups stay."""
    from dataclasses import replace

    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    records = list(reader.groups())
    with Writer(out, replace(reader.header, **changes)) as writer:
        for record in records:
            writer.write_group(record)
    return out.getvalue()


# -- whole files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "y4m"])
def test_a_decoded_video_looks_like_the_source(
    suffix: str, gnv_file: Path, tmp_path: Path, read_frames: ReadFrames
) -> None:
    output = tmp_path / f"out.{suffix}"
    result = gencodec.decode(gnv_file, output)
    assert (result.frames, result.groups, result.complete) == (29, 4, True)
    assert (result.width, result.height, result.steps) == (64, 48, (1, 1))
    assert result.seconds == Fraction(29, 25)
    frames = read_frames(output)
    assert [seconds for _, seconds in frames] == [Fraction(t, 25) for t in range(29)]
    assert psnr([rgb for rgb, _ in frames], tiny.clip(64, 48, 29)) > 19


def test_pictures_are_exactly_what_the_library_gives(gnv_file: Path, tmp_path: Path) -> None:
    result = gencodec.decode(gnv_file, tmp_path / "frames")
    names = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert names == [f"frame_{n:06d}.png" for n in range(1, 30)]
    assert result.frames == 29
    for path, rgb in zip(sorted((tmp_path / "frames").iterdir()), pixels_of(gnv_file), strict=True):
        with open_source(path) as source:
            assert np.array_equal(next(iter(source.frames())).rgb, rgb)


@pytest.mark.parametrize(
    ("ticks", "rate"),
    [
        ([0, 3, 4, 9, 12, 20, 21, 22, 23, 40, 41, 42], 150),
        (range(500, 512), 600),  # a constant rate, not from 0 on
    ],
)
def test_times_rotation_and_aspect_come_back(
    ticks: Sequence[int], rate: int, tiny_pack: Path, tmp_path: Path, read_frames: ReadFrames
) -> None:
    source = tiny.write_clip(
        tmp_path / "in.mp4",
        tiny.clip(31, 23, 12),
        ticks,
        time_base=Fraction(1, 600),
        frame_rate=Fraction(rate),
        rotation=270,
        sample_aspect=Fraction(8, 9),
    )
    coded, output = tmp_path / "a.gnv", tmp_path / "out.mp4"
    gencodec.encode(source, coded, target=Target(quality=30), pack=tiny_pack)
    gencodec.decode(coded, output)
    with open_source(source) as before, open_source(output) as after:
        for name in ("width", "height", "rotation", "sample_aspect"):
            assert getattr(before.info, name) == getattr(after.info, name), name
    assert [s for _, s in read_frames(output)] == [Fraction(t, 600) for t in ticks]
    with coded.open("rb") as stream:
        assert Reader(stream).header.constant_rate is (rate == 600)
    with gencodec.open(coded) as video:
        assert next(iter(video))[1] == 0
    assert gencodec.info(coded).sample_aspect == "8:9"


def test_the_last_frame_lasts_as_long_as_in_the_source(tiny_pack: Path, tmp_path: Path) -> None:
    import av

    from gencodec.frames import Frame, open_sink

    source, coded, output = (tmp_path / name for name in ("in.mp4", "a.gnv", "out.mp4"))
    info = tiny.video_info(32, 24, time_base=Fraction(1, 600), frame_rate=Fraction(150))
    with open_sink(source, info) as sink:
        for t, rgb in enumerate(tiny.clip(32, 24, 3)):
            sink.write(Frame(rgb=rgb, ticks=[0, 5, 9][t], duration=31))
    gencodec.encode(source, coded, target=Target(quality=30), pack=tiny_pack)
    gencodec.decode(coded, output)
    for path in (source, output):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.duration is not None
            assert stream.time_base is not None
            assert stream.duration * stream.time_base == Fraction(40, 600)


@pytest.mark.parametrize(
    ("options", "comment"),
    [
        ({}, "detail in this video was generated by a neural decoder (gencodec)"),
        ({"base": True}, "neural reconstruction (gencodec)"),
        ({"steps": 0}, "neural reconstruction (gencodec)"),
    ],
)
def test_the_output_says_whether_detail_was_generated(
    options: dict[str, Any], comment: str, gnv_file: Path, tmp_path: Path
) -> None:
    import av

    gencodec.decode(gnv_file, tmp_path / "out.mp4", **options)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["comment"] == comment


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_devices_and_named_pipes_get_y4m(gnv_file: Path, tmp_path: Path) -> None:
    assert gencodec.decode(gnv_file, "/dev/null").frames == 29
    with pytest.raises(OutputError, match="/dev/full cannot be written: no space left"):
        gencodec.decode(gnv_file, "/dev/full")
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-c", "print(open('pipe', 'rb').read(9))"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as reader:
        with pytest.raises(BrokenPipeError):
            gencodec.decode(gnv_file, tmp_path / "pipe")
        assert reader.communicate()[0] == b"b'YUV4MPEG2'\n"


# -- refinement ------------------------------------------------------------------------------------


def test_base_and_steps_choose_the_refinement(gnv_file: Path, tmp_path: Path) -> None:
    pictures = {}
    wishes: dict[str, tuple[dict[str, Any], int]] = {
        "file": ({}, 1),
        "base": ({"base": True}, 0),
        "0": ({"steps": 0}, 0),
        "1": ({"steps": 1}, 1),
        "3": ({"steps": 3}, 3),
        "17": ({"steps": 17}, 17),  # more than the format has
    }
    for name, (options, steps) in wishes.items():
        result = gencodec.decode(gnv_file, tmp_path / name, **options)
        assert result.steps == (steps, steps)
        pictures[name] = [p.read_bytes() for p in sorted((tmp_path / name).iterdir())]
    assert pictures["file"] == pictures["1"]
    assert pictures["base"] == pictures["0"]
    assert pictures["base"] != pictures["1"] != pictures["3"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_refinement_that_fails_is_left_out_with_a_warning(
    value: float, gnv_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = RefineStage._sample
    calls = itertools.count()

    def broken(self: RefineStage, *arguments: Any) -> Any:  # noqa: ANN401
        result = genuine(self, *arguments)
        if next(calls) == 0:  # a window of the first group
            result[0, 0, 0, 0] = value
        return result

    gencodec.decode(gnv_file, tmp_path / "base", base=True)
    gencodec.decode(gnv_file, tmp_path / "whole")
    monkeypatch.setattr(RefineStage, "_sample", broken)
    result = gencodec.decode(gnv_file, tmp_path / "broken")
    assert result.warnings == ("group 0: refinement failed, shown without it",)
    shown, plain, whole = (
        [p.read_bytes() for p in sorted((tmp_path / name).iterdir())]
        for name in ("broken", "base", "whole")
    )
    assert shown[:9] == plain[:9]
    assert shown[9:] == whole[9:]


# -- parts of a file -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "shown", "groups"),
    [
        (None, None, range(29), 4),
        (Fraction(9, 25), None, range(9, 29), 3),
        (Fraction(10, 25), Fraction(17, 25), range(10, 17), 1),
        (Fraction(0), Fraction(1, 25), range(1), 1),
        (Fraction(27, 25), Fraction(100), range(27, 29), 1),
        (None, Fraction(37, 50), range(19), 3),
        (Fraction(1, 3), Fraction(1, 2), range(9, 13), 2),
    ],
)
def test_a_part_is_decoded_by_the_index(
    start: Fraction | None,
    end: Fraction | None,
    shown: range,
    groups: int,
    gnv_file: Path,
    tmp_path: Path,
    read_frames: ReadFrames,
) -> None:
    output = tmp_path / "out.y4m"
    result = gencodec.decode(gnv_file, output, start=start, end=end)
    assert (result.frames, result.groups, result.complete) == (len(shown), groups, True)
    assert result.seconds == Fraction(len(shown), 25)
    gencodec.decode(gnv_file, tmp_path / "whole.y4m")
    whole = [rgb for rgb, _ in read_frames(tmp_path / "whole.y4m")]
    part = [rgb for rgb, _ in read_frames(output)]
    assert np.array_equal(part, [whole[t] for t in shown])


def test_a_part_of_an_mp4_starts_at_zero(
    gnv_file: Path, tmp_path: Path, read_frames: ReadFrames
) -> None:
    output = tmp_path / "out.mp4"
    gencodec.decode(gnv_file, output, start=Fraction(2, 5), end=Fraction(3, 5))
    assert [s for _, s in read_frames(output)] == [Fraction(t, 25) for t in range(5)]


@pytest.mark.parametrize(
    ("start", "end"), [(Fraction(5), None), (Fraction(1), Fraction(1)), (None, Fraction(0))]
)
def test_an_empty_part_is_an_error_and_leaves_nothing(
    start: Fraction | None, end: Fraction | None, gnv_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no frame"):
        gencodec.decode(gnv_file, tmp_path / "out.mp4", start=start, end=end)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.gnv"]


def test_a_part_of_a_pipe(gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    start, end = Fraction(10, 25), Fraction(20, 25)
    result = gencodec.decode(Pipe(gnv_bytes), tmp_path / "a", start=start, end=end)
    assert (result.frames, result.groups) == (10, 2)


def test_a_video_can_be_read_again_and_sought_in(gnv_file: Path) -> None:
    with gencodec.open(gnv_file) as video:
        assert (video.info.width, video.info.height) == (64, 48)
        assert video.info.frame_rate == Fraction(25)
        video.seek(Fraction(20, 25))
        late = list(video)
        assert [s for _, s in late] == [Fraction(t, 25) for t in range(20, 29)]
        video.seek(0.4)
        some = list(itertools.islice(video, 3))
        assert [s for _, s in some] == [Fraction(t, 25) for t in (10, 11, 12)]
        video.seek(0)
        whole = list(video)
        assert len(whole) == 29
        assert np.array_equal(whole[20][0], late[0][0])
        video.seek(99)
        assert not list(video)
    with gencodec.open(gnv_file) as video:
        assert [len(list(video)) for _ in range(2)] == [29, 29]


def test_a_stream_stays_open_and_a_file_does_not(gnv_bytes: bytes, tiny_pack: Path) -> None:
    stream = io.BytesIO(gnv_bytes)
    with gencodec.open(stream) as video:
        next(iter(video))
    assert not stream.closed


def test_progress_is_told_group_by_group(gnv_file: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    gencodec.decode(gnv_file, tmp_path / "out", on_progress=told.append)
    assert [(p.stage, p.frames, p.group) for p in told] == [
        ("decode", 9, 1), ("decode", 18, 2), ("decode", 27, 3), ("decode", 29, 4),
    ]  # fmt: skip


# -- unusual files ---------------------------------------------------------------------------------


@pytest.fixture
def chained(gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path) -> Path:
    path = tmp_path / "both.gnv"
    path.write_bytes(gnv_bytes + gnv_bytes)
    return path


def test_chained_files_are_one_video(chained: Path, gnv_bytes: bytes) -> None:
    told = gencodec.info(chained)
    assert (told.frames, len(told.groups), told.complete) == (58, 8, True)
    assert told.bytes == 2 * len(gnv_bytes)
    assert gencodec.verify(chained).groups == 8
    assert told.duration == pytest.approx(58 / 25)
    assert told.kbps == pytest.approx(8 * len(gnv_bytes) * 2 / (58 / 25) / 1000)
    with gencodec.open(chained) as video:
        assert [s for _, s in video] == [Fraction(t, 25) for t in range(58)]
        video.seek(Fraction(40, 25))
        assert [s for _, s in video] == [Fraction(t, 25) for t in range(40, 58)]


@pytest.mark.parametrize("suffix", ["mp4", "y4m"])
def test_chained_files_decode_to_one_video(
    suffix: str, chained: Path, tmp_path: Path, read_frames: ReadFrames
) -> None:
    output = tmp_path / f"out.{suffix}"
    result = gencodec.decode(chained, output)
    assert (result.frames, result.complete, result.seconds) == (58, True, Fraction(58, 25))
    assert [s for _, s in read_frames(output)] == [Fraction(t, 25) for t in range(58)]


def test_parts_of_different_size_are_refused(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    path = tmp_path / "both.gnv"
    path.write_bytes(gnv_bytes + rewritten(gnv_bytes, width=56))
    with pytest.raises(UnsupportedError, match=r"56x48, the first one 64x48"):
        gencodec.decode(path, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_units_between_the_groups_do_not_matter(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    reader, out = Reader(io.BytesIO(gnv_bytes)), io.BytesIO()
    records = list(reader.groups())
    with Writer(out, reader.header) as writer:
        writer.write_unit(META, b"\xa0")
        for record in records:
            writer.repeat_header()
            writer.write_group(record)
            writer.write_unit(b"xxPx", b"somebody's")
        writer.close(index=False)
    assert np.array_equal(pixels_of(io.BytesIO(out.getvalue())), pixels_of(io.BytesIO(gnv_bytes)))
    with gencodec.open(io.BytesIO(out.getvalue())) as video:
        video.seek(1)
        assert len(list(video)) == 4


@pytest.mark.parametrize(("missing", "groups"), [(0, 2), (1, 1), (-1, 2), (-30, 2)])
def test_a_file_that_was_cut_shows_its_whole_groups(
    missing: int, groups: int, gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    third = gencodec.info(io.BytesIO(gnv_bytes)).groups[2].offset
    cut = gnv_bytes[: third - missing]
    result = gencodec.decode(io.BytesIO(cut), tmp_path / "out")
    assert (result.frames, result.complete) == (9 * groups, False)
    assert any("cut" in warning for warning in result.warnings)
    for told in (gencodec.verify(io.BytesIO(cut)), gencodec.info(io.BytesIO(cut))):
        assert (told.frames, told.complete) == (9 * groups, False)
    part = gencodec.decode(io.BytesIO(cut), tmp_path / "part", start=Fraction(7, 25))
    assert part.frames == 9 * groups - 7


def test_a_file_without_groups_says_so(gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path) -> None:
    first = gencodec.info(io.BytesIO(gnv_bytes)).groups[0].offset
    for size in (first, first + 9):
        with pytest.raises(TruncatedError, match=r"first group: nothing can be decoded"):
            gencodec.decode(io.BytesIO(gnv_bytes[:size]), tmp_path / "out.mp4")
    empty = rewritten_without_groups(gnv_bytes)
    with pytest.raises(SourceError, match="holds no frame"):
        gencodec.decode(io.BytesIO(empty), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    assert gencodec.info(io.BytesIO(empty)).frames == 0
    assert gencodec.verify(io.BytesIO(empty)).groups == 0


def rewritten_without_groups(data: bytes) -> bytes:
    out = io.BytesIO()
    with Writer(out, Reader(io.BytesIO(data)).header):
        pass
    return out.getvalue()


# -- damage ----------------------------------------------------------------------------------------


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_reported(
    place: float, bit: int, gnv_bytes: bytes, tiny_pack: Path
) -> None:
    damaged = bytearray(gnv_bytes)
    damaged[int(place * len(damaged))] ^= 1 << bit
    with pytest.raises(FormatError):
        gencodec.verify(io.BytesIO(bytes(damaged)))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_reported(place: float, gnv_bytes: bytes, tiny_pack: Path) -> None:
    part = gnv_bytes[: int(place * len(gnv_bytes))]
    try:
        whole = gencodec.verify(io.BytesIO(part)).complete
    except UnsupportedError:
        raise
    except FormatError:
        whole = False
    assert not whole


def test_damage_in_a_group_leaves_no_output(
    gnv_file: Path, gnv_bytes: bytes, tmp_path: Path
) -> None:
    group = gencodec.info(gnv_file).groups[1]
    damaged = bytearray(gnv_bytes)
    damaged[group.offset + group.bytes - 5] ^= 4
    gnv_file.write_bytes(damaged)
    with pytest.raises(FormatError, match="at byte"):
        gencodec.decode(gnv_file, tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.gnv"]
    part = gencodec.decode(gnv_file, tmp_path / "out", start=Fraction(18, 25))  # not touched by it
    assert part.frames == 11


def recoded(data: bytes, number: int, **changes: Any) -> bytes:  # noqa: ANN401
    """Write a file anew with one group changed and all checksums right."""
    from dataclasses import replace

    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    records = list(reader.groups())
    with Writer(out, reader.header) as writer:
        for record in records:
            writer.write_group(replace(record, **(changes if record.number == number else {})))
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"payload": b""}, "damaged|payload|left|bytes"),
        ({"payload": bytes(50)}, "damaged|payload|left|bytes"),
        ({"digest": 12345}, "00003039"),
        ({"coder_block": b"\x00"}, "."),
        ({"coder_block": b""}, "."),
    ],
)
def test_a_group_whose_checksums_are_right_but_whose_content_is_not(
    changes: dict[str, Any], words: str, gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    data = recoded(gnv_bytes, 1, **changes)
    with pytest.raises(FormatError, match=words):
        gencodec.decode(io.BytesIO(data), tmp_path / "out")
    with pytest.raises(FormatError, match=words):
        gencodec.verify(io.BytesIO(data))


def test_another_coder_needs_another_version(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    data = recoded(gnv_bytes, 1, coder=7, coder_block=b"abc")
    with pytest.raises(UnsupportedError, match="coder 7"):
        gencodec.decode(io.BytesIO(data), tmp_path / "out")
    with pytest.raises(UnsupportedError, match="coder 7"):
        gencodec.verify(io.BytesIO(data))
    assert [g.quality for g in gencodec.info(io.BytesIO(data)).groups] == [20, None, 20, 20]


def test_a_pack_that_is_not_installed(
    gnv_bytes: bytes,
    gnv_file: Path,
    tmp_path: Path,
    tiny_pack: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GENCODEC_PACKS")
    sha256 = gencodec.info(gnv_file).pack.sha256
    for work in (
        lambda: gencodec.decode(gnv_file, tmp_path / "out"),
        lambda: gencodec.open(gnv_file),
        lambda: gencodec.verify(gnv_file),
    ):
        with pytest.raises(PackError, match=f"{sha256} is not installed"):
            work()
    found = gencodec.decode(gnv_file, tmp_path / "out", pack_dirs=[tiny_pack.parent])
    assert found.frames == 29


@pytest.mark.parametrize("role", [1, 7])
def test_a_header_without_a_main_pack(
    role: int, gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    from gencodec.container import Pack

    main = Reader(io.BytesIO(gnv_bytes)).header.packs[0].sha256
    data = rewritten(gnv_bytes, packs=(Pack(role=role, sha256=main),))
    with pytest.raises((PackError, FormatError), match="pack"):
        gencodec.decode(io.BytesIO(data), tmp_path / "out")
    with pytest.raises((PackError, FormatError), match="pack"):
        gencodec.verify(io.BytesIO(data))
    assert gencodec.info(io.BytesIO(data)).pack.installed is False


def test_the_main_pack_need_not_come_first(gnv_bytes: bytes, tiny_pack: Path) -> None:
    from gencodec.container import Pack

    packs = Reader(io.BytesIO(gnv_bytes)).header.packs
    data = rewritten(gnv_bytes, packs=(Pack(role=1, sha256=bytes(32)), *packs))
    assert len(pixels_of(io.BytesIO(data))) == 29
    assert gencodec.verify(io.BytesIO(data)).frames == 29
    assert gencodec.info(io.BytesIO(data)).pack.name == "tiny"


def test_absurd_sizes_are_refused_before_memory_is_taken(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    data = rewritten(gnv_bytes, width=60_000, height=60_000)
    with pytest.raises(LimitError, match="60000x60000"):
        gencodec.decode(io.BytesIO(data), tmp_path / "out")
    with pytest.raises(LimitError, match="limit is 100"):
        gencodec.decode(io.BytesIO(gnv_bytes), tmp_path / "out", max_pixels=100)


def test_a_larger_picture_than_was_coded_is_reported(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    for size in ({"width": 640}, {"height": 480}, {"width": 9}):
        with pytest.raises(FormatError):
            gencodec.decode(io.BytesIO(rewritten(gnv_bytes, **size)), tmp_path / "out")


def test_the_output_is_checked_before_anything_is_decoded(gnv_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.avi"):
        gencodec.decode(gnv_file, tmp_path / "out.avi")
    coded = gnv_file.rename(tmp_path / "clip.mp4")
    with pytest.raises(OutputError, match="both input and output"):
        gencodec.decode(coded, coded, overwrite=True)
    (tmp_path / "old.mp4").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        gencodec.decode(coded, tmp_path / "old.mp4")
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    for work in (
        lambda: gencodec.decode(tmp_path / "no.gnv", tmp_path / "out"),
        lambda: gencodec.open(tmp_path / "no.gnv"),
        lambda: gencodec.info(tmp_path / "no.gnv"),
        lambda: gencodec.verify(tmp_path),
    ):
        with pytest.raises(SourceError, match="cannot open"):
            work()


def test_errors_while_frames_are_read_name_the_file(gnv_file: Path, gnv_bytes: bytes) -> None:
    second = gencodec.info(gnv_file).groups[1]
    damaged = bytearray(gnv_bytes)
    damaged[second.offset + second.bytes - 5] ^= 1
    gnv_file.write_bytes(damaged)
    with (
        gencodec.open(gnv_file) as video,
        pytest.raises(FormatError, match=rf"{gnv_file}: group 1 is damaged: .*; copy it again"),
    ):
        list(video)
    with (
        open_frames(gnv_file) as frames,
        pytest.raises(FormatError, match=rf"^{gnv_file}: group 1 is damaged"),
    ):
        list(frames)
