"""What damage does to a file: single bits flipped, and the file cut, at many places.

Whatever is hit, a reader tells it, gives every unit that was not hit as it was written, and raises
nothing but what the library says it raises. The symbols of each group are checked once, in the
whole file; a group that comes back with the same payload, settings, digest and times decodes to
the same.
Some of the damaged files also go through the command, in processes of their own.
"""

from __future__ import annotations

import io
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import gencodec
from benchmarks import children, scene
from benchmarks.section import Options, Section
from gencodec.container import GroupRecord, Reader, Unit
from gencodec.errors import GencodecError
from gencodec.frames import Sound

FLIPS = {False: 1000, True: 10_000}  # with and without --full
CUTS = {False: 100, True: 1000}
COMMANDS = {False: 2, True: 10}  # damaged files of each kind that the command gets
_WIDTH, _HEIGHT, _QUALITY = 96, 64, 5
_RATE = 48_000
_SEED = 11

Record = GroupRecord | Unit
Key = tuple[int, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A file as it was written.

    Attributes:
        name: of the kind of file.
        data: its bytes.
        units: for each group and other unit: part and value, and where its bytes are.
    """

    name: str
    data: bytes
    units: Sequence[tuple[Key, range]]


def measure(options: Options) -> Section:
    """Damage three files; see the module."""
    files = make_files(options.work, options.pack, options.threads)
    chance = random.Random(_SEED)  # noqa: S311 - nothing secret
    rows, data = [], {}
    for what, damage, count in (
        ("bits flipped", flip, FLIPS[options.full]),
        ("cut", cut, CUTS[options.full]),
    ):
        found: Counter[str] = Counter()
        for number in range(count):
            found += examine(*damage(files[number % len(files)], chance))
        for number in range(COMMANDS[options.full]):
            found += _command(options.work, *damage(files[number % len(files)], chance))
        data[what] = {name: found[name] for name in _COLUMNS}
        rows.append((what, *(found[name] for name in _COLUMNS)))
    return Section(
        title="damage in " + ", ".join(f"{f.name} ({len(f.data)} B)" for f in files),
        columns=("", *_COLUMNS),
        rows=rows,
        data={"found": data, "files": {f.name: len(f.data) for f in files}, "full": options.full},
        notes=[] if options.full else [f"--full damages {FLIPS[True]} and {CUTS[True]} times"],
    )


_COLUMNS = ("files", "units", "came back", "lost", "silent", "tracebacks", "commands")


# -- files ------------------------------------------------------------------------------------


def make_files(folder: Path, pack: str | Path, threads: int) -> list[Whole]:
    """Return 26 groups, a file whose frame rate varies, and both in a row; all with sound."""
    steady = _coded(folder / "steady.mp4", pack, threads, gop=5, frames=130, opus=True)
    varied = _coded(folder / "varied.mkv", pack, threads, gop=9, frames=45, opus=False)
    return [_whole("steady", steady), _whole("varied", varied), _whole("in a row", steady + varied)]


def _coded(
    path: Path, pack: str | Path, threads: int, *, gop: int, frames: int, opus: bool
) -> bytes:
    _write_clip(path, frames, varied=not opus)
    output = path.with_suffix(".gnv")
    gencodec.encode(
        path,
        output,
        target=gencodec.Target(quality=_QUALITY),
        gop=gop,
        pack=pack,
        device="cpu",
        threads=threads,
        sound=Sound(mode="opus", kilobits=8) if opus else Sound(mode="copy"),
    )
    return output.read_bytes()


def _write_clip(path: Path, frames: int, *, varied: bool) -> None:
    """Write a clip with a tone, a title and, on request, every third frame held twice as long."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = path.stem
        video = container.add_stream("libx264", rate=scene.RATE)
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        tone = container.add_stream("aac", rate=_RATE)
        at = 0
        for number, frame in enumerate(scene.frames(frames, _WIDTH, _HEIGHT)):
            picture = av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")
            picture.pts, picture.time_base = at, Fraction(1, 1000)
            at += 80 if varied and number % 3 == 2 else 40
            container.mux(video.encode(picture))
        container.mux([*video.encode(None), *tone.encode(_sound(at)), *tone.encode(None)])


def _sound(milliseconds: int) -> av.AudioFrame:
    time = np.arange(_RATE * milliseconds // 1000) / _RATE
    wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base, frame.pts = _RATE, Fraction(1, _RATE), 0
    return frame


def _whole(name: str, data: bytes) -> Whole:
    gencodec.verify(io.BytesIO(data))
    reader = Reader(io.BytesIO(data))
    units = [(_key(record), _place(record)) for record in reader.records()]
    if not reader.complete:
        raise AssertionError(f"{name} was not written as a whole")
    return Whole(name=name, data=data, units=units)


def _key(record: Record) -> Key:
    return record.part, record


def _place(record: Record) -> range:
    size = (
        record.container_bytes + len(record.payload)
        if isinstance(record, GroupRecord)
        else record.bytes
    )
    return range(record.offset, record.offset + size)


# -- damage -----------------------------------------------------------------------------------

Damaged = tuple[Whole, bytes, list[Key]]
"""A file, its bytes when damaged, and the units that were not hit."""


def flip(whole: Whole, chance: random.Random) -> Damaged:
    """Flip one bit anywhere."""
    at = chance.randrange(len(whole.data))
    data = bytearray(whole.data)
    data[at] ^= 1 << chance.randrange(8)
    return whole, bytes(data), [key for key, place in whole.units if at not in place]


def cut(whole: Whole, chance: random.Random) -> Damaged:
    """Cut the file anywhere, at the least one byte before its end."""
    end = chance.randrange(len(whole.data))
    return whole, whole.data[:end], [key for key, place in whole.units if place.stop <= end]


def examine(whole: Whole, data: bytes, untouched: Sequence[Key]) -> Counter[str]:
    """Read a damaged file in every way; return what was found.

    `silent` counts files that pass for whole, and units that were not written; `lost` counts units
    that were not hit and did not come back; `tracebacks` counts errors that are not the library's.
    """
    written = {key for key, _ in whole.units}
    found: Counter[str] = Counter(files=1, units=len(untouched))
    for read in (_strictly, _by_the_index):
        given = _guarded(read, data, found)
        found["silent"] += sum(key not in written for key in given)
        if read is _strictly and found["complete"]:
            found["silent"] += 1
    del found["complete"]
    recovered = _guarded(_recovering, data, found)
    found["silent"] += sum(key not in written for key in recovered) + found.pop("complete", 0)
    came = sum(key in set(recovered) for key in untouched)
    found["came back"] += came
    found["lost"] += len(untouched) - came
    return found


def _guarded(
    read: Callable[[bytes, Counter[str]], list[Key]], data: bytes, found: Counter[str]
) -> list[Key]:
    try:
        return read(data, found)
    except GencodecError:
        return []
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        found["tracebacks"] += 1
        sys.stderr.write(f"{read.__name__}: {error!r}\n")
        return []


def _strictly(data: bytes, found: Counter[str]) -> list[Key]:
    reader = Reader(io.BytesIO(data))
    given: list[Key] = []
    with suppress(GencodecError):
        given.extend(map(_key, reader.records()))
        found["complete"] += reader.complete
    return given


def _by_the_index(data: bytes, found: Counter[str]) -> list[Key]:
    del found
    reader, given = Reader(io.BytesIO(data)), []
    for entry in reader.index():
        with suppress(GencodecError):
            group, units = reader.read_span(entry)
            given += [(entry.part, group), *map(_key, units)]
    return given


def _recovering(data: bytes, found: Counter[str]) -> list[Key]:
    reader = Reader(io.BytesIO(data), recover=True)
    given = [_key(record) for record in reader.records()]
    found["complete"] += reader.complete
    return given


# -- the command ------------------------------------------------------------------------------


def _command(folder: Path, whole: Whole, data: bytes, untouched: Sequence[Key]) -> Counter[str]:
    """Give a damaged file to `verify` and to `decode --recover`."""
    path, output = folder / "damaged.gnv", folder / "shown.mkv"
    path.write_bytes(data)
    output.unlink(missing_ok=True)
    found: Counter[str] = Counter(commands=2)
    found["silent"] += _run(["verify", str(path)], folder, found)[0] == 0
    decode = ["decode", str(path), "-o", str(output), "--recover", "--conceal", "skip", "--json"]
    code, out = _run([*decode, "--base", "--threads", "1"], folder, found)
    shown = json.loads(out)["frames"] if output.exists() else 0
    found["silent"] += code == 0 or shown > _frames(key for key, _ in whole.units)
    found["lost"] += max(0, _frames(untouched) - shown)
    return found


def _frames(keys: Iterable[Key]) -> int:
    return sum(record.frames for _, record in keys if isinstance(record, GroupRecord))


def _run(arguments: list[str], folder: Path, found: Counter[str]) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    printed = folder / "printed"
    process = children.start(arguments, printed)
    process.join()
    told = printed.with_suffix(".err").read_text()
    if "Traceback" in told or process.exitcode not in (0, 3, 6, 7):
        found["tracebacks"] += 1
        sys.stderr.write(f"{' '.join(arguments)}: {process.exitcode} {told}\n")
    return process.exitcode or 0, printed.with_suffix(".out").read_text()
