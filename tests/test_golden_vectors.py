"""Golden vectors: files made once decode to the same symbols for ever, and to the same picture.

Nothing here writes; `python -m tests.make_vectors` does.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny
from tests.make_vectors import FOLDER, MANIFEST, PACK, describe

import gencodec
from gencodec import errors
from gencodec.execution import Execution
from gencodec.packs import verify_pack
from gencodec.packs.models import Models, load_models
from gencodec.packs.prior import ExactPack, load_exact

Json = dict[str, Any]
GOLDEN: Json = json.loads(MANIFEST.read_bytes()) if MANIFEST.exists() else {}
FILES: Json = GOLDEN.get("files", {})
FAULTY: Json = GOLDEN.get("faulty", {})


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(PACK, Execution.choose("cpu"))


@pytest.fixture(scope="module")
def exact() -> ExactPack:
    return load_exact(PACK)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCODEC_PACKS", str(PACK))


def test_every_vector_is_there_and_no_other() -> None:
    assert {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.gnv")} == {*FILES, *FAULTY}
    assert len(FILES) >= 10
    assert len(FAULTY) >= 30
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 500_000


@pytest.mark.parametrize("name", [*FILES, *FAULTY])
def test_the_bytes_are_those_that_were_written(name: str) -> None:
    told = FILES.get(name) or FAULTY[name]
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == told["sha256"]


def test_the_pack_is_whole() -> None:
    assert verify_pack(PACK).sha256 == GOLDEN["pack"]


def test_the_pack_can_be_made_again(tmp_path: Path) -> None:
    """Its numbers follow from arithmetic: no library or machine has a say in them."""
    again = tiny.write_pack(tmp_path / "tiny-pack")
    assert again.sha256 == GOLDEN["pack"]


@pytest.mark.parametrize("name", list(FILES))
def test_a_vector_decodes_to_what_it_did(name: str, exact: ExactPack, models: Models) -> None:
    expected = dict(FILES[name])
    found = describe((FOLDER / name).read_bytes(), exact, models)
    pixels, shown = expected.pop("pixels"), found.pop("pixels")
    assert json.loads(json.dumps(found)) == expected
    for kind in ("base", "refined"):
        assert shown[kind]["frames"] == pixels[kind]["frames"]
        for key, tolerance in (("means", "mean_tolerance"), ("points", "point_tolerance")):
            error = np.abs(np.subtract(shown[kind][key], pixels[kind][key]))
            assert error.max() <= GOLDEN[tolerance], f"{kind} {key}"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", list(FILES))
def test_a_vector_verifies(name: str) -> None:
    result = gencodec.verify(FOLDER / name)
    assert result.complete is FILES[name]["complete"]
    assert result.groups == len(FILES[name]["groups"])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", list(FAULTY))
def test_a_faulty_vector_gives_its_error(name: str, tmp_path: Path) -> None:
    told = FAULTY[name]
    kind: type[errors.GencodecError] = getattr(errors, told["error"])
    assert kind.exit_code == told["exit_code"]
    data = (FOLDER / name).read_bytes()
    for work in (
        lambda: gencodec.verify(io.BytesIO(data)),
        lambda: gencodec.decode(io.BytesIO(data), tmp_path / "out.y4m"),
    ):
        with pytest.raises(kind) as caught:
            work()
        newer = isinstance(caught.value, errors.UnsupportedError)
        assert newer is (kind is errors.UnsupportedError)
    assert not (tmp_path / "out.y4m").exists()


def test_the_vectors_cover_what_the_format_offers() -> None:
    headers = [header for told in FILES.values() for header in told["headers"]]
    groups = [group for told in FILES.values() for group in told["groups"]]
    assert {header["constant_rate"] for header in headers} == {True, False}
    assert {0, 1} <= {group["block"]["steps"] for group in groups}
    assert {group["cut"] for group in groups} == {True, False}
    assert {group["block"]["flags"] for group in groups} == {0, 1}
    assert any(header["width"] % 2 and header["height"] % 2 for header in headers)
    assert any(header["start_tick"] < 0 for header in headers)
    assert any(group["block"]["anchor_offset"] for group in groups)
