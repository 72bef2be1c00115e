from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gencodec.cli import paths
from gencodec.cli.console import Console
from gencodec.cli.signals import Signals
from gencodec.frames import Sound
from gencodec.packs import find_pack
from gencodec.rate import Target

if TYPE_CHECKING:
    from tests.cli.conftest import Gencodec, Library


def test_plain_encode_uses_the_defaults(gencodec: Gencodec, library: Library, video: str) -> None:
    outcome = gencodec("encode", video, "-o", "out.gnv")

    assert outcome.exit_code == 0
    assert outcome.stdout == b""
    args, keywords = library.only
    assert args == ("in.mp4", "out.gnv")
    keywords.pop("on_progress")
    assert keywords == {
        "target": Target(bpp=0.01),
        "gop": None,
        "pack": "mini",
        "effort": 2,
        "device": "auto",
        "threads": None,
        "overwrite": False,
        "max_pixels": None,
        "sound": Sound(),
        "resume": True,
        "gvc": None,
    }


def test_every_option_reaches_the_library(gencodec: Gencodec, library: Library, video: str) -> None:
    pack = str(find_pack("mini"))
    options = (
        f"--gop 17 --pack {pack} --device cuda:1 --threads 3 --max-pixels 1920x1080 --audio opus:24"
    )

    assert gencodec("encode", video, "-o", "out.gnv", *options.split()).exit_code == 0

    _, keywords = library.only
    assert keywords["gop"] == 17
    assert keywords["pack"] == pack
    assert keywords["device"] == "cuda:1"
    assert keywords["threads"] == 3
    assert keywords["max_pixels"] == 1920 * 1080
    assert keywords["sound"] == Sound(mode="opus", kilobits=24)


@pytest.mark.parametrize(
    ("option", "text", "target"),
    [
        ("--bpp", "0.02", Target(bpp=0.02)),
        ("--bitrate", "1.5M", Target(bitrate=1.5e6)),
        ("--size", "2MiB", Target(size=2 * 2**20)),
        ("--quality", "0", Target(quality=0)),
    ],
)
def test_each_rate_option_names_the_target(
    gencodec: Gencodec, library: Library, video: str, option: str, text: str, target: Target
) -> None:
    assert gencodec("encode", video, "-o", "out.gnv", option, text).exit_code == 0
    assert library.only[1]["target"] == target


def test_two_rate_options_are_a_usage_error(
    gencodec: Gencodec, library: Library, video: str
) -> None:
    outcome = gencodec("encode", video, "-o", "out.gnv", "--bpp", "0.01", "--quality", "0")

    assert outcome.exit_code == 2
    assert "--bpp and --quality exclude each other" in outcome.stderr
    assert library.calls == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["in.mp4"], "add -o OUT.gnv"),
        (["in.mp4", "-o", ""], "add -o OUT.gnv"),
        (["-o", "out.gnv"], "Missing argument 'IN'"),
        (["in.mp4", "-o", "x", "--size", "3kbit"], "a size counts bytes"),
        (["in.mp4", "-o", "out.MKV"], "name it out.gnv"),
        (["in.mp4", "-o", "x", "--quality", "64"], "0<=x<=63"),
        (["in.mp4", "-o", "x", "--threads", "0"], "x>=1"),
        (["in.mp4", "-o", "x", "--qualty", "4"], "--quality"),
        (["in.mp4", "-o", "x", "-y", "-n"], "exclude each other"),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(
    gencodec: Gencodec, library: Library, video: str, arguments: list[str], words: str
) -> None:
    outcome = gencodec("encode", *arguments)

    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("error: ")
    assert words in outcome.stderr
    assert "gencodec encode --help" in outcome.stderr
    assert library.calls == []


