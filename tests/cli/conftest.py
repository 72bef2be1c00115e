"""A library that does nothing but remember how the command line called it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from gencodec.cli.main import run
from gencodec.container import SIGNATURE
from gencodec.progress import Progress, Report


@dataclass
class Result:
    """Every field of every result of the library, and one no version of the CLI knows."""

    frames: int = 300
    groups: int = 10
    width: int = 640
    height: int = 360
    seconds: Fraction = Fraction(1001, 100)
    bytes: int = 38_200
    container_bytes: int = 400
    carried_bytes: int = 0
    payload_bytes: int = 37_800
    bpp: float = 0.0101
    kbps: float = 30.5
    target_bytes: int | None = 37_822
    target_bpp: float = 0.01
    reached: bool = True
    too_large: bool = False
    quality: tuple[int, int] = (20, 21)
    atoms: tuple[float, float] | None = None
    pack: str = "mini 1"
    device: str = "cpu, float32: asked for"
    encode_seconds: float = 32.1
    resumed: int = 0
    decode_seconds: float = 20.0
    steps: tuple[int, int] = (2, 2)
    symbols: int = 12345
    complete: bool = True
    warnings: tuple[str, ...] = ()
    from_the_future: float = float("inf")


@dataclass
class Info:
    record: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return self.record


def info_record() -> dict[str, Any]:
    return {
        "format_version": "1.0",
        "width": 640,
        "height": 360,
        "frames": 300,
        "fps": 29.97,
        "duration": 10.01,
        "rotation": 90,
        "sample_aspect": "8:9",
        "colour": {"primaries": 1, "transfer": 2, "matrix": 1, "range": 0},
        "bit_depth": 8,
        "bpp": 0.0101,
        "kbps": 30.5,
        "bytes": 38_200,
        "container_bytes": 400,
        "carried_bytes": 900,
        "tags": {"title": "a walk"},
        "chapters": [[0.0, 1.5, "One"], [1.5, 10.01, ""]],
        "mastering_display": None,
        "prompt": "",
        "content_light": {"maximum": 1000, "average": 400},
        "tracks": [
            {
                "number": 1,
                "kind": "audio",
                "codec": "opus",
                "language": "deu",
                "title": "",
                "dispositions": ["default"],
                "sample_rate": 48_000,
                "channels": 2,
                "packets": 50,
                "bytes": 800,
            }
        ],
        "payload_bytes": 37_800,
        "profile": "gnvc-vd",
        "pack": {"name": "mini", "sha256": "ab" * 32, "installed": True},
        "complete": True,
        "damages": [],
        "groups": [
            {
                "index": index,
                "offset": 100 + 3800 * index,
                "bytes": 3800,
                "frames": 33,
                "start": 1.1 * index,
                "half_size": True,
                "quality": 20,
                "anchor_quality": 26,
                "anchor_frame": 16,
                "steps": 2,
                "start_level": 0.3,
                "cut": index == 1,
            }
            for index in range(2)
        ],
        "from_the_future": None,
    }


@dataclass
class Library:
    """Stands for `gencodec.codec`, `.inspection` and `.training`.

    Attributes:
        calls: name, positional and keyword arguments of every call.
        result: what the functions return; `info` returns `record`.
        error: what they raise instead.
        progress: what they report.
        product: what encode and decode write.
    """

    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    result: Any = field(default_factory=Result)
    record: dict[str, Any] = field(default_factory=info_record)
    error: BaseException | None = None
    progress: list[Progress] = field(default_factory=list)
    product: bytes = b"\x00product"

    def call(self, name: str, *args: object, **keywords: object) -> object:
        self.calls.append((name, args, keywords))
        for state in self.progress:
            cast("Report", keywords["on_progress"])(state)
        if self.error is not None:
            raise self.error
        if name == "info":
            return Info(self.record)
        if name in ("encode", "decode"):
            self._write(str(args[1]))
        return self.result

    def _write(self, output: str) -> None:
        if output == "-":
            sys.stdout.buffer.write(self.product)
        elif not Path(output).is_dir() and not Path(output).is_char_device():
            Path(output).write_bytes(self.product)

    @property
    def only(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the one call there was."""
        assert len(self.calls) == 1
        return self.calls[0][1:]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    stub = Library()

    def function(name: str) -> Callable[..., Any]:
        return lambda *args, **keywords: stub.call(name, *args, **keywords)

    for module, names in (
        ("codec", ("encode", "decode")),
        ("inspection", ("info",)),
        ("verification", ("verify",)),
        ("training", ("train",)),
    ):
        fake = ModuleType(f"gencodec.{module}")
        for name in names:
            setattr(fake, name, function(name))
        monkeypatch.setitem(sys.modules, f"gencodec.{module}", fake)
    return stub


@dataclass
class Outcome:
    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.stdout))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines()]


Gencodec = Callable[..., Outcome]


@pytest.fixture
def gencodec(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> Gencodec:
    """Run a command line in this process, in an empty folder, without a terminal."""
    monkeypatch.chdir(tmp_path)
    for name in ("GENCODEC_DEBUG", "GENCODEC_DEVICE", "GENCODEC_THREADS", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str, stdin: bytes = b"") -> Outcome:
        capfdbinary.readouterr()
        with io.TextIOWrapper(io.BytesIO(stdin)) as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            exit_code = run(arguments)
        out, err = capfdbinary.readouterr()
        return Outcome(exit_code, out, err.decode())

    return command


@pytest.fixture
def coded(tmp_path: Path) -> str:
    """A file that starts as a .gnv does, in the folder where commands run."""
    (tmp_path / "in.gnv").write_bytes(SIGNATURE)
    return "in.gnv"


@pytest.fixture
def video(tmp_path: Path) -> str:
    """A file that stands for a video of 1 MB, in the folder where commands run."""
    (tmp_path / "in.mp4").write_bytes(bytes(1_000_000))
    return "in.mp4"
