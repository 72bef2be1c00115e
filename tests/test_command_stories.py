"""The command line on real files: exit codes, pipes between processes, what is imported."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny

import gencodec

Command = Callable[..., tuple[int, bytes, str]]


def test_encode_decode_info_verify(
    command: Command, clip_file: Path, tiny_pack: Path, tmp_path: Path
) -> None:
    coded, output = tmp_path / "a.gnv", tmp_path / "out.mp4"
    arguments = ("encode", clip_file, "-o", coded, "--pack", tiny_pack, "--bpp", "0.15")
    code, out, err = command(*arguments, "--json", "--progress", "off")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["bytes"] == coded.stat().st_size
    assert abs(made["bpp"] / 0.15 - 1) <= 0.03
    assert (made["frames"], made["pack"]) == (29, "tiny 1")
    code, out, _ = command("decode", coded, "-o", output, "--json", "--progress", "off")
    assert code == 0
    assert json.loads(out)["frames"] == 29
    code, out, _ = command("info", coded, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["pack"]["name"] == "tiny"
    code, out, _ = command("verify", coded, "--json", "--progress", "off")
    assert code == 0
    assert json.loads(out)["symbols"] > 1_000
    code, out, _ = command("info", coded)
    assert code == 0
    assert b"tiny" in out


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--size", "100"), 8), (("--size", "1MB"), 0), ((), 8), (("--quality", "3"), 0)],
)
def test_a_named_target_that_is_exceeded_exits_with_8(
    options: tuple[str, ...],
    code: int,
    command: Command,
    clip_file: Path,
    tiny_pack: Path,
    tmp_path: Path,
) -> None:
    arguments = ["encode", clip_file, "-o", tmp_path / "a.gnv", "--pack", tiny_pack]
    found, _, err = command(*arguments, "--progress", "off", *options)
    assert (tmp_path / "a.gnv").exists()
    if not options:  # the default is nobody's wish
        assert found == 0
        assert "not reached" in err
    else:
        assert found == code


def faults(data: bytes) -> dict[str, tuple[bytes, int]]:
    """Files that cannot be used, with the exit code of `verify`."""
    newer = bytearray(data)
    newer[16] = 2
    return {
        "empty": (b"", 6),
        "foreign": (b"\x89PNG\r\n\x1a\n" + bytes(100), 6),
        "text mode": (data.replace(b"\r\n", b"\n"), 6),
        "header": (data[:20] + bytes([data[20] ^ 1]) + data[21:], 6),
        "cut in the header": (data[:40], 7),
        "cut in its only group": (data[:130], 7),
        "cut in the signature": (data[:5], 6),
        "trailing bytes": (data + b"x", 6),
    }


@pytest.mark.parametrize("name", list(faults(bytes(100))))
def test_a_bad_file_exits_with_its_code(
    name: str, command: Command, gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path, clip_file: Path
) -> None:
    content, code = faults(gnv_bytes)[name]
    path = tmp_path / "bad.gnv"
    path.write_bytes(content)
    advice = "gencodec encode" if name == "foreign" else "copy it again"
    for arguments in (
        ("verify", path),
        ("info", path),
        ("decode", path, "-o", tmp_path / "out.mp4"),
        ("eval", clip_file, path, "--metrics", "psnr_y", "--device", "cpu"),
    ):
        found, _, err = command(*arguments)
        assert found == code, arguments
        assert "Traceback" not in err
        said = err.splitlines()[-1]
        assert said.startswith(f"error: {path}: ")
        assert said.count(str(path)) == 1
        assert advice in said
        assert ("nothing can be decoded" in said) == (code == 7)
    assert [each.name for each in tmp_path.iterdir()] == ["bad.gnv"]


@pytest.mark.parametrize("content", [None, b"no video"])
def test_a_file_that_is_not_what_a_command_reads_is_named(
    content: bytes | None, command: Command, clip_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    for arguments in (
        ("encode", path, "-o", tmp_path / "out.gnv"),
        ("decode", path, "-o", tmp_path / "out.mp4"),
        ("info", path),
        ("verify", path),
        ("eval", clip_file, path),
        ("eval", path, clip_file),
    ):
        found, _, err = command(*arguments)
        coded = arguments[0] in ("decode", "info", "verify") and content is not None
        assert found == (6 if coded else 3), arguments
        assert str(path) in err
        assert ("name a file that can be read" in err) == (content is None)


def test_stdin_is_named_too(
    command: Command, gnv_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("verify", "info"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gnv_bytes[:40])))
        code, _, err = command(name, "-")
        assert code == 7
        assert err.startswith("error: standard input: the file ends")


@pytest.mark.parametrize("size", [-1, 0, 15])
def test_what_is_missing_at_the_end_exits_with_7(
    size: int, command: Command, gnv_file: Path, gnv_bytes: bytes, tmp_path: Path
) -> None:
    end = gencodec.info(gnv_file).groups[3].offset + size if size >= 0 else size
    gnv_file.write_bytes(gnv_bytes[:end])
    assert command("verify", gnv_file, "--progress", "off")[0] == 7
    code, _, err = command("decode", gnv_file, "-o", tmp_path / "out.mp4", "--progress", "off")
    assert code == 7
    assert "cut" in err
    assert (tmp_path / "out.mp4").exists()


def test_other_failures_have_their_codes(
    command: Command,
    clip_file: Path,
    gnv_file: Path,
    tiny_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out.gnv"
    quiet = ("--progress", "off")
    cases: list[tuple[int, tuple[Any, ...]]] = [
        (3, ("encode", tmp_path / "no.mp4", "-o", output, "--pack", tiny_pack)),
        (3, ("encode", clip_file, "-o", output, "--pack", tiny_pack, "--max-pixels", "100")),
        (2, ("encode", clip_file, "-o", output, "--pack", tiny_pack, "--gop", "10")),
        (3, ("encode", gnv_file, "-o", output, "--pack", tiny_pack)),
        (4, ("encode", clip_file, "-o", gnv_file, "--pack", tiny_pack, "-n")),
        (4, ("encode", clip_file, "-o", "/dev/full", "--pack", tiny_pack)),
        (4, ("decode", gnv_file, "-o", tmp_path / "no" / "out.mp4")),
        (5, ("encode", clip_file, "-o", output, "--pack", "no-such")),
        (9, ("encode", clip_file, "-o", output, "--pack", tiny_pack, "--device", "cuda:77")),
        (2, ("decode", gnv_file, "-o", tmp_path / "out.mp4", "--start", "50")),
    ]
    for code, arguments in cases:
        found, _, err = command(*arguments, *quiet)
        assert (found, "Traceback" in err) == (code, False), arguments
        assert "this is a bug" not in err, arguments
    monkeypatch.delenv("GENCODEC_PACKS")
    assert command("decode", gnv_file, "-o", tmp_path / "out.mp4", *quiet)[0] == 5
    assert command("verify", gnv_file, *quiet)[0] == 5
    assert command("info", gnv_file)[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.gnv"]


@pytest.mark.parametrize("name", ["out.y4m", "out.mp4", "out/"])
def test_a_disk_that_fills_up_while_decoding(
    name: str, command: Command, gnv_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gencodec.frames.sink.YuvConverter.convert", full)
    monkeypatch.setattr("gencodec.frames.sink.PngSink.write", full)
    code, _, err = command("decode", gnv_file, "-o", f"{tmp_path}/{name}", "--progress", "off")
    assert code == 4
    assert "no space left" in err.lower()
    assert f"{tmp_path / name}" in err
    assert ".partial" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["clip.gnv"]


def test_models_are_listed_and_verified(command: Command, tiny_pack: Path, tmp_path: Path) -> None:
    code, out, _ = command("models", "list")
    assert code == 0
    assert b"tiny" in out
    assert command("models", "verify", "tiny")[0] == 0


def test_a_pipe_of_processes(clip_file: Path, tiny_pack: Path, tmp_path: Path) -> None:
    """y4m in, .gnv through a pipe, y4m out: three programs, no file between them."""
    program = [sys.executable, "-m", "gencodec"]
    environment = os.environ | {"GENCODEC_PACKS": str(tiny_pack)}
    with clip_file.open("rb") as source, (tmp_path / "out.y4m").open("wb") as result:
        encoder = subprocess.Popen(
            [*program, "encode", "-", "-o", "-", "--pack", "tiny", "--bpp", "0.2"],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        decoder = subprocess.Popen(
            [*program, "decode", "-", "-o", "-", "--progress", "off"],
            stdin=encoder.stdout,
            stdout=result,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert encoder.stdout is not None
        encoder.stdout.close()
        told = decoder.communicate(timeout=600)[1].decode()
        encoder.communicate(timeout=600)
    assert (encoder.returncode, decoder.returncode) == (0, 0), told
    from gencodec.frames import open_source

    with open_source(tmp_path / "out.y4m") as video:
        shown = [frame.rgb for frame in video.frames()]
    assert len(shown) == 29
    error = np.mean((np.array(shown, np.float64) - np.array(tiny.clip(64, 48, 29))) ** 2)
    assert 10 * np.log10(255**2 / error) > 18


_NO_TORCH = """
import sys
import gencodec
from gencodec.cli.main import run
code = run(["info", sys.argv[1], "--json"]) or run(["verify", sys.argv[1]])
heavy = sorted({"torch", "diffusers", "av", "compressai", "transformers"} & set(sys.modules))
print(*heavy, file=sys.stderr)
sys.exit(code or len(heavy))
"""


def test_info_and_verify_import_neither_torch_nor_a_video_library(gnv_file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _NO_TORCH, str(gnv_file)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert json.loads(done.stdout.splitlines()[0])["frames"] == 29


def test_info_has_every_field_that_was_promised(gnv_file: Path) -> None:
    told = json.loads(json.dumps(gencodec.info(gnv_file).as_dict()))
    promised = "format_version width height frames fps duration bpp kbps bytes profile pack groups"
    assert set(promised.split()) <= set(told)
    assert {"name", "sha256", "installed"} <= set(told["pack"])
    rows = told["groups"]
    for row in rows:
        assert {"index", "offset", "bytes", "frames", "start", "quality", "cut"} <= set(row)
    data = gnv_file.read_bytes()
    assert told["format_version"] == "1.0"
    assert (told["width"], told["height"], told["frames"], told["fps"]) == (64, 48, 29, 25.0)
    assert told["duration"] == pytest.approx(29 / 25)
    assert told["bytes"] == len(data) == told["container_bytes"] + told["payload_bytes"]
    assert told["bpp"] == pytest.approx(8 * len(data) / (64 * 48 * 29))
    assert told["kbps"] == pytest.approx(8 * len(data) / (29 / 25) / 1000)
    assert told["profile"] == "gnvc-vd"
    assert told["pack"]["installed"] is True
    assert [row["start"] for row in rows] == pytest.approx([0, 9 / 25, 18 / 25, 27 / 25])
    assert [row["frames"] for row in rows] == [9, 9, 9, 2]
    for row, following in pairwise(rows):
        assert row["offset"] + row["bytes"] == following["offset"]
        assert data[row["offset"] : row["offset"] + 2] == b"\xc7\xd0"


def test_group_starts_count_from_the_first_frame(tiny_pack: Path, tmp_path: Path) -> None:
    """As `--start`, `seek` and `duration` do, whatever the source's clock said."""
    source = tiny.write_clip(tmp_path / "in.mp4", tiny.clip(32, 24, 12), range(500, 512))
    gencodec.encode(source, tmp_path / "a.gnv", target=gencodec.Target(quality=9), pack=tiny_pack)
    told = gencodec.info(tmp_path / "a.gnv")
    assert [row.start for row in told.groups] == pytest.approx([0, 9 / 25])


def test_verify_counts_what_it_checked(gnv_file: Path) -> None:
    result = gencodec.verify(gnv_file)
    positions = 8 * 6  # latents of 64x48
    latents = 3 + 3 + 3 + 2
    assert (result.groups, result.frames, result.complete) == (4, 29, True)
    assert result.bytes == gnv_file.stat().st_size
    assert result.symbols == latents * (8 * positions + 2 * 2 * 2)
