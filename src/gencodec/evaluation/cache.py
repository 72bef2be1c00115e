"""Finished work, kept by what it was made from: the same question is answered at once.

An entry is a folder with `record.json` and the files that belong to it. Its name is a digest of
everything that decides the outcome. An entry appears whole or not at all; nothing is ever changed,
so the folder can be shared by benchmarks that run at the same time, and deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gencodec.errors import OutputError

_RECORD = "record.json"
_BLOCK = 1 << 20  # bytes read at once
_KEY_DIGITS = 32  # of the digest, in names


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that is finished: `record` says what, `folder` holds its files."""

    folder: Path
    record: Mapping[str, Any]

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


class Cache:
    """A folder of entries.

    Attributes:
        root: the folder; made when the first entry is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(
        self,
        kind: str,
        question: Mapping[str, Any],
        answer: Callable[[Path], Mapping[str, Any]],
    ) -> Entry:
        """Return the entry for a question; make it if there is none.

        Args:
            kind: folder of the entry, such as "encode".
            question: everything that decides the outcome, as JSON types.
            answer: called with an empty folder to put files into; returns the record, JSON types.
                What it raises leaves no entry behind.

        Raises:
            OutputError: the cache cannot be written.
        """
        folder = self.root / kind / _digest(question)
        with suppress(OSError, ValueError):
            return Entry(folder=folder, record=json.loads((folder / _RECORD).read_text("utf-8")))
        scratch = self._scratch()
        try:
            record = answer(scratch)
            (scratch / _RECORD).write_text(json.dumps(record), "utf-8")
            self._publish(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Entry(folder=folder, record=record)

    def relative(self, path: Path) -> str:
        """Return a path as results name it."""
        return path.relative_to(self.root).as_posix()

    def _scratch(self) -> Path:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=".making-", dir=self.root))
        except OSError as error:
            raise self._refusal(error) from error

    def _publish(self, scratch: Path, folder: Path) -> None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch.rename(folder)
        except OSError as error:
            if not (folder / _RECORD).is_file():  # else another benchmark was faster
                raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> OutputError:
        reason = error.strerror or error
        return OutputError(f"cannot write to the cache {self.root}: {reason}; try another --cache")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _digest(question: Mapping[str, Any]) -> str:
    text = json.dumps(question, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
