"""Runs one encode or decode in a process of its own, which can crash, and whose memory is its own.

The child gets a JSON object on stdin and writes one to a file: programs inside it may print.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gencodec.errors import GencodecError
from gencodec.peers.codecs import Codec, Peer
from gencodec.waiting import BRIEFLY

_ROOT = Path(__file__).parents[1]
_TOLD = 400  # characters of what a crashed process said
_ENVIRONMENT = {"SVT_LOG": "1", **BRIEFLY}
_OUTSIDE = ("evaluation", "training", "cli", "peers")  # parts of the package that code nothing
_PEER_CODE = ("codecs", "library", "pictures", "programs", "streams")  # modules of this folder


class CodecError(GencodecError):
    """A codec could not encode or decode; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What one encode made.

    Attributes:
        bytes: that count, see `gencodec.peers.streams`; of gencodec all of the file.
        setting: what set the rate, for people.
        seconds: wall time.
        peak_bytes: most memory of the process and of what it ran.
    """

    bytes: int
    setting: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """How one decode went; see `Encoded`."""

    frames: int
    seconds: float
    peak_bytes: int


def encode(  # noqa: PLR0913 - what an encode is
    codec: Codec,
    source: Path,
    output: Path,
    *,
    setting: float,
    pack: str,
    device: str,
    threads: int,
) -> Encoded:
    """Code a video.

    Args:
        codec: a peer, or a row of gencodec.
        source: a file that `frames.LosslessSink` wrote.
        output: file to write.
        setting: of the peer's dial; of a row bits per pixel.
        pack: model pack of rows that name none.
        device: where gencodec's networks run.
        threads: CPU threads.

    Raises:
        CodecError: it failed.
    """
    record = _run(
        "encode",
        codec,
        {"source": str(source), "output": str(output), "setting": setting, "pack": pack},
        device=device,
        threads=threads,
    )
    return Encoded(**record)


def decode(
    codec: Codec, stream: Path, source: Path, output: Path, *, device: str, threads: int
) -> Decoded:
    """Decode what `encode` wrote, to a file as `frames.LosslessSink` writes it.

    Args:
        codec: what made the stream.
        stream: the coded file.
        source: the video that was coded; tells a peer's pictures their size and times.
        output: file to write.
        device: where gencodec's networks run.
        threads: CPU threads.

    Raises:
        CodecError: it failed.
    """
    files = {"stream": str(stream), "source": str(source), "output": str(output)}
    return Decoded(**_run("decode", codec, files, device=device, threads=threads))


def identity(codec: Codec, pack: str) -> dict[str, Any]:
    """Return everything that decides what a codec makes of a clip, for keys of a cache.

    Our own code is part of it, so that a change is measured anew.

    Raises:
        PackError: the pack of a row is not installed.
    """
    if isinstance(codec, Peer):
        around = [_ROOT / "frames" / "colour.py"]
        around += [Path(__file__).with_name(f"{module}.py") for module in _PEER_CODE]
        settings = {"peer": codec.name, "code": _digest(around)}
        return {**settings, "av": _version("av"), "program": _program(codec)}
    from gencodec.packs import find_pack, read_manifest

    manifest = read_manifest(find_pack(codec.pack or pack))
    versions = {name: _version(name) for name in ("torch", "numpy", "av")}
    row = {**asdict(codec), "name": "", "base": False}  # how it is decoded changes no byte
    coding = (p for p in _ROOT.rglob("*.py") if p.relative_to(_ROOT).parts[0] not in _OUTSIDE)
    return {**row, "pack": manifest.sha256, "code": _digest(coding), **versions}


def _run(
    job: str, codec: Codec, files: Mapping[str, Any], *, device: str, threads: int
) -> dict[str, Any]:
    """Run a job in a child and return what it answered."""
    with tempfile.TemporaryDirectory(prefix="gencodec-codec-") as folder:
        answer = Path(folder) / "answer.json"
        request = {"job": job, "codec": codec.name, **files, "device": device, "threads": threads}
        request["answer"] = str(answer)
        run = subprocess.run(
            [sys.executable, "-m", "gencodec.peers.child"],
            input=json.dumps(request).encode(),
            capture_output=True,
            env={**os.environ, **_ENVIRONMENT},
            check=False,
        )
        if not answer.exists():
            raise CodecError(_crash(run))
        record: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    if "error" in record:
        raise CodecError(record["error"])
    return record


def _crash(run: subprocess.CompletedProcess[bytes]) -> str:
    """Return why a child ended without an answer."""
    code = run.returncode
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    said = " ".join(run.stderr.decode(errors="replace").split())[-_TOLD:]
    return f"the process ended with {how}" + (f": {said}" if said else "")


def _program(peer: Peer) -> dict[str, Any] | None:
    """Return which program a peer runs; a new one on the PATH is a new codec."""
    from gencodec.peers.programs import find_program

    if peer.runner == "library":
        return None
    try:
        path = Path(find_program(peer.runner)).resolve()
    except GencodecError:
        return {"path": ""}
    facts = path.stat()
    return {"path": str(path), "bytes": facts.st_size, "modified": facts.st_mtime_ns}


@cache
def _version(package: str) -> str:
    return version(package)


def _digest(code: Iterable[Path]) -> str:
    """Return a digest of source files as they are now: a child reads them now, too."""
    digest = hashlib.sha256()
    for path in sorted(code):
        digest.update(f"{path.relative_to(_ROOT).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
