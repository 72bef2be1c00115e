"""What a video has beside its pictures comes back: sound in step, subtitles, tags, chapters."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import pytest
from tests import carried, tiny

import gencodec
from gencodec import GvcSettings, Target
from gencodec.carried import About, Light, Mastering
from gencodec.container import PKT, TRAK, Reader, Unit, Writer
from gencodec.errors import OutputError
from gencodec.frames import Colour, Frame, Sound, open_sink, open_source

LOOK = Target(quality=10)
CLICKS = [0.25, 0.75, 1.25, 1.75]
MILLISECOND = 0.001


def near(found: list[float], expected: list[float]) -> bool:
    return len(found) == len(expected) and all(
        abs(a - b) <= MILLISECOND for a, b in zip(found, expected, strict=True)
    )


def coded(source: Path, pack: Path, mode: str = "opus", target: Target = LOOK) -> Path:
    path = source.with_suffix(".gnv")
    sound = Sound(mode=mode)  # type: ignore[arg-type]
    gencodec.encode(source, path, target=target, pack=pack, sound=sound, overwrite=True)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("copy", "mp4"), ("copy", "mkv"), ("copy", "mov"), ("opus", "mp4"), ("opus", "mkv")],
)
def test_sound_stays_in_step(mode: str, suffix: str, tiny_pack: Path, tmp_path: Path) -> None:
    source = carried.write(tmp_path / "in.mp4")
    assert near(carried.heard(source), CLICKS)
    output = tmp_path / f"out.{suffix}"
    result = gencodec.decode(coded(source, tiny_pack, mode), output)
    assert result.warnings == ()
    assert near(carried.heard(output), CLICKS)
    with av.open(str(output)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == ("aac" if mode == "copy" else "opus")
        assert stream.metadata.get("language") == (None if suffix == "mov" else "deu")


@pytest.mark.parametrize("target", [Target(bpp=0.5), Target(size=9_000)])
def test_the_other_coder_carries_sound_too(target: Target, tiny_pack: Path, tmp_path: Path) -> None:
    source, path = carried.write(tmp_path / "in.mp4"), tmp_path / "in.gnv"
    settings = GvcSettings(steps=5, codebook=4096)
    result = gencodec.encode(source, path, target=target, gop=9, pack=tiny_pack, gvc=settings)
    assert result.carried_bytes > 1000
    assert result.reached
    output = tmp_path / "out.mp4"
    assert gencodec.decode(path, output).warnings == ()
    assert near(carried.heard(output), CLICKS)


def test_mov_has_no_opus_and_says_so(tiny_pack: Path, tmp_path: Path) -> None:
    path = coded(carried.write(tmp_path / "in.mp4"), tiny_pack)
    result = gencodec.decode(path, tmp_path / "out.mov")
    assert result.frames == 50
    (warning,) = result.warnings
    assert warning.startswith("audio opus (deu) is not written to mov")
    assert warning.endswith("use .mkv")


@pytest.mark.parametrize("delay", [Fraction(3, 10), Fraction(-1, 10)])
def test_sound_that_starts_at_another_time_than_the_video(
    delay: Fraction, tiny_pack: Path, tmp_path: Path
) -> None:
    source = carried.write(tmp_path / "in.mkv", delay=delay, codecs=("libopus",))
    before = carried.heard(source)
    with open_source(source) as video:
        start = next(iter(video.frames())).ticks * video.info.time_base
    output = tmp_path / "out.mp4"
    gencodec.decode(coded(source, tiny_pack), output)
    with open_source(output) as video:
        shown = next(iter(video.frames())).ticks * video.info.time_base
    assert near(
        [t - float(shown) for t in carried.heard(output)], [t - float(start) for t in before]
    )


def test_several_tracks_keep_their_language(tiny_pack: Path, tmp_path: Path) -> None:
    source = carried.write(tmp_path / "in.mkv", codecs=("flac", "libopus"), subtitles="subrip")
    path = coded(source, tiny_pack, "copy")
    tracks = gencodec.info(path).tracks
    assert [(t.kind, t.codec, t.language) for t in tracks] == [
        ("audio", "flac", "deu"), ("audio", "opus", "fra"), ("subtitle", "subrip", "eng"),
    ]  # fmt: skip
    info = gencodec.info(path)
    assert info.bytes == info.container_bytes + info.payload_bytes + info.carried_bytes
    assert 0 < sum(track.bytes for track in tracks) < info.carried_bytes
    output = tmp_path / "out.mkv"
    gencodec.decode(path, output)
    assert near(carried.heard(output, 1), CLICKS)


@pytest.mark.parametrize("dispositions", [(1, 0x88, 0x41), (0, 1, 0x4), (0x101, 0, 0x80)])
@pytest.mark.parametrize("mode", ["copy", "opus"])
def test_tracks_keep_what_they_are_for(
    mode: str, dispositions: tuple[int, ...], tiny_pack: Path, tmp_path: Path
) -> None:
    source = carried.write(
        tmp_path / "in.mkv",
        seconds=1,
        codecs=("aac", "libopus"),
        subtitles="subrip",
        dispositions=dispositions,
    )
    output = tmp_path / "out.mkv"
    gencodec.decode(coded(source, tiny_pack, mode), output)
    for path in (source, output):
        with av.open(str(path)) as container:
            purposes = [int(each.disposition) for each in container.streams]
            assert purposes == [1 if path == output else purposes[0], *dispositions]


def test_mp4_says_what_tracks_are_for_as_far_as_it_can(tiny_pack: Path, tmp_path: Path) -> None:
    source = carried.write(
        tmp_path / "in.mkv", seconds=1, codecs=("aac", "aac"), dispositions=(0x8, 1)
    )
    output = tmp_path / "out.mp4"
    gencodec.decode(coded(source, tiny_pack), output)
    with av.open(str(output)) as container:
        assert [int(each.disposition) for each in container.streams][:3] == [1, 0x8, 1]


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mov_text"), ("mkv", "subrip")])
def test_words_and_chapters_and_tags_come_back(
    suffix: str, codec: str, tiny_pack: Path, tmp_path: Path
) -> None:
    source = carried.write(tmp_path / "in.mkv", codecs=(), subtitles="subrip")
    output = tmp_path / f"out.{suffix}"
    gencodec.decode(coded(source, tiny_pack), output)
    with av.open(str(output)) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
        assert tags["title"] == "a walk"
        assert tags["creation_time"] == carried.CREATED
        assert tags["location"] == carried.PLACE
        assert "generated" in tags["comment"]
        assert container.streams.video[0].metadata["language"] == "nld"
        assert "language" not in tags
        chapters = [
            (float(each["start"] * each["time_base"]), each["metadata"]["title"])
            for each in container.chapters()
            if each["time_base"] is not None
        ]
        assert chapters == [(0.0, "One"), (0.7, "Two")]
        stream = container.streams.subtitles[0]
        assert stream.codec_context.codec.canonical_name == codec
        lines = [
            (packet.pts, packet.duration)
            for packet in container.demux(stream)
            if b"hello" in bytes(packet) and stream.time_base == Fraction(1, 1000)
        ]
        assert lines == [(400, 700)]


def test_the_smaller_way_is_taken_unless_one_is_named(tiny_pack: Path, tmp_path: Path) -> None:
    source = carried.write(tmp_path / "in.mkv", codecs=("libopus",))
    sizes = {}
    for mode in ("copy", "opus", "auto", "none"):
        sizes[mode] = gencodec.info(coded(source, tiny_pack, mode)).carried_bytes
    assert sizes["none"] < sizes["auto"] == min(sizes["copy"], sizes["opus"])


def test_bits_per_pixel_count_the_video_and_a_size_counts_everything(
    tiny_pack: Path, tmp_path: Path
) -> None:
    source = carried.write(tmp_path / "in.mp4")
    path = tmp_path / "out.gnv"
    fixed = gencodec.encode(source, path, target=Target(quality=20), pack=tiny_pack)
    video_bytes = fixed.container_bytes + fixed.payload_bytes
    assert fixed.bytes == path.stat().st_size == video_bytes + fixed.carried_bytes
    assert fixed.bpp == gencodec.info(path).bpp == 8 * video_bytes / (32 * 24 * 50)
    kwargs = {"pack": tiny_pack, "overwrite": True}
    sized = gencodec.encode(source, path, target=Target(size=fixed.bytes), **kwargs)  # type: ignore[arg-type]
    assert abs(sized.bytes / fixed.bytes - 1) < 0.04
    rated = gencodec.encode(source, path, target=Target(bpp=fixed.bpp), **kwargs)  # type: ignore[arg-type]
    assert abs((rated.bytes - rated.carried_bytes) / video_bytes - 1) < 0.04


def test_a_part_has_its_own_sound(tiny_pack: Path, tmp_path: Path) -> None:
    path = coded(carried.write(tmp_path / "in.mp4"), tiny_pack)
    output = tmp_path / "part.mp4"
    gencodec.decode(path, output, start=Fraction(1), end=Fraction(9, 5))
    assert near(carried.heard(output), [0.25, 0.75])


def test_parts_in_a_row_are_heard_one_after_the_other(tiny_pack: Path, tmp_path: Path) -> None:
    path = coded(carried.write(tmp_path / "in.mp4"), tiny_pack)
    output = tmp_path / "twice.mp4"
    gencodec.decode(io.BytesIO(2 * path.read_bytes()), output)
    assert near(carried.heard(output), [*CLICKS, *(2 + t for t in CLICKS)])


def test_outputs_without_sound_say_so(tiny_pack: Path, tmp_path: Path) -> None:
    path = coded(carried.write(tmp_path / "in.mp4"), tiny_pack)
    result = gencodec.decode(path, tmp_path / "out.y4m")
    assert result.warnings == (
        "audio opus (deu) is not written: y4m has no sound and no subtitles",
    )


def test_packets_stand_near_the_groups_of_their_time(tiny_pack: Path, tmp_path: Path) -> None:
    path = coded(carried.write(tmp_path / "in.mp4"), tiny_pack)
    kinds = [
        record.type if isinstance(record, Unit) else b"group"
        for record in Reader(io.BytesIO(path.read_bytes())).records()
    ]
    assert kinds[:3] == [b"mETa", TRAK, b"group"]
    assert kinds.count(b"group") == 6
    assert kinds.count(PKT) == 6
    assert kinds[-1] == PKT


class Stdin:
    """Standard input that cannot seek."""

    def __init__(self, stream: BinaryIO) -> None:
        self.buffer = self
        self.read = stream.read

    def seekable(self) -> bool:
        return False


def test_a_pipe_carries_sound_too(
    tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = carried.write(tmp_path / "in.mkv")
    with source.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", Stdin(stream))
        path, output = tmp_path / "out.gnv", tmp_path / "out.mkv"
        gencodec.encode("-", path, target=LOOK, pack=tiny_pack)
    gencodec.decode(path, output)
    assert near(carried.heard(output), CLICKS)


def test_a_phones_clip_comes_back_whole(tiny_pack: Path, tmp_path: Path) -> None:
    """Rotation, a variable rate, AAC and a date."""
    ticks = [0, 20, 39, 61, 80, 100, 122, 140]
    silent = tiny.write_clip(
        tmp_path / "silent.mp4",
        tiny.clip(32, 24, 8),
        ticks,
        time_base=Fraction(1, 600),
        frame_rate=Fraction(30),
        rotation=90,
    )
    source = tmp_path / "in.mp4"
    with av.open(str(silent)) as pictures, av.open(str(source), "w") as container:
        container.metadata["creation_time"] = carried.CREATED
        video = container.add_stream_from_template(pictures.streams.video[0])
        video.set_display_rotation(-90)
        sound = container.add_stream("aac", rate=carried.RATE)
        for packet in pictures.demux():
            if packet.dts is not None:
                packet.stream = video
                container.mux(packet)
        container.mux([*sound.encode(carried.clicks(1, 0, Fraction(0))), *sound.encode(None)])
    output = tmp_path / "out.mp4"
    gencodec.decode(coded(source, tiny_pack, "copy"), output)
    with open_source(source) as before, open_source(output) as after:
        assert before.info.rotation == after.info.rotation == 90
        assert after.about.tags["creation_time"] == carried.CREATED
        for one, other in zip(before.frames(), after.frames(), strict=True):
            assert one.ticks * before.info.time_base == other.ticks * after.info.time_base
    assert near(carried.heard(output), carried.heard(source))


def test_units_that_lie_cost_the_sound_and_not_the_picture(
    gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path, read_frames: Callable[[Path], list[object]]
) -> None:
    reader, out = Reader(io.BytesIO(gnv_bytes)), io.BytesIO()
    groups = list(reader.groups())
    track = b"\1\1\1\xc0\xf7\2\4opus\0\0\0\xc0\xf7\2\2\0not a setup"
    with Writer(out, reader.header) as writer:
        writer.write_unit(b"mETa", b"\xff")
        writer.write_unit(TRAK, track)
        writer.write_unit(TRAK, b"\2")
        for group in groups:
            writer.write_group(group)
            writer.write_unit(PKT, b"\1\1\0\0" + b"\xff" * 50)
            writer.write_unit(PKT, b"\1\xff\0")
            writer.write_unit(PKT, b"\7\1\0\0abc")
    result = gencodec.decode(io.BytesIO(out.getvalue()), tmp_path / "out.mp4")
    assert result.frames == 29
    assert len(read_frames(tmp_path / "out.mp4")) == 29
    assert result.complete
    assert any("META" in text for text in result.warnings)
    assert any("track 7" in text for text in result.warnings)


def test_a_recording_without_sound_has_no_tracks(tiny_pack: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with open_sink(source, tiny.video_info(32, 24)) as sink:
        sink.write(Frame(rgb=tiny.clip(32, 24, 1)[0], ticks=0))
    info = gencodec.info(coded(source, tiny_pack))
    assert (info.tracks, info.carried_bytes) == ((), 0)


# -- what is known of the picture ------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_light_and_colour_come_back_in_ten_bits(
    suffix: str, tiny_pack: Path, tmp_path: Path
) -> None:
    about = About(
        mastering=Mastering(
            red=(34_000, 16_000),
            green=(13_250, 34_500),
            blue=(7_500, 3_000),
            white=(15_635, 16_450),
            luminance=(50, 10_000_000),
        ),
        light=Light(maximum=1000, average=400),
    )
    colour = Colour(primaries=9, transfer=16, matrix=9, range=1)
    source, output = tmp_path / "in.mp4", tmp_path / f"out.{suffix}"
    info = tiny.video_info(32, 24, colour=colour)
    with open_sink(source, info, about=about, pixel_format="yuv420p10le") as sink:
        for tick, rgb in enumerate(tiny.clip(32, 24, 3)):
            sink.write(Frame(rgb=rgb, ticks=tick))
    path = coded(source, tiny_pack)
    gencodec.decode(path, output, pixel_format="yuv420p10le")
    told = gencodec.info(path)
    assert (told.bit_depth, told.content_light) == (10, about.light)
    with open_source(output) as video:
        assert video.about.mastering == about.mastering
        assert video.about.light == about.light
        assert (video.info.colour, video.info.bit_depth) == (colour, 10)


def test_pixel_formats_that_do_not_fit_are_refused(gnv_file: Path, tmp_path: Path) -> None:
    for name, asked in (("a.mp4", "nv12"), ("a.y4m", "gray10le"), ("frames", "yuv420p10le")):
        with pytest.raises(OutputError, match=asked):
            gencodec.decode(gnv_file, tmp_path / name, pixel_format=asked)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gnv"]
