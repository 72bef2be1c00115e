"""Encoders that are programs on the PATH: ffmpeg with any of its encoders, and vvencapp."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from av import VideoFrame

from gencodec.errors import ExecutionError
from gencodec.frames import open_source
from gencodec.peers.codecs import Encoder, Peer
from gencodec.peers.pictures import Geometry, coded_pictures
from gencodec.peers.streams import FORMATS, rewrite_stream

_TOLD = 400  # characters of what a failing program said


def find_program(name: str) -> str:
    """Return the path of a program.

    Raises:
        ExecutionError: it is not on the PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise ExecutionError(f"{name} is not on the PATH; install it, or leave this peer out")
    return found


def program_version(name: str) -> str:
    """Return the first line of what a program says about its version; empty if it says nothing."""
    program = shutil.which(name)
    if program is None:
        return ""
    option = "-version" if name == "ffmpeg" else "--version"
    run = subprocess.run(  # noqa: S603 - a program of the user's PATH, no shell
        [program, option], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    lines = (run.stdout or run.stderr).decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


def write_y4m(peer: Peer, source: Path, path: Path) -> Path:
    """Write the pictures of a video as this peer codes them."""
    with open_source(source) as video:
        info = video.info
    geometry = Geometry.of(info, half=peer.half, depths=peer.encoder.depths)
    with path.open("wb") as file:
        file.write(_y4m_header(geometry, info.frame_rate))
        for picture in coded_pictures(source, geometry):
            file.write(b"FRAME\n")
            _write_planes(file, picture, 2 if geometry.depth > 8 else 1)
    return path


def encode(peer: Peer, setting: float, y4m: Path, output: Path, *, threads: int) -> int:
    """Code pictures that `write_y4m` wrote and return the bytes that count.

    Raises:
        ExecutionError: the program is missing or failed; says what it said.
    """
    program = find_program(peer.runner)
    arguments = _vvencapp if peer.runner == "vvencapp" else _ffmpeg
    command = [program, *arguments(peer.encoder, setting, y4m, output, threads)]
    run = subprocess.run(  # noqa: S603 - a program of the user's PATH, no shell
        command, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    if run.returncode or not output.is_file():
        said = (run.stderr or run.stdout).decode(errors="replace").strip()[-_TOLD:]
        raise ExecutionError(f"{peer.runner} ended with {run.returncode}: {said}")
    return rewrite_stream(output, peer.encoder.stream)


def _ffmpeg(
    encoder: Encoder, setting: float, y4m: Path, output: Path, threads: int
) -> Sequence[str]:
    options = encoder.settings(setting, threads)
    named = [word for name, value in options.items() for word in (f"-{name}", value)]
    head = ("-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", str(y4m))
    return [*head, "-c:v", encoder.name, *named, "-f", FORMATS[encoder.stream], str(output)]


def _vvencapp(
    encoder: Encoder, setting: float, y4m: Path, output: Path, threads: int
) -> Sequence[str]:
    files = ("--input", str(y4m), "--output", str(output), "--verbosity", "1")
    fixed = ("--preset", encoder.options["preset"], "--intraperiod", "8192")
    return [*files, *fixed, "--threads", str(threads), "--qp", f"{setting:g}"]


def _y4m_header(geometry: Geometry, rate: Fraction) -> bytes:
    """Return the stream header. Source: yuv4mpeg(5); "420p10" as FFmpeg and VVenC have it."""
    width, height = geometry.coded
    colour = "420p10 XYSCSS=420P10" if geometry.depth > 8 else "420mpeg2"
    text = f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip C{colour}\n"
    return text.encode()


def _write_planes(file: BinaryIO, picture: VideoFrame, sample_bytes: int) -> None:
    for plane in picture.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        file.write(rows[:, : plane.width * sample_bytes].tobytes())
