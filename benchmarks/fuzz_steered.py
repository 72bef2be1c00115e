"""make fuzz-steered: the readers of the container fed by atheris, which follows what is covered.

One input is one execution of a reader; its last byte says of which. As in `benchmarks.fuzz`, the
golden files are the corpus and half of the inputs get their checks made right again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gencodec.container"]):
    from benchmarks import fuzz


def execute(data: bytes) -> None:
    """Read a stream in one of four ways, as it is or with its checks made right."""
    mode = data[-1] if data else 0
    stream = fuzz.repaired(data[:-1]) if mode & 4 else data[:-1]
    read = fuzz.read_by_index if mode & 2 else fuzz.read_in_order
    read(stream, recover=bool(mode & 1))


def main() -> None:
    """Run until the count is reached; an input that fails is written to the current folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="executions")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for number, data in enumerate(fuzz.CORPUS):
            for mode in range(8):
                (Path(name) / f"{number}-{mode}").write_bytes(data + bytes([mode]))
        options = [f"-runs={given.runs}", "-max_len=4096", f"-timeout={fuzz.HANG_SECONDS}"]
        atheris.Setup([sys.argv[0], *options, "-rss_limit_mb=4096", name], execute)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
