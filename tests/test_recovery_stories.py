"""Damage costs what it hits: all other groups come back at their own time, and the loss is told."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests import tiny

import gencodec
from gencodec.concealing import Concealer
from gencodec.container import Reader, Writer
from gencodec.errors import FormatError, TruncatedError
from gencodec.frames import Frame, open_source

ReadFrames = Callable[[Path], list[tuple[Any, Fraction]]]
Command = Callable[..., tuple[int, bytes, str]]
GROUPS = ((0, 9), (9, 18), (18, 27), (27, 29))  # frames of each


class Pipe(io.BytesIO):
    """A stream that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise OSError(f"seek to {offset} from {whence}")


def offsets(data: bytes) -> list[tuple[int, int]]:
    """Return offset and bytes of each group."""
    found = Reader(io.BytesIO(data)).groups()
    return [(each.offset, each.container_bytes + len(each.payload)) for each in found]


def flipped(data: bytes, group: int) -> bytes:
    """Flip a bit in the payload of a group."""
    offset, size = offsets(data)[group]
    at = offset + size - 6
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def without(data: bytes, group: int) -> bytes:
    offset, size = offsets(data)[group]
    return data[:offset] + data[offset + size :]


def frames_of(data: bytes, conceal: str, folder: Path) -> tuple[gencodec.DecodeResult, list[Any]]:
    result = gencodec.decode(io.BytesIO(data), folder, conceal=conceal)  # type: ignore[arg-type]
    from gencodec.frames import open_source

    shown = []
    for path in sorted(folder.iterdir()):
        with open_source(path) as picture:
            shown.append(next(iter(picture.frames())).rgb)
    return result, shown


@pytest.fixture
def whole(gnv_bytes: bytes, tiny_pack: Path) -> list[Any]:
    del tiny_pack
    with gencodec.open(io.BytesIO(gnv_bytes)) as video:
        return [rgb for rgb, _ in video]


@pytest.mark.parametrize("damage", [flipped, without])
@pytest.mark.parametrize("lost", range(4))
def test_all_other_groups_come_back_and_the_lost_one_is_frozen(
    lost: int,
    damage: Callable[[bytes, int], bytes],
    gnv_bytes: bytes,
    whole: list[Any],
    tmp_path: Path,
) -> None:
    result, shown = frames_of(damage(gnv_bytes, lost), "freeze", tmp_path / "out")
    first, end = GROUPS[lost]
    still = whole[first - 1] if first else whole[end]
    expected = [still if first <= n < end else whole[n] for n in range(29)]
    assert np.array_equal(shown, expected)
    assert not result.complete
    assert result.lost_groups == ((0, lost),)
    assert result.lost_times == ((Fraction(first, 25), Fraction(end, 25)),)
    assert result.concealed_frames == end - first
    assert result.damages


@pytest.mark.parametrize("damage", [flipped, without])
@pytest.mark.parametrize("lost", range(4))
def test_frames_with_times_of_their_own_stay_at_them_and_nothing_is_shown_behind_the_last(
    lost: int,
    damage: Callable[[bytes, int], bytes],
    tiny_pack: Path,
    tmp_path: Path,
    read_frames: ReadFrames,
) -> None:
    ticks = [40 * n + 7 * (n % 3) for n in range(29)]  # milliseconds
    clip = tmp_path / "clip.mkv"
    tiny.write_clip(clip, tiny.clip(64, 48, 29), ticks)
    quality = gencodec.Target(quality=20)
    gencodec.encode(clip, tmp_path / "clip.gnv", target=quality, pack=tiny_pack)
    whole = [seconds for _, seconds in read_frames(clip)]
    data = damage((tmp_path / "clip.gnv").read_bytes(), lost)
    output = tmp_path / "out.mkv"
    result = gencodec.decode(io.BytesIO(data), output, conceal="freeze")
    shown = [seconds for _, seconds in read_frames(output)]
    first, end = GROUPS[lost]
    left = whole[:first] + whole[end:]
    assert result.lost_groups == ((0, lost),)
    assert set(left) <= set(shown)
    assert len(shown) == len(left) + result.concealed_frames
    if lost == 3:
        assert result.concealed_frames == end - first
    else:
        assert shown[-1] == whole[-1]


