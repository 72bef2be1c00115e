"""Encodes and decodes in processes of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.peers.conftest import MakeSource

from gencodec.frames import open_source
from gencodec.peers import CodecError, Peer, decode, encode, find_peer, find_row, identity, process


def _encode(peer: Peer, source: Path, output: Path, setting: float = 30) -> Any:  # noqa: ANN401
    return encode(peer, source, output, setting=setting, pack="mini", device="cpu", threads=1)


def test_a_clip_is_coded_and_decoded_with_its_own_times(
    make_source: MakeSource, tmp_path: Path
) -> None:
    from fractions import Fraction

    ticks = [0, 3, 4, 9]
    source = make_source(tiny.clip(64, 64, 4), ticks=ticks, time_base=Fraction(1, 100))
    peer, stream, shown = find_peer("x264"), tmp_path / "stream", tmp_path / "shown.mov"

    encoded = _encode(peer, source, stream)
    decoded = decode(peer, stream, source, shown, device="cpu", threads=1)

    assert encoded.bytes == stream.stat().st_size
    assert encoded.setting == "crf 30"
    assert encoded.seconds > 0
    assert encoded.peak_bytes > 10e6
    assert decoded.frames == 4
    with open_source(shown) as video:
        assert [f.ticks * video.info.time_base for f in video.frames()] == [
            Fraction(tick, 100) for tick in ticks
        ]


def test_a_codec_that_fails_says_why(make_source: MakeSource, tmp_path: Path) -> None:
    source = make_source(tiny.clip(64, 64, 1))
    with pytest.raises(CodecError, match=r"no encoder libaom-av1|ffmpeg is not on the PATH"):
        _encode(find_peer("ffmpeg-libaom-av1"), source, tmp_path / "out")


def test_a_stream_that_lost_frames_is_no_result(make_source: MakeSource, tmp_path: Path) -> None:
    peer, stream = find_peer("x264"), tmp_path / "stream"
    _encode(peer, make_source(tiny.clip(64, 64, 2)), stream)
    longer = make_source(tiny.clip(64, 64, 3))
    with pytest.raises(CodecError, match="2 frames were decoded, 3 were coded"):
        decode(peer, stream, longer, tmp_path / "shown.mov", device="cpu", threads=1)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_crash_is_a_failure_with_the_name_of_its_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho overflow >&2\nkill -SEGV $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(CodecError, match="SIGSEGV: overflow"):
        _encode(find_peer("x264"), tmp_path / "in", tmp_path / "out")


def test_a_peer_needs_no_torch() -> None:
    import subprocess

    code = "import sys, gencodec.peers.child, gencodec.peers.library; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_what_changes_the_bytes_changes_the_identity(tiny_pack: Path) -> None:
    names = ("gencodec", "gencodec:steps=2", "gencodec:gop=9")
    rows = [identity(find_row(name), str(tiny_pack)) for name in names]
    assert rows[0] != rows[1] != rows[2] != rows[0]
    assert identity(find_row("gencodec:base"), str(tiny_pack)) == rows[0]
    assert identity(find_peer("x264"), "") != identity(find_peer("x264-half"), "")
    assert identity(find_peer("vvenc"), "")["program"] is not None


def test_a_change_of_what_codes_is_measured_anew(
    tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of gencodec all code but what only measures, shows or trains; of a peer what runs it."""
    monkeypatch.setattr(process, "_ROOT", tmp_path)
    (tmp_path / "evaluation").mkdir()
    code, measuring = tmp_path / "codec.py", tmp_path / "evaluation" / "bench.py"
    code.write_text("before")
    measuring.write_text("before")

    def found() -> dict[str, Any]:
        return identity(find_row("gencodec"), str(tiny_pack))

    before = found()
    measuring.write_text("after")
    assert found() == before
    code.write_text("after")
    assert found() != before
