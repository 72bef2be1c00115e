"""Does this machine decode as every other? The golden files, their symbols, noise and pictures."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from gencodec import errors
from gencodec.decoding import Decoder
from gencodec.errors import ExecutionError, GencodecError, IncompleteError, PackError
from gencodec.execution import Execution
from gencodec.frames import Pixels
from gencodec.refine import noise_for
from gencodec.verification import verify

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "vectors", _PACKAGE.parents[1] / "formats" / "vectors" / "1")
_NOISE = ((1_234_567_890, 7, (8, 3, 16, 16)),)
_NOISE_SHA256 = "3da762d38123819b7d5a3ea2b387ff81f2d39f715827fc4388ec5016f52bc40b"
_LIBRARIES = ("torch", "diffusers", "numpy", "constriction", "av")

Say = Callable[[str], None]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheck:
    """How one device decoded the pictures of the golden files."""

    device: str
    frames: int
    seconds: float
    mean_error: float  # largest difference of a frame's mean colour, 0 .. 255
    point_error: int  # largest difference of a sample, 0 .. 255
    failed: tuple[str, ...]  # files that differ by more than they may


@dataclass(frozen=True, slots=True, kw_only=True)
class SelftestResult:
    """What the self-test found; `line` is for a bug report."""

    ok: bool
    files: int
    symbols: int
    symbol_seconds: float
    failed: tuple[str, ...]  # what is not exact, which on a sound machine is nothing
    devices: tuple[DeviceCheck, ...]
    line: str


def selftest(folder: Path | None = None, *, on_progress: Say | None = None) -> SelftestResult:
    """Decode the golden files on every device and compare with what is stored.

    Args:
        folder: golden files and their manifest; None: those of this package.
        on_progress: told what is checked.

    Raises:
        PackError: the golden files are missing.
    """
    folder = folder or vectors_folder()
    say = on_progress or (lambda _text: None)
    golden = json.loads((folder / "manifest.json").read_bytes())
    say("symbols and noise")
    started = time.monotonic()
    failed, symbols = [], 0
    for name, told in golden["files"].items():
        count = _symbols(folder, name, told)
        symbols += count or 0
        failed += [] if count else [name]
    failed += [name for name, told in golden["faulty"].items() if not _refused(folder, name, told)]
    failed += [] if _noise() == _NOISE_SHA256 else ["noise"]
    seconds = time.monotonic() - started
    devices = []
    for execution in _executions():
        say(execution.reason)
        devices.append(_pictures(folder, golden, execution))
    ok = not failed and not any(each.failed for each in devices)
    return SelftestResult(
        ok=ok,
        files=len(golden["files"]) + len(golden["faulty"]),
        symbols=symbols,
        symbol_seconds=seconds,
        failed=tuple(failed),
        devices=tuple(devices),
        line=_line(failed, devices, symbols, seconds),
    )


def vectors_folder() -> Path:
    """Return where the golden files of this package are.

    Raises:
        PackError: they are missing.
    """
    for place in _PLACES:
        if (place / "manifest.json").is_file():
            return place
    raise PackError("the golden files are not installed; install gencodec anew")


def _symbols(folder: Path, name: str, told: Json) -> int | None:
    """Return the number of symbols of a file; None if it does not decode to the stored digests."""
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != told["sha256"]:
        return None
    try:
        result = verify(BytesIO(data), pack_dirs=[folder])
    except GencodecError:
        return None
    same = result.complete == told["complete"] and result.groups == len(told["groups"])
    return result.symbols if same else None


def _refused(folder: Path, name: str, told: Json) -> bool:
    """Whether a faulty file gives its error."""
    expected: type[GencodecError] = getattr(errors, told["error"])
    try:
        result = verify(BytesIO((folder / name).read_bytes()), pack_dirs=[folder])
    except GencodecError as error:
        return isinstance(error, expected)
    return expected is IncompleteError and not result.complete


def _noise() -> str:
    digest = hashlib.sha256()
    for seed, group, shape in _NOISE:
        digest.update(np.ascontiguousarray(noise_for(seed, group, shape), "<f4").tobytes())
    return digest.hexdigest()


def _executions() -> Iterator[Execution]:
    """Yield the CPU and every GPU there is."""
    yield Execution.choose("cpu")
    index = 0
    while True:
        try:
            yield Execution.choose(f"cuda:{index}")
        except ExecutionError:
            return
        index += 1


def _pictures(folder: Path, golden: Json, execution: Execution) -> DeviceCheck:
    started = time.monotonic()
    frames, failed = 0, []
    mean_error, point_error = 0.0, 0
    for name, told in golden["files"].items():
        for kind, steps in (("base", 0), ("refined", None)):
            shown = _shown(folder, name, execution, steps)
            means, points = _errors(shown, told["pixels"][kind])
            frames += len(shown)
            mean_error, point_error = max(mean_error, means), max(point_error, points)
            if means > golden["mean_tolerance"] or points > golden["point_tolerance"]:
                failed.append(f"{name} {kind}")
    return DeviceCheck(
        device=execution.reason,
        frames=frames,
        seconds=time.monotonic() - started,
        mean_error=mean_error,
        point_error=point_error,
        failed=tuple(failed),
    )


def _shown(folder: Path, name: str, execution: Execution, steps: int | None) -> list[Pixels]:
    """Return the frames of a golden file; none if it does not decode."""
    data = BytesIO((folder / name).read_bytes())
    try:
        decoder = Decoder(data, execution, steps=steps, pack_dirs=[folder])
        return [frame.rgb for frame in decoder.frames(decoder.records(None, None))]
    except GencodecError:
        return []


def _errors(shown: list[Any], told: Json) -> tuple[float, int]:
    """Return the largest difference of the frames' means and of the stored samples."""
    if len(shown) != told["frames"]:
        return 255.0, 255
    means = points = 0.0
    for rgb, mean, samples in zip(shown, told["means"], told["points"], strict=True):
        pixels = rgb.reshape(-1, 3)
        count = len(samples)
        spread = [(2 * k + 1) * len(pixels) // (2 * count) for k in range(count)]
        means = max(means, float(np.abs(rgb.mean((0, 1)) - mean).max()))
        points = max(points, float(np.abs(pixels[spread].astype(int) - samples).max()))
    return means, int(points)


def _line(failed: list[str], devices: list[DeviceCheck], symbols: int, seconds: float) -> str:
    """Return everything on one line, to be pasted."""
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    exact = "exact" if not failed else f"NOT EXACT: {', '.join(failed)}"
    pictures = "; ".join(
        f"{each.device}: {each.frames} frames {each.seconds:.1f} s, off by {each.mean_error:.2f}/"
        f"{each.point_error}" + (f" FAILED {', '.join(each.failed)}" if each.failed else "")
        for each in devices
    )
    integers = f"{symbols} symbols {seconds:.1f} s {exact}"
    return f"gencodec {_version('gencodec')}; {machine}; {libraries}; {integers}; {pictures}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"