def test_device_and_threads_can_come_from_the_environment(
    gencodec: Gencodec, library: Library, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENCODEC_DEVICE", "cpu")
    monkeypatch.setenv("GENCODEC_THREADS", "2")

    gencodec("encode", video, "-o", "out.gnv", "--threads", "4")

    assert library.only[1]["device"] == "cpu"
    assert library.only[1]["threads"] == 4


def test_the_summary_says_what_it_is_and_what_it_costs(
    gencodec: Gencodec, library: Library, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "seconds", 40.0)  # the library counts 32.1 of them
    outcome = gencodec("encode", video, "-o", "out.gnv")

    assert outcome.stderr.splitlines() == [
        "out.gnv: 300 frames, 640x360, 0:10.01",
        "38.2 kB, 0.0101 bpp (target 0.0100), 30.5 kbit/s, 1/26.2 of the input; "
        "400 B of it container",
        "40.0 s (7.5 frames/s), quality 20 to 21, pack mini 1, cpu, float32: asked for",
    ]


def test_people_wait_from_the_start_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((100.0, 107.5))
    monkeypatch.setattr("gencodec.cli.console.time.monotonic", lambda: next(clock))
    with Signals() as signals:
        assert Console(signals).seconds == 7.5


def test_the_summary_needs_no_input_file(gencodec: Gencodec, library: Library) -> None:
    outcome = gencodec("encode", "-", "-o", "out.gnv", stdin=b"YUV4MPEG2")
    assert outcome.exit_code == 0
    assert "of the input" not in outcome.stderr


def test_json_prints_the_result_on_stdout_and_nothing_else(
    gencodec: Gencodec, library: Library, video: str
) -> None:
    library.result = replace(library.result, warnings=("audio dropped: aac",))

    outcome = gencodec("encode", video, "-o", "out.gnv", "--json")

    assert outcome.json["bytes"] == 38_200
    assert outcome.json["seconds"] == 10.01
    assert outcome.json["quality"] == [20, 21]
    assert outcome.json["from_the_future"] is None
    assert outcome.stderr == "warning: audio dropped: aac\n"


def test_json_goes_to_stderr_when_stdout_carries_the_file(
    gencodec: Gencodec, library: Library
) -> None:
    outcome = gencodec("encode", "-", "-o", "-", "--json", stdin=b"YUV4MPEG2")

    assert library.only[0] == ("-", "-")
    assert outcome.stdout == library.product
    assert [event["bytes"] for event in outcome.events] == [38_200]


@pytest.mark.parametrize(
    ("too_large", "option", "exit_code"),
    [(True, ["--bpp", "0.01"], 8), (True, [], 0), (False, ["--bpp", "0.01"], 0)],
)
def test_only_a_file_larger_than_a_named_target_exits_with_8(
    gencodec: Gencodec,
    library: Library,
    video: str,
    too_large: bool,
    option: list[str],
    exit_code: int,
) -> None:
    library.result = replace(
        library.result, reached=False, too_large=too_large, warnings=("0.0132 bpp is the nearest",)
    )

    outcome = gencodec("encode", video, "-o", "out.gnv", *option)

    assert outcome.exit_code == exit_code
    assert "warning: 0.0132 bpp is the nearest\n" in outcome.stderr
    assert Path("out.gnv").read_bytes() == library.product


def test_an_existing_output_is_kept_without_a_person_to_ask(
    gencodec: Gencodec, library: Library, video: str
) -> None:
    Path("out.gnv").write_bytes(b"precious")

    outcome = gencodec("encode", video, "-o", "out.gnv")

    assert outcome.exit_code == 4
    assert outcome.stderr == "error: out.gnv exists; add -y to overwrite it\n"
    assert Path("out.gnv").read_bytes() == b"precious"


def test_n_keeps_and_y_replaces_an_existing_output(
    gencodec: Gencodec, library: Library, video: str
) -> None:
    Path("out.gnv").write_bytes(b"precious")

    assert gencodec("encode", video, "-o", "out.gnv", "-n").exit_code == 4
    assert library.calls == []
    assert gencodec("encode", video, "-o", "out.gnv", "-y").exit_code == 0
    assert library.only[1]["overwrite"] is True


@pytest.mark.parametrize(
    ("answer", "exit_code"), [(b"y\n", 0), (b"YES\n", 0), (b"\n", 4), (b"n\n", 4), (b"", 4)]
)
def test_a_person_is_asked_about_an_existing_output(
    gencodec: Gencodec,
    library: Library,
    video: str,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    exit_code: int,
) -> None:
    Path("out.gnv").write_bytes(b"precious")
    monkeypatch.setattr(paths, "is_terminal", lambda name: name != "stdout")

    outcome = gencodec("encode", video, "-o", "out.gnv", stdin=answer)

    assert outcome.exit_code == exit_code
    assert "out.gnv exists. Overwrite it? [y/N]" in outcome.stderr
    assert len(library.calls) == (exit_code == 0)


def test_nobody_is_asked_when_the_input_is_missing(
    gencodec: Gencodec, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out.gnv").write_bytes(b"precious")
    monkeypatch.setattr(paths, "is_terminal", lambda name: name != "stdout")

    assert "Overwrite" not in gencodec("encode", "missing.mp4", "-o", "out.gnv").stderr
    assert library.calls == []


@pytest.mark.parametrize("output", ["in.mp4", "./in.mp4", "link.mp4"])
def test_the_input_is_never_the_output(
    gencodec: Gencodec, library: Library, video: str, output: str
) -> None:
    Path("link.mp4").symlink_to("in.mp4")

    outcome = gencodec("encode", video, "-o", output, "-y")

    assert outcome.exit_code == 4
    assert "is both input and output" in outcome.stderr
    assert library.calls == []


def test_a_folder_is_no_output_of_encode(gencodec: Gencodec, library: Library, video: str) -> None:
    Path("folder").mkdir()
    assert gencodec("encode", video, "-o", "folder", "-y").exit_code == 4


def test_a_device_is_written_without_asking(
    gencodec: Gencodec, library: Library, video: str
) -> None:
    assert gencodec("encode", video, "-o", "/dev/null").exit_code == 0
    assert library.only[1]["overwrite"] is False


def test_a_terminal_gets_no_binary_unless_forced(
    gencodec: Gencodec, library: Library, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "is_terminal", lambda name: name == "stdout")

    outcome = gencodec("encode", video, "-o", "-")
    assert outcome.exit_code == 4
    assert "stdout is a terminal" in outcome.stderr
    assert library.calls == []
    assert gencodec("encode", video, "-o", "-", "--force").exit_code == 0


def test_nobody_has_to_type_a_video(
    gencodec: Gencodec, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "is_terminal", lambda name: name == "stdin")
    assert gencodec("encode", "-", "-o", "out.gnv").exit_code == 2


def test_a_file_called_dash_is_no_stream(gencodec: Gencodec, library: Library) -> None:
    Path("-").write_bytes(b"video")
    gencodec("encode", "./-", "-o", "out.gnv")
    assert library.only[0] == ("./-", "out.gnv")
