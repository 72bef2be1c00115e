"""Programs on the PATH, played by scripts: what they are called with, and what happens then."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from tests import tiny
from tests.peers.conftest import MakeSource

from gencodec.errors import ExecutionError
from gencodec.frames import open_source
from gencodec.peers import find_peer, library, programs
from gencodec.peers.pictures import Geometry

_SCRIPT = """#!{python}
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
(here / "arguments").write_text("\\n".join(sys.argv[1:]))
if (here / "product").exists():
    output = sys.argv[sys.argv.index("--output") + 1] if "--output" in sys.argv else sys.argv[-1]
    shutil.copy(here / "product", output)
else:
    sys.exit("no such preset")
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs are scripts")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH, with both programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ffmpeg", "vvencapp"):
        script = folder / name
        script.write_text(_SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_ffmpeg_codes_what_is_written_for_it(
    make_source: MakeSource, path: Path, tmp_path: Path
) -> None:
    source = make_source(tiny.clip(64, 64, 4))
    peer = find_peer("ffmpeg-libx264")
    with open_source(source) as video:
        geometry = Geometry.of(video.info, half=False, depths=(8,))
    size = library.encode(peer.encoder, 20, source, path / "product", half=False, threads=1)
    y4m = programs.write_y4m(peer, source, tmp_path / "in.y4m")

    found = programs.encode(peer, 20, y4m, tmp_path / "out.h264", threads=2)

    assert found == size
    assert len(list(library.decode("h264", tmp_path / "out.h264", geometry, threads=1))) == 4
    arguments = (path / "arguments").read_text().splitlines()
    assert arguments[-1] == str(tmp_path / "out.h264")
    assert arguments[arguments.index("-crf") + 1] == "20"
    assert arguments[arguments.index("-c:v") + 1] == "libx264"


@pytest.mark.parametrize(
    ("name", "wanted"), [("ffmpeg-libx264", (64, 64)), ("vvenc-half", (32, 32))]
)
def test_programs_get_the_pictures_that_encoders_in_the_library_get(
    make_source: MakeSource, tmp_path: Path, name: str, wanted: tuple[int, int]
) -> None:
    source = make_source(tiny.clip(64, 64, 3))
    y4m = programs.write_y4m(find_peer(name), source, tmp_path / "in.y4m")
    with open_source(y4m) as video:
        assert (video.info.width, video.info.height) == wanted
        assert video.info.frame_rate == 25
        assert video.info.bit_depth == (10 if name.startswith("vvenc") else 8)
        frames = [frame.rgb for frame in video.frames()]
    assert len(frames) == 3
    with open_source(source) as video:
        first = next(video.frames()).rgb
    step = 64 // wanted[0]
    small = first.reshape(64 // step, step, 64 // step, step, 3).mean((1, 3))
    assert np.abs(frames[0] - small).mean() < 4


def test_vvenc_gets_quality_and_threads(
    make_source: MakeSource, path: Path, tmp_path: Path
) -> None:
    (path / "product").write_bytes(b"\0\0\0\1stream")
    peer = find_peer("vvenc")
    y4m = programs.write_y4m(peer, make_source(tiny.clip(64, 64, 1)), tmp_path / "in.y4m")
    assert programs.encode(peer, 37, y4m, tmp_path / "out.vvc", threads=2) == 10
    arguments = (path / "arguments").read_text().splitlines()
    assert arguments[arguments.index("--qp") + 1] == "37"
    assert arguments[arguments.index("--threads") + 1] == "2"


def test_what_a_failing_program_says_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="vvencapp ended with 1: no such preset"):
        programs.encode(find_peer("vvenc"), 37, tmp_path / "in", tmp_path / "out", threads=1)


def test_a_program_is_asked_for_its_version(path: Path) -> None:
    (path / "ffmpeg").write_text("#!/bin/sh\n")
    assert programs.program_version("ffmpeg") == ""
    (path / "ffmpeg").write_text("#!/bin/sh\necho ffmpeg version 9 of today\necho more\n")
    assert programs.program_version("ffmpeg") == "ffmpeg version 9 of today"
    assert programs.program_version("absent") == ""


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExecutionError, match="ffmpeg is not on the PATH"):
        programs.find_program("ffmpeg")