@pytest.mark.parametrize("damage", [flipped, without])
@pytest.mark.parametrize("lost", range(4))
def test_what_is_whole_of_a_damaged_file_is_described(
    lost: int, damage: Callable[[bytes, int], bytes], gnv_bytes: bytes
) -> None:
    data = damage(gnv_bytes, lost)
    found = gencodec.info(io.BytesIO(data))
    assert [row.index for row in found.groups] == [n for n in range(4) if n != lost]
    assert [each.reason for each in found.damages if f"group {lost}" in each.reason]
    assert (found.bytes, found.complete) == (len(data), False)
    pixels = 64 * 48 * sum(row.frames for row in found.groups)
    assert found.bpp <= 8 * len(without(gnv_bytes, lost)) / pixels
    assert found.kbps == pytest.approx(found.bpp * 64 * 48 * 25 / 1000)
    assert not gencodec.info(io.BytesIO(gnv_bytes)).damages


@pytest.mark.usefixtures("tiny_pack")
def test_a_part_that_ends_in_a_lost_group_is_frozen_up_to_its_end(
    gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    data, output = flipped(gnv_bytes, 1), tmp_path / "out"
    start, end = Fraction(7, 25), Fraction(14, 25)
    result = gencodec.decode(io.BytesIO(data), output, conceal="freeze", start=start, end=end)
    assert result.frames == 7
    with open_source(sorted(output.iterdir())[-1]) as picture:
        assert np.array_equal(next(iter(picture.frames())).rgb, whole[8])


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("pipe", [False, True])
def test_a_part_that_goes_on_behind_a_cut_says_so(
    pipe: bool,
    gnv_bytes: bytes,
    tmp_path: Path,
) -> None:
    offset, size = offsets(gnv_bytes)[1]
    cut = gnv_bytes[: offset + size + 9]  # of 29 frames 18 are left

    def part(name: str, start: int, end: int | None) -> gencodec.DecodeResult:
        stream = Pipe(cut) if pipe else io.BytesIO(cut)
        last = None if end is None else Fraction(end, 25)
        return gencodec.decode(stream, tmp_path / name, start=Fraction(start, 25), end=last)

    for name, start, end, frames, complete in (
        ("within", 3, 12, 9, True), ("up to it", 10, 18, 8, True), ("past it", 10, 19, 8, False),
        ("open", 10, None, 8, False),
    ):  # fmt: skip
        result = part(name, start, end)
        assert (result.frames, result.complete) == (frames, complete), name
        assert bool(result.warnings) != complete
    with pytest.raises(TruncatedError):
        part("behind it", 20, None)


def test_what_is_lost_of_another_part_lasts_as_long_as_its_frames_do() -> None:
    first = SimpleNamespace(time_base=Fraction(1, 25), frame_ticks=1, start_tick=0)
    second = SimpleNamespace(time_base=Fraction(1, 600), frame_ticks=12, start_tick=0)
    parts = [SimpleNamespace(header=first), SimpleNamespace(header=second)]
    reader: Any = SimpleNamespace(header=first, parts=parts, missing=(1, 8))
    group: Any = SimpleNamespace(part=0, number=0, frames=2, damaged=False)
    frames = [Frame(rgb=np.zeros((2, 2, 3), np.uint8), ticks=tick) for tick in range(2)]
    concealer = Concealer(reader, "freeze")
    assert list(concealer.group(group, [0, 1], lambda _: iter(frames))) == frames
    assert len(list(concealer.end())) == 8
    assert concealer.groups == [(1, 0)]
    assert concealer.spans == [(2, 6)]


@pytest.mark.usefixtures("tiny_pack")
def test_where_no_group_is_left_frames_are_grey_and_keep_their_times(
    gnv_bytes: bytes, tmp_path: Path
) -> None:
    lost = bytearray(gnv_bytes)
    for offset, size in offsets(gnv_bytes):
        lost[offset + size - 6] ^= 4
    result, shown = frames_of(bytes(lost), "freeze", tmp_path / "out")
    assert np.array_equal(shown, np.full((29, *shown[0].shape), 128))
    assert result.lost_groups == ((0, 0), (0, 1), (0, 2), (0, 3))
    assert result.lost_times == ((Fraction(0), Fraction(29, 25)),)
    assert (result.complete, result.concealed_frames) == (False, 29)
    with pytest.raises(FormatError, match="no group of the file is whole"):
        gencodec.decode(io.BytesIO(lost), tmp_path / "none", conceal="skip")


def test_skipping_keeps_the_times_of_what_is_left(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path, read_frames: ReadFrames
) -> None:
    output = tmp_path / "out.mp4"
    gencodec.decode(io.BytesIO(flipped(gnv_bytes, 1)), output, conceal="skip")
    times = [seconds for _, seconds in read_frames(output)]
    assert times == [Fraction(n, 25) for n in range(29) if not 9 <= n < 18]


def test_damaged_bytes_are_shown_when_asked_for(
    gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    result, shown = frames_of(flipped(gnv_bytes, 1), "base", tmp_path / "out")
    assert result.lost_groups == ((0, 1),)
    assert len(shown) == 29
    assert not np.array_equal(shown[9:18], [whole[8]] * 9)
    assert np.array_equal(shown[18:], whole[18:])


def test_a_cut_file_shows_what_is_whole(gnv_bytes: bytes, whole: list[Any], tmp_path: Path) -> None:
    offset, size = offsets(gnv_bytes)[2]
    result, shown = frames_of(gnv_bytes[: offset + size // 2], "freeze", tmp_path / "out")
    assert np.array_equal(shown, whole[:18])
    assert not result.complete


def test_a_payload_that_decodes_to_something_else_is_lost(
    gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    from dataclasses import replace

    reader, out = Reader(io.BytesIO(gnv_bytes)), io.BytesIO()
    records = list(reader.groups())
    with Writer(out, reader.header) as writer:
        for record in records:
            wrong = record.number == 2
            writer.write_group(replace(record, digest=record.digest ^ wrong))
    result, shown = frames_of(out.getvalue(), "freeze", tmp_path / "out")
    assert result.lost_groups == ((0, 2),)
    assert np.array_equal(shown[18:27], [whole[17]] * 9)


def test_joining_late_in_a_pipe_shows_the_rest(
    gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    late = Pipe(gnv_bytes[offsets(gnv_bytes)[0][0] + 20 :])
    result = gencodec.decode(late, tmp_path / "out.mkv", conceal="skip")
    assert result.lost_groups == ((0, 0),)
    assert (result.frames, result.complete) == (20, False)
    result, shown = frames_of(late.getvalue(), "skip", tmp_path / "out")
    assert np.array_equal(shown, whole[9:])


@pytest.mark.parametrize("lost", [range(3, 4), range(20, 21), range(90)])
def test_a_damaged_header_costs_no_frame(
    lost: range, gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    data = bytearray(gnv_bytes)
    for at in lost:
        data[at] ^= 0x10
    result, shown = frames_of(bytes(data), "freeze", tmp_path / "out")
    first = 9 if len(lost) > 80 else 0  # the first group's beginning is in the stretch
    assert np.array_equal(shown, [whole[9]] * first + whole[first:])
    assert len(result.damages) == (2 if first else 1)
    assert not result.complete


def test_files_in_a_row_are_shown_past_the_header_between_them(
    gnv_bytes: bytes, whole: list[Any], tmp_path: Path
) -> None:
    data = bytearray(gnv_bytes + gnv_bytes)
    data[len(gnv_bytes) + 5] ^= 1
    data[len(gnv_bytes) + 30] ^= 1
    result, shown = frames_of(bytes(data), "freeze", tmp_path / "out")
    assert np.array_equal(shown, whole + whole)
    assert result.lost_groups == ()
    assert len(result.damages) == 1


def test_a_part_can_be_recovered(gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path) -> None:
    data = io.BytesIO(flipped(gnv_bytes, 0))
    output = tmp_path / "out.mp4"
    result = gencodec.decode(data, output, start=Fraction(18, 25), conceal="freeze")
    assert result.frames == 11
    assert result.lost_groups == ((0, 0),)


def test_the_command_tells_the_loss_and_exits_with_7(
    gnv_file: Path, command: Command, tmp_path: Path
) -> None:
    gnv_file.write_bytes(flipped(gnv_file.read_bytes(), 2))
    output = tmp_path / "out.mp4"
    code, _, told = command("decode", gnv_file, "-o", output)
    assert (code, output.exists()) == (6, False)
    assert "--recover" in told
    code, out, told = command("decode", gnv_file, "-o", output, "--recover", "--json")
    assert (code, output.exists()) == (7, True)
    assert "group 2 lost, 9 frames shown in their place: 0.72 to 1.08 s\n" in told
    record = json.loads(out)
    assert (record["lost_groups"], record["frames"], record["complete"]) == ([[0, 2]], 29, False)
    assert record["damages"][0]["reason"].startswith("group 2 is damaged")


def test_verify_names_all_damaged_groups(gnv_bytes: bytes, tiny_pack: Path) -> None:
    offset, size = offsets(gnv_bytes)[1]
    damaged = flipped(gnv_bytes, 3)
    damaged = damaged[:offset] + damaged[offset + size :]
    with pytest.raises(FormatError, match=r"groups 1, 3 cannot be decoded"):
        gencodec.verify(io.BytesIO(damaged))
