"""What is read from videos of many kinds, and what is said of those that cannot be read."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from gencodec.errors import LimitError, SourceError
from gencodec.frames import Limits, open_source
from gencodec.frames.ffmpeg import PipeReader

MakeVideo = Callable[..., Path]
Draw = Callable[..., NDArray[np.uint8]]

COUNT_FROM_STDIN = """
import sys
from gencodec.frames import open_source
with open_source("-") as source:
    frames = list(source.frames())
    sys.stdout.write(f"{source.info.width}x{source.info.height} {len(frames)} {source.rewindable}")
"""


def _pictures(draw: Draw, count: int, pixel_format: str, size: tuple[int, int]) -> list[VideoFrame]:
    return [
        VideoFrame.from_ndarray(draw(*size, at), format="rgb24").reformat(format=pixel_format)
        for at in range(count)
    ]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "depth", "tolerance"),
    [
        ("a.mkv", "ffv1", "yuv420p", 8, 30),
        ("a.mkv", "ffv1", "yuv444p10le", 10, 4),
        ("a.mkv", "ffv1", "yuv444p12le", 12, 4),
        ("a.mkv", "ffv1", "gbrp10le", 10, 1),
        ("a.mkv", "ffv1", "bgra", 8, 0),
        ("a.mov", "png", "rgb24", 8, 0),
        ("a.avi", "mjpeg", "yuvj444p", 8, 40),
        ("a.webm", "libvpx-vp9", "yuv420p", 8, 60),
        ("a.ts", "mpeg2video", "yuv420p", 8, 80),
        ("a.gif", "gif", "rgb8", 8, 60),
        ("a.y4m", "wrapped_avframe", "yuv444p", 8, 4),
    ],
)
def test_frames_of_every_format_become_rgb(
    make_video: MakeVideo, picture: Draw, name: str, codec: str, pixel_format: str, depth: int,
    tolerance: int,
) -> None:  # fmt: skip
    path = make_video(name, _pictures(picture, 4, pixel_format, (46, 34)), codec=codec)
    with open_source(path) as source:
        frames = list(source.frames())
    assert (source.info.width, source.info.height, source.info.bit_depth) == (46, 34, depth)
    assert len(frames) == 4
    for at, frame in enumerate(frames):
        assert frame.rgb.shape == (34, 46, 3)
        assert frame.rgb.dtype == np.uint8
        difference = np.abs(frame.rgb.astype(int) - picture(46, 34, at))
        assert np.percentile(difference, 95) <= tolerance


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (35, 17)])
def test_odd_sizes_are_read(make_video: MakeVideo, picture: Draw, size: tuple[int, int]) -> None:
    frames = _pictures(picture, 2, "yuv420p", size)
    path = make_video("odd.y4m", frames, codec="wrapped_avframe")
    with open_source(path) as source:
        assert [frame.rgb.shape for frame in source.frames()] == [(size[1], size[0], 3)] * 2


def test_varying_times_are_exact(make_video: MakeVideo, picture: Draw) -> None:
    ticks = [90, 3093, 6096, 20000, 20001, 50000]
    path = make_video(
        "vfr.mp4",
        _pictures(picture, 6, "yuv420p", (32, 16)),
        codec="libx264",
        ticks=ticks,
        time_base=Fraction(1, 90000),
    )
    with open_source(path) as source:
        found = [frame.ticks * source.info.time_base for frame in source.frames()]
    # Without a timescale of its own, this writer starts the track at a whole millisecond.
    assert [each - found[0] for each in found] == [Fraction(t - 90, 90000) for t in ticks]


def test_a_file_can_be_read_again(make_video: MakeVideo, picture: Draw) -> None:
    path = make_video("a.mkv", _pictures(picture, 5, "yuv420p", (32, 16)))
    with open_source(path) as source:
        assert source.rewindable
        first, again, part = source.frames(), source.frames(), source.frames()
        assert next(part).ticks == 0
        pairs = list(zip(first, again, strict=True))
    assert len(pairs) == 5
    assert all((a.rgb == b.rgb).all() and a.ticks == b.ticks for a, b in pairs)
    assert list(part) == []  # closed


def test_other_streams_are_named(make_video: MakeVideo, picture: Draw) -> None:
    frames = _pictures(picture, 3, "yuv420p", (32, 16))
    path = make_video("sound.mp4", frames, codec="libx264", audio=True)
    with open_source(path) as source:
        assert source.skipped == ("audio aac",)
        assert len(list(source.frames())) == 3


def test_interlaced_video_is_deinterlaced_and_said_to_be(
    make_video: MakeVideo, picture: Draw
) -> None:
    path = make_video(
        "fields.mp4",
        _pictures(picture, 7, "yuv420p", (64, 64)),
        codec="libx264",
        options={"x264-params": "tff=1", "crf": "1"},
        ticks=[0, 2, 4, 6, 9, 10, 12],
    )
    with open_source(path) as source:
        frames = list(source.frames())
    assert source.info.field_order in (2, 4)
    assert "deinterlaced" in source.notes[0]
    seconds = [frame.ticks * source.info.time_base for frame in frames]
    assert seconds == [Fraction(t, 25) for t in (0, 2, 4, 6, 9, 10, 12)]
    for at, frame in enumerate(frames):
        difference = np.abs(frame.rgb.astype(int) - picture(64, 64, at))
        assert np.median(difference) < 12


def test_transparency_is_said_to_be_dropped(make_video: MakeVideo, picture: Draw) -> None:
    path = make_video("alpha.mkv", _pictures(picture, 2, "bgra", (16, 16)))
    with open_source(path) as source:
        assert source.notes == ("transparency is dropped",)


def test_a_name_is_never_a_protocol(make_video: MakeVideo, picture: Draw) -> None:
    path = make_video("a.mkv", _pictures(picture, 2, "yuv420p", (16, 16)))
    strange = path.rename(path.with_name("concat:b%d.mkv"))
    with open_source(strange) as source:
        assert len(list(source.frames())) == 2


def _wav(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.mp4": (lambda path: None, "no such file"),
    "empty.mp4": (lambda path: path.touch(), "invalid data"),
    "notes.txt": (lambda path: path.write_text("hello\n" * 100), "is text"),
    "notes.mp4": (lambda path: path.write_text("hello\n" * 100), "invalid data"),
    "folder": (lambda path: path.mkdir(), "is a directory"),
    "sound.wav": (_wav, "no video stream; it holds audio pcm_s16le"),
    "zeros.bin": (lambda path: path.write_bytes(bytes(5000)), "invalid data"),
    "header.y4m": (lambda path: path.write_bytes(b"YUV4MPEG2 W16 H16 F25:1\n"), "no frame"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_video_is_named_with_the_reason(tmp_path: Path, name: str) -> None:
    make, reason = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(SourceError, match=reason) as caught:
        open_source(tmp_path / name)
    assert name in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise av.PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(SourceError, match="permission denied") as caught:
        open_source(tmp_path / "secret.mp4")
    assert isinstance(caught.value.__cause__, av.PermissionError)


def test_a_large_picture_is_refused_before_decoding(make_video: MakeVideo, picture: Draw) -> None:
    path = make_video("a.mkv", _pictures(picture, 2, "yuv420p", (64, 32)))
    with pytest.raises(LimitError, match=r"64x32, 2048 pixels.* 2047 .*--max-pixels"):
        open_source(path, limits=Limits(max_pixels=2047))
    open_source(path, limits=Limits(max_pixels=2048)).close()


def _h264_with_the_index_in_front(make_video: MakeVideo, picture: Draw, tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(20)]
    frames = [VideoFrame.from_ndarray(each, format="rgb24").reformat(format="yuv420p")
              for each in noise]  # fmt: skip
    path = make_video("late.mp4", frames, codec="libx264")
    early = tmp_path / "early.mp4"
    with (
        av.open(str(path)) as reader,
        av.open(str(early), "w", options={"movflags": "faststart"}) as writer,
    ):
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(reader.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)
    return early


def test_a_truncated_video_names_the_frame(
    make_video: MakeVideo, picture: Draw, tmp_path: Path
) -> None:
    path = _h264_with_the_index_in_front(make_video, picture, tmp_path)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        open_source(cut) as source,
        pytest.raises(SourceError, match=r"cut\.mp4 .*frame \d+ of 20"),
    ):
        list(source.frames())


def test_a_truncated_index_is_reported(
    tmp_path: Path, make_video: MakeVideo, picture: Draw
) -> None:
    path = make_video("a.mp4", _pictures(picture, 3, "yuv420p", (32, 16)), codec="libx264")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="no frame"):
        open_source(path)


def test_a_change_of_size_names_the_frame(
    make_video: MakeVideo, picture: Draw, tmp_path: Path
) -> None:
    parts = [
        make_video(name, _pictures(picture, 3, "yuv420p", size), codec="libx264").read_bytes()
        for name, size in (("a.h264", (64, 32)), ("b.h264", (48, 32)))
    ]
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(parts))
    with open_source(joined) as source, pytest.raises(SourceError, match="frame 3 is 48x32"):
        list(source.frames())


@pytest.mark.parametrize("name", ["a.y4m", "a.mkv", "a.ts"])
def test_a_pipe_is_read_to_its_end(make_video: MakeVideo, picture: Draw, name: str) -> None:
    codecs = {"a.y4m": "wrapped_avframe", "a.mkv": "ffv1", "a.ts": "mpeg2video"}
    path = make_video(name, _pictures(picture, 6, "yuv420p", (48, 32)), codec=codecs[name])
    with subprocess.Popen(
        [sys.executable, "-c", COUNT_FROM_STDIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        output, _ = reader.communicate(path.read_bytes())
    assert output == b"48x32 6 False"


def test_a_redirected_file_may_have_its_index_at_the_end(
    make_video: MakeVideo, picture: Draw
) -> None:
    path = make_video("a.mp4", _pictures(picture, 6, "yuv420p", (48, 32)), codec="libx264")
    with path.open("rb") as file:
        result = subprocess.run(
            [sys.executable, "-c", COUNT_FROM_STDIN], stdin=file, capture_output=True, check=True
        )
    assert result.stdout == b"48x32 6 False"


class _Stdin:
    """Standard input that reads from a stream of the test's own."""

    def __init__(self, stream: object) -> None:
        self.buffer = stream


