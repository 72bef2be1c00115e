"""make fuzz: hostile bytes for everything that reads them, for as long as is asked.

The golden files are the corpus. Each example is one of them with bytes changed, cut, doubled or
moved, half of the time with its checks made right again, so that what lies behind them is reached.
Whatever comes in, a value or a `GencodecError` comes out: no other exception, no hang, no memory
beyond a limit. Hypothesis shrinks what fails and keeps it in `.hypothesis`, to be tried first.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import gencodec
from gencodec.container import Reader, Unit, parse_about, parse_packets, parse_track
from gencodec.container.framing import pack_unit
from gencodec.container.layout import OTHER_MAX_BYTES, SIGNATURE, UNIT_MAX_BYTES
from gencodec.errors import GencodecError
from gencodec.journal import Journal
from gencodec.packs import read_manifest
from gencodec.selftest import vectors_folder

VECTORS = vectors_folder()
CORPUS = [path.read_bytes() for path in sorted(VECTORS.rglob("*.gnv"))]
MANIFEST = (VECTORS / "tiny-pack" / "pack.json").read_bytes()
MEMORY_BYTES = 6 << 30  # of address space; torch alone maps several
HANG_SECONDS = 60
ROUND = 100  # examples between two looks at the clock


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """Return one of the corpus with a few edits."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 40))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = draw(st.binary(max_size=40))
            case 3:
                data[at:at] = data[max(0, at - size) : at]
            case 4:
                del data[at:]
            case 5:
                data += draw(st.sampled_from(corpus))[at : at + 400]
    return bytes(data)


def repaired(data: bytes) -> bytes:
    """Make the checks of all units right that still look like units; groups keep theirs."""
    out, at = bytearray(data[: len(SIGNATURE)]), len(SIGNATURE)
    known = {code: most for code, most in UNIT_MAX_BYTES.items() if most <= OTHER_MAX_BYTES}
    while at < len(data):
        code, size = data[at : at + 4], data[at + 4] if at + 4 < len(data) else 0x80
        if code in known and size < 0x80 and at + 7 + size <= len(data):
            out += pack_unit(code, data[at + 7 : at + 7 + size])
            at += 11 + size
        else:
            out.append(data[at])
            at += 1
    return bytes(out)


def read(data: bytes) -> None:
    """Read a stream in every way there is."""
    for recover in (False, True):
        with contextlib.suppress(GencodecError):
            reader = Reader(io.BytesIO(data), recover=recover, damaged=recover)
            for record in reader.records():
                if isinstance(record, Unit):
                    _parse(record)
            if recover and reader.complete and reader.damages:
                raise AssertionError("a damaged file counts as complete")
        with contextlib.suppress(GencodecError):
            reader = Reader(io.BytesIO(data), recover=recover)
            for entry in reader.index():
                reader.read_span(entry)


def _parse(unit: Unit) -> None:
    for parse in (parse_about, parse_packets, parse_track):
        with contextlib.suppress(GencodecError):
            parse(unit)


def decode_symbols(data: bytes) -> None:
    """Verify a stream: prior and range coder see what the checks let through."""
    with contextlib.suppress(GencodecError):
        gencodec.verify(io.BytesIO(data), pack_dirs=[VECTORS])


def inform(data: bytes) -> None:
    """Describe a stream."""
    with contextlib.suppress(GencodecError):
        gencodec.info(io.BytesIO(data)).as_dict()


def read_pack(data: bytes) -> None:
    """Read a pack's manifest."""
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(GencodecError):
        (Path(name) / "pack.json").write_bytes(data)
        read_manifest(Path(name))


def read_journal(data: bytes) -> None:
    """Open a journal that somebody else wrote."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "groups").write_bytes(b"gencodec journal 1\n" * (zlib.crc32(data) & 1) + data)
        with contextlib.suppress(GencodecError):
            Journal(Path(name), b"").close()


def command(data: bytes) -> None:
    """Run the command line; whatever it meets has an exit code of its own."""
    from gencodec.cli.main import run

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in.gnv"
        path.write_bytes(data)
        for words in (["info", str(path), "--json"], ["verify", str(path)]):
            sink = io.StringIO()
            with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                code = run(words)
            if code not in (0, 3, 5, 6, 7):
                raise AssertionError(f"{words[0]}: exit code {code}: {sink.getvalue()[-300:]}")


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "reader": (read, CORPUS),
    "symbols": (decode_symbols, CORPUS),
    "info": (inform, CORPUS),
    "pack": (read_pack, [MANIFEST]),
    "journal": (read_journal, CORPUS),
    "command": (command, CORPUS),
}


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Bound the memory, and the time of each example."""

    def hang(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise TimeoutError(f"an example took more than {HANG_SECONDS} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, before[1]))
    handler = signal.signal(signal.SIGALRM, hang)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def fuzz(name: str, seconds: float) -> int:
    """Feed one target for some time; return how many examples it took.

    Raises:
        Exception: what an example raised, shrunk.
    """
    target, corpus = TARGETS[name]
    done = 0

    @settings(
        max_examples=ROUND,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )
    @given(data=mutated(corpus), repair=st.booleans())
    def examples(data: bytes, *, repair: bool) -> None:
        nonlocal done
        done += 1
        signal.alarm(HANG_SECONDS)
        target(repaired(data) if repair else data)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        examples()
    return done


def main() -> int:
    """Fuzz every target, or those that are named; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    given_names = parser.parse_args()
    with limited():
        for name in given_names.targets or TARGETS:
            count = fuzz(name, given_names.seconds)
            print(f"{name}: {count} examples, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
