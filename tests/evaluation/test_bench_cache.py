from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gencodec.errors import OutputError
from gencodec.evaluation.cache import Cache, file_digest


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    calls = []

    def answer(folder: Path) -> dict[str, int]:
        calls.append(folder)
        (folder / "file").write_bytes(b"made")
        return {"size": 4}

    for cache in (Cache(tmp_path / "cache"), Cache(tmp_path / "cache")):
        entry = cache.get("made", {"b": 1, "a": [2]}, answer)
        assert entry.record == {"size": 4}
        assert (entry / "file").read_bytes() == b"made"
        assert tmp_path / "cache" / cache.relative(entry / "file") == entry / "file"
    assert len(calls) == 1


def _numbered(number: int, _: Path) -> dict[str, int]:
    return {"n": number}


def test_every_part_of_a_question_counts(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    questions: list[dict[str, Any]] = [
        {"a": 1},
        {"a": 2},
        {"a": 1, "b": None},
        {"a": True},
        {"a": "1"},
    ]
    for number, question in enumerate(questions):
        found = cache.get("k", question, partial(_numbered, number))
        assert found.record == {"n": number}
    assert cache.get("other", questions[0], lambda _: {"n": -1}).record == {"n": -1}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_what_is_not_finished_leaves_nothing(tmp_path: Path, failure: type[BaseException]) -> None:
    cache = Cache(tmp_path)

    def answer(folder: Path) -> dict[str, int]:
        (folder / "half").write_bytes(b"half")
        raise failure

    with pytest.raises(failure):
        cache.get("made", {}, answer)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))
    assert cache.get("made", {}, lambda _: {"whole": 1}).record == {"whole": 1}


def test_two_benchmarks_may_answer_the_same_question(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def answer(_: Path) -> dict[str, int]:
        Cache(tmp_path).get("made", {}, lambda _: {"by": 1})
        return {"by": 2}

    cache.get("made", {}, answer)
    assert cache.get("made", {}, lambda _: {"by": 3}).record == {"by": 1}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="try another --cache"):
        Cache(tmp_path / "file").get("made", {}, lambda _: {})


def test_a_digest_follows_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")
