"""One thread, a tiny pack that is found by its identity, and one small coded file."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from gencodec.packs.models import Models

# Tests are many and small: threads of their own would only wait for one another.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for `from tests import tiny`
settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pack on disk; not to be changed."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("packs") / "tiny"
    tiny.write_pack(folder)
    return folder


@pytest.fixture(scope="session")
def motion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pack that codes frames, on disk; not to be changed."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("packs") / "tiny-motion"
    tiny.write_pack(folder, "tiny-motion")
    return folder


@pytest.fixture(scope="session")
def judged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a judge, on disk; not to be changed."""
    from tests import tiny

    folder = tmp_path_factory.mktemp("packs") / "tiny-judged"
    tiny.write_pack(folder, "tiny-judged")
    return folder


@pytest.fixture
def tiny_pack(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny pack, installed: what was encoded with it decodes."""
    monkeypatch.setenv("GENCODEC_PACKS", str(tiny_folder))
    return tiny_folder


@pytest.fixture(scope="session")
def tiny_models(tiny_folder: Path) -> Models:
    """The tiny pack, loaded; not to be changed."""
    from gencodec.execution import Execution
    from gencodec.packs.models import load_models

    return load_models(tiny_folder, Execution.choose("cpu"))


@pytest.fixture(scope="session")
def motion_models(motion_folder: Path) -> Models:
    """The tiny pack that codes frames, loaded; not to be changed."""
    from gencodec.execution import Execution
    from gencodec.packs.models import load_models

    return load_models(motion_folder, Execution.choose("cpu"))


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 64x48, 29 frames at 25 a second, as y4m."""
    from tests import tiny

    return tiny.write_clip(tmp_path_factory.mktemp("clips") / "clip.y4m", tiny.clip(64, 48, 29))


@pytest.fixture(scope="session")
def gnv_bytes(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, clip_file: Path
) -> bytes:
    """`clip_file` at quality 20 in groups of 9, 9, 9 and 2 frames."""
    import gencodec

    path = tmp_path_factory.mktemp("coded") / "clip.gnv"
    gencodec.encode(clip_file, path, target=gencodec.Target(quality=20), pack=tiny_folder)
    return path.read_bytes()


@pytest.fixture(scope="session")
def motion_bytes(
    tmp_path_factory: pytest.TempPathFactory, motion_folder: Path, clip_file: Path
) -> bytes:
    """The same with the tiny pack that codes frames."""
    import gencodec

    path = tmp_path_factory.mktemp("coded") / "motion.gnv"
    gencodec.encode(clip_file, path, target=gencodec.Target(quality=20), pack=motion_folder)
    return path.read_bytes()


@pytest.fixture
def gnv_file(gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path) -> Path:
    """A fresh copy of `gnv_bytes`, its pack installed."""
    path = tmp_path / "clip.gnv"
    path.write_bytes(gnv_bytes)
    return path


@pytest.fixture(scope="session")
def training() -> ModuleType:
    """`gencodec.training` with its modules, imported past what its dependencies warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("base", "coding", "data", "entropy", "export", "joint", "linear", "loop"):
            importlib.import_module(f"gencodec.training.{name}")
        for name in (
            "optimiser",
            "perceptual",
            "prior",
            "processes",
            "recipe",
            "stages",
            "trainer",
        ):
            importlib.import_module(f"gencodec.training.{name}")
    return importlib.import_module("gencodec.training")


@pytest.fixture
def read_frames() -> Callable[[Path], list[Any]]:
    """Return a function that reads a video's pictures and times in seconds."""

    def read(path: Path) -> list[tuple[Any, Fraction]]:
        from gencodec.frames import open_source

        with open_source(path) as source:
            return [(f.rgb, f.ticks * source.info.time_base) for f in source.frames()]

    return read


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, bytes, str]]:
    """Return a function that runs a command line in this process: exit code, stdout, stderr."""
    from gencodec.cli.main import run

    for name in ("GENCODEC_DEBUG", "GENCODEC_DEVICE", "GENCODEC_THREADS", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)

    def execute(*arguments: str | Path) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        exit_code = run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return exit_code, out, err.decode()

    return execute
