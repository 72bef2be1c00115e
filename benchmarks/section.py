"""What a section of the benchmark is given and what it returns; how both are shown and kept."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gencodec.evaluation.machine import machine, versions

_FILE_WIDTH = 120  # characters of a table that goes to a file or pipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the sections are asked to measure.

    Attributes:
        pack: name or folder of the model pack.
        threads: CPU threads of everything that is measured.
        full: `memory` takes groups of 129 frames instead of 17.
        work: folder for files that nobody keeps.
    """

    pack: str
    threads: int
    full: bool
    work: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a section measured.

    Attributes:
        title: of the table.
        columns: of the table.
        rows: of the table, for people.
        data: everything, for programs.
        notes: lines below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    data: Mapping[str, Any]
    notes: Sequence[str] = ()


def show(section: Section) -> None:
    """Print a section's table."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    table = Table(title=section.title)
    for number, column in enumerate(section.columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in section.rows:
        table.add_row(*map(_cell, row))
    console.print(table)
    for note in section.notes:
        console.print(note)


def keep(path: Path, name: str, section: Section, options: Options) -> None:
    """Put a section into a results file, with where and when it was measured."""
    document = json.loads(path.read_text("utf-8")) if path.exists() else {}
    document[name] = {"measured": _circumstances(options), "result": section.data}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")


def _cell(value: object) -> str:
    if value is None:
        return "not computed"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _circumstances(options: Options) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {**machine(), "threads": options.threads},
        "versions": versions(),
        "pack": _pack(options.pack),
    }


def _pack(name: str) -> dict[str, str]:
    from gencodec.packs import find_pack, read_manifest

    manifest = read_manifest(find_pack(name))
    return {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256}


def _commit() -> str:
    """Return the commit of the working tree, with a "+" if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