class _Stream:
    """A stream that fails, or delivers a byte at a time."""

    def __init__(self, data: bytes, failure: BaseException | None = None) -> None:
        self._data, self._at, self._failure = data, 0, failure

    def seekable(self) -> bool:
        return False

    def read1(self, size: int) -> bytes:
        part = self._data[self._at : self._at + min(size, 97)]
        self._at += len(part)
        if not part and self._failure:
            raise self._failure
        return part

    read = read1


def test_reading_does_not_depend_on_how_a_pipe_is_split(
    make_video: MakeVideo, picture: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video("a.mkv", _pictures(picture, 3, "yuv420p", (16, 16)))
    monkeypatch.setattr(sys, "stdin", _Stdin(_Stream(path.read_bytes())))
    with open_source("-") as piped, open_source(path) as stored:
        pairs = list(zip(piped.frames(), stored.frames(), strict=True))
        assert all((a.rgb == b.rgb).all() for a, b in pairs)
        with pytest.raises(SourceError, match="only once"):
            piped.frames()


@pytest.mark.parametrize("share", [0, 0.6])
def test_an_interrupt_while_reading_a_pipe_arrives(
    make_video: MakeVideo, picture: Draw, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    data = make_video("a.mkv", _pictures(picture, 9, "yuv420p", (64, 64))).read_bytes()
    stream = _Stream(data[: int(len(data) * share)], KeyboardInterrupt())
    monkeypatch.setattr(sys, "stdin", _Stdin(stream))
    with pytest.raises(KeyboardInterrupt), open_source("-") as source:
        list(source.frames())


def test_a_pipe_that_fails_is_a_source_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(_Stream(b"", OSError(5, "Input/output error"))))
    with pytest.raises(SourceError, match="standard input cannot be read: input/output error"):
        open_source("-")


def test_an_empty_pipe_is_a_source_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(_Stream(b"")))
    with pytest.raises(SourceError, match=PipeReader.name):
        open_source("-")
