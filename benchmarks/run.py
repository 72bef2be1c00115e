"""Measure this code on this machine: `make bench`, or `python -m benchmarks.run speed memory`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import gencodec
from benchmarks import atoms, container, entropy, faults, kills, leaks, memory, speed
from benchmarks.section import Options, Section, keep, show

SECTIONS: Mapping[str, Callable[[Options], Section]] = {
    "entropy": entropy.measure,
    "speed": speed.measure,
    "memory": memory.measure,
    "container": container.measure,
    "atoms": atoms.measure,
    "faults": faults.measure,
    "kills": kills.measure,
    "leaks": leaks.measure,
}
_RESULTS = Path(__file__).parent / "results" / f"{gencodec.__version__}.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections asked for, print their tables and keep their results."""
    given = _parse(arguments)
    for name in given.sections or SECTIONS:
        with tempfile.TemporaryDirectory(prefix="gencodec-bench-") as work:
            options = Options(
                pack=given.pack,
                threads=given.threads,
                full=given.full,
                work=Path(work),
            )
            try:
                section = SECTIONS[name](options)
            except (gencodec.GencodecError, OSError) as error:
                sys.stderr.write(f"error: {name}: {error}\n")
                return getattr(error, "exit_code", 1)
        show(section)
        keep(given.out, name, section, options)
    sys.stderr.write(f"{given.out}\n")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--pack", default="mini", help="model pack: name or folder")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument(
        "--full",
        action="store_true",
        help="memory: groups of 129 frames, not of 17; faults, kills, leaks: ten times as many",
    )
    parser.add_argument(
        "--out", type=Path, default=_RESULTS, help="results file; sections not run are kept"
    )
    given = parser.parse_args(arguments)
    unknown = [name for name in given.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
