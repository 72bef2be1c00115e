"""The page as a file: what it holds, and that it asks nobody for anything."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation import report_sample as sample

from gencodec.errors import OutputError
from gencodec.evaluation.report import build, write_report
from gencodec.progress import Progress


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.write_cache(tmp_path_factory.mktemp("report") / "cache")


@pytest.fixture(scope="module")
def page(cache: Path) -> str:
    return write_report(sample.results(), cache, cache.parent / "out").read_text("utf-8")


def data_of(page: str) -> Any:  # noqa: ANN401 - JSON
    """Read the data as a browser finds it: up to the first end of a script."""
    text = page.split('id="report-data">', 1)[1].split("</script>", 1)[0]
    return json.loads(text)


def test_the_page_holds_the_results_whatever_their_texts(page: str) -> None:
    data = data_of(page)
    assert data["results"] == json.loads(json.dumps(sample.results().to_json()))
    assert sample.ERROR in {point["error"] for point in data["results"]["points"]}


def test_the_page_holds_a_video_for_every_clip_and_rate(page: str) -> None:
    sheets = data_of(page)["sheets"]
    assert [(sheet["clip"], sheet["target"]) for sheet in sheets] == [
        (clip, target) for clip in sample.CLIPS for target in sample.TARGETS
    ]
    for sheet in sheets:
        text = re.search(rf'id="{sheet["element"]}">([^<]*)<', page)
        assert text is not None
        assert base64.b64decode(text[1], validate=True)[4:8] == b"ftyp"
    failed = next(s for s in sheets if (s["clip"], s["target"]) == (sample.CLIPS[0], 0.01))
    assert list(failed["tiles"]) == ["source", "gencodec", "x265-half"]


def test_a_filmstrip_of_every_clip_is_at_the_middle_rate(page: str) -> None:
    strips = data_of(page)["strips"]
    assert [strip["clip"] for strip in strips] == list(sample.CLIPS)
    assert {strip["target"] for strip in strips} == {0.02}


def test_the_page_names_no_address_to_load_from(page: str) -> None:
    assert "default-src 'none'" in page
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)[^"']+|url\(|@import|//cdn""", page)
    assert outside == []


def test_progress_counts_the_frames_of_all_sheets(cache: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    write_report(sample.results(), cache, tmp_path / "out", report=told.append)
    assert [(each.stage, each.frames, each.total) for each in told] == [
        ("report", 16 * k, 64) for k in (1, 2, 3, 4)
    ]


def test_a_page_without_videos_is_written_all_the_same(tmp_path: Path) -> None:
    page = write_report(sample.results(), tmp_path, tmp_path / "out").read_text("utf-8")
    assert data_of(page)["sheets"] == data_of(page)["strips"] == []


def test_results_without_a_point_make_a_page(tmp_path: Path) -> None:
    empty = replace(sample.results(), points=(), bd_rates=(), speed=(), clips=())
    assert "gencodec benchmark" in write_report(empty, tmp_path, tmp_path / "out").read_text()


def test_a_large_page_comes_with_a_warning(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_LARGE", 2**10)
    said: list[str] = []
    write_report(sample.results(), cache, tmp_path / "out", warn=said.append)
    assert len(said) == 1
    assert "fewer clips, rates or frames" in said[0]


def test_a_page_is_replaced_and_a_file_in_its_place_is_an_error(
    cache: Path, tmp_path: Path
) -> None:
    first = write_report(sample.results(), cache, tmp_path / "out")
    assert write_report(sample.results(), cache, tmp_path / "out") == first
    with pytest.raises(OutputError, match=r"index\.html"):
        write_report(sample.results(), cache, first)
