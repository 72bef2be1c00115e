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
from tests.make_vectors import FOLDER, MANIFEST, PACKS, describe, load_packs

import gencodec
from gencodec import errors
from gencodec.packs import verify_pack
from gencodec.packs.models import Models

Json = dict[str, Any]
GOLDEN: Json = json.loads(MANIFEST.read_bytes()) if MANIFEST.exists() else {}
FILES: Json = GOLDEN.get("files", {})
FAULTY: Json = GOLDEN.get("faulty", {})


@pytest.fixture(scope="module")
def packs() -> dict[str, Models]:
    return load_packs()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCODEC_PACKS", ":".join(map(str, PACKS.values())))


def test_every_vector_is_there_and_no_other() -> None:
    assert {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.gnv")} == {*FILES, *FAULTY}
    assert len(FILES) >= 10
    assert len(FAULTY) >= 30
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 1_000_000


@pytest.mark.parametrize("name", [*FILES, *FAULTY])
def test_the_bytes_are_those_that_were_written(name: str) -> None:
    told = FILES.get(name) or FAULTY[name]
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == told["sha256"]


@pytest.mark.parametrize("name", list(PACKS))
def test_a_pack_is_whole(name: str) -> None:
    assert verify_pack(PACKS[name]).sha256 == GOLDEN["packs"][name]


@pytest.mark.parametrize("name", list(PACKS))
def test_a_pack_can_be_made_again(name: str, tmp_path: Path) -> None:
    """Its numbers follow from arithmetic: no library or machine has a say in them."""
    assert tiny.write_pack(tmp_path / "again", name).sha256 == GOLDEN["packs"][name]


@pytest.mark.parametrize("name", list(FILES))
def test_a_vector_decodes_to_what_it_did(name: str, packs: dict[str, Models]) -> None:
    expected = dict(FILES[name])
    found = describe((FOLDER / name).read_bytes(), packs)
    pixels, shown = expected.pop("pixels"), found.pop("pixels")
    assert json.loads(json.dumps(found)) == expected
    assert shown.keys() == pixels.keys()
    for kind in pixels:
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


CUT = "faulty/cut-in-end.gnv"  # of its picture nothing is missing


@pytest.mark.usefixtures("installed")
def test_a_vector_that_is_only_cut_is_shown_but_not_called_complete(tmp_path: Path) -> None:
    data = (FOLDER / CUT).read_bytes()
    assert not gencodec.verify(io.BytesIO(data)).complete
    result = gencodec.decode(io.BytesIO(data), tmp_path / "out.y4m")
    assert (result.frames, result.complete) == (11, False)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", [name for name in FAULTY if name != CUT])
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
    steered = [group["block"] for group in groups if "variant" in group["block"]]
    groups = [group for group in groups if "variant" not in group["block"]]
    assert {block["variant"] for block in steered} == {0, 1, 2}
    assert {block["cache"] for block in steered} == {True, False}
    assert {0, 1} <= {group["block"]["steps"] for group in groups}
    assert {group["cut"] for group in groups} == {True, False}
    assert {group["block"]["flags"] for group in groups} == {0, 1, 2}
    assert any(header["width"] % 2 and header["height"] % 2 for header in headers)
    assert any(header["start_tick"] < 0 for header in headers)
    assert any(group["block"]["anchor_offset"] for group in groups)
    assert {group["block"]["anchor_place"] for group in groups} >= {0, 31, 63}
