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
import random
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
from gencodec.container import (
    BytesCursor,
    Reader,
    Unit,
    parse_about,
    parse_packets,
    parse_track,
)
from gencodec.container.fields import parse
from gencodec.container.framing import pack_group, pack_unit
from gencodec.container.layout import (
    CHECK_BYTES,
    CRC_BYTES,
    MARKER,
    OTHER_MAX_BYTES,
    SIGNATURE,
    UNIT_MAX_BYTES,
    GroupHeader,
)
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


def edited(data: bytes, corpus: list[bytes], integer: Callable[[int, int], int]) -> bytes:
    """Return some of the corpus with a few edits, which numbers from `integer` decide."""
    out = bytearray(data)
    for _ in range(integer(0, 4)):
        at, size = integer(0, len(out)), integer(0, 40)
        match integer(0, 5):
            case 0:
                out[at : at + 1] = bytes([integer(0, 255)])
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = bytes(integer(0, 255) for _ in range(size))
            case 3:
                out[at:at] = out[max(0, at - size) : at]
            case 4:
                del out[at:]
            case 5:
                out += corpus[integer(0, len(corpus) - 1)][at : at + 400]
    return bytes(out)


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """Return one of the corpus with a few edits."""
    data = draw(st.sampled_from(corpus))
    return edited(data, corpus, lambda low, high: draw(st.integers(low, high)))


def repaired(data: bytes) -> bytes:
    """Make the checks of all units right that still look like units."""
    out, at = bytearray(data[: len(SIGNATURE)]), len(SIGNATURE)
    known = {code: most for code, most in UNIT_MAX_BYTES.items() if most <= OTHER_MAX_BYTES}
    while at < len(data):
        code, size = data[at : at + 4], data[at + 4] if at + 4 < len(data) else 0x80
        if data.startswith(MARKER, at) and (found := _group(data, at)):
            out += found[0]
            at += found[1]
        elif code in known and size < 0x80 and at + 7 + size <= len(data):
            out += pack_unit(code, data[at + 7 : at + 7 + size])
            at += 11 + size
        else:
            out.append(data[at])
            at += 1
    return bytes(out)


def _group(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Return what looks like a group with its checks made right, and the bytes it takes."""
    cursor = BytesCursor(data[at + len(MARKER) :])
    try:
        group = parse(GroupHeader, cursor)
        block, _ = cursor.take(group.block_bytes), cursor.take(CHECK_BYTES)
        body, _ = cursor.take(group.body_bytes), cursor.take(CRC_BYTES)
    except GencodecError:
        return None
    return pack_group(group, block, body), len(data) - at - cursor.left


def read_in_order(data: bytes, *, recover: bool) -> None:
    """Read a stream from its start to its end."""
    with contextlib.suppress(GencodecError):
        reader = Reader(io.BytesIO(data), recover=recover, damaged=recover)
        for record in reader.records():
            if isinstance(record, Unit):
                _parse(record)
        if recover and reader.complete and reader.damages:
            raise AssertionError("a damaged file counts as complete")


def read_by_index(data: bytes, *, recover: bool) -> None:
    """Read the groups of a stream by its index, or by a scan."""
    with contextlib.suppress(GencodecError):
        reader = Reader(io.BytesIO(data), recover=recover)
        for entry in reader.index():
            reader.read_span(entry)


def read(data: bytes) -> None:
    """Read a stream in every way there is."""
    for recover in (False, True):
        read_in_order(data, recover=recover)
        read_by_index(data, recover=recover)


def _parse(unit: Unit) -> None:
    for parsed in (parse_about, parse_packets, parse_track):
        with contextlib.suppress(GencodecError):
            parsed(unit)


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


def fuzz_many(name: str, runs: int, seed: int) -> int:
    """Feed one target a number of examples, several times as fast, and shrink nothing.

    Raises:
        Exception: what an example raised; its bytes are in `fuzz-failed` in the current folder.
    """
    target, corpus = TARGETS[name]
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    for _ in range(runs):
        data = edited(chance.choice(corpus), corpus, chance.randint)
        data = repaired(data) if chance.random() < 0.5 else data
        signal.alarm(HANG_SECONDS)
        try:
            target(data)
        except BaseException:
            Path("fuzz-failed").write_bytes(data)
            raise
        finally:
            signal.alarm(0)
    return runs


def main() -> int:
    """Fuzz every target, or those that are named; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, help="examples of each target instead of seconds")
    parser.add_argument("--seed", type=int, default=1, help="of the examples, with --runs")
    parser.add_argument("--seconds", type=float, default=60, help="of each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    chosen = parser.parse_args()
    with limited():
        for name in chosen.targets or TARGETS:
            if chosen.runs is None:
                count = fuzz(name, chosen.seconds)
            else:
                count = fuzz_many(name, chosen.runs, chosen.seed)
            print(f"{name}: {count} examples, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
