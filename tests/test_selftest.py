"""The self-test passes on a sound machine and notices each kind of difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gencodec import selftest as module
from gencodec.errors import PackError
from gencodec.selftest import selftest

VECTORS = Path(__file__).parents[1] / "formats" / "vectors" / "1"
KEPT = ("valid/single.gnv", "faulty/group-body.gnv", "faulty/cut-in-end.gnv")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Three golden files and their packs."""
    folder = tmp_path / "vectors"
    for name in ("tiny-pack", "tiny-motion-pack"):
        shutil.copytree(VECTORS / name, folder / name)
    golden = json.loads((VECTORS / "manifest.json").read_bytes())
    for kind in ("files", "faulty"):
        golden[kind] = {name: told for name, told in golden[kind].items() if name in KEPT}
    for name in KEPT:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(VECTORS / name, folder / name)
    (folder / "manifest.json").write_text(json.dumps(golden))
    return folder


def changed(folder: Path, change: Callable[[dict[str, object]], None]) -> Path:
    path = folder / "manifest.json"
    golden = json.loads(path.read_bytes())
    change(golden)
    path.write_text(json.dumps(golden))
    return folder


def test_a_sound_machine_passes(few: Path) -> None:
    result = selftest(few)
    assert (result.ok, result.files, result.failed) == (True, 3, ())
    assert result.symbols > 0
    assert result.devices[0].frames == 2
    assert "exact" in result.line
    assert "\n" not in result.line


def test_other_symbols_are_noticed(few: Path) -> None:
    (few / KEPT[0]).write_bytes((few / "faulty/group-body.gnv").read_bytes())
    result = selftest(few)
    assert not result.ok
    assert result.failed == (KEPT[0],)
    assert "NOT EXACT" in result.line


def test_a_fault_that_goes_unnoticed_is_noticed(few: Path) -> None:
    (few / KEPT[1]).write_bytes((few / KEPT[0]).read_bytes())
    assert selftest(few).failed == (KEPT[1],)


def test_other_noise_is_noticed(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NOISE", ((1, 7, (8, 3, 16, 16)),))
    assert selftest(few).failed == ("noise",)


def test_other_pictures_are_noticed(few: Path) -> None:
    def shift(golden: dict[str, object]) -> None:
        golden["mean_tolerance"] = -1.0

    result = selftest(changed(few, shift))
    assert not result.ok
    assert result.failed == ()
    assert len(result.devices[0].failed) == 2


def test_missing_files_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_PLACES", (tmp_path,))
    with pytest.raises(PackError, match="not installed"):
        selftest()
