"""Codes every clip with every codec at every rate and measures what became of it.

A benchmark that is interrupted goes on where it stopped: what is finished is in the cache, by what
it was made from. A codec that fails has points with errors, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import gencodec
from gencodec.errors import UsageError
from gencodec.evaluation.cache import Cache
from gencodec.evaluation.clips import Source, find_clips, keep_clips
from gencodec.evaluation.machine import machine, usable_processors, versions
from gencodec.evaluation.metrics import METRICS
from gencodec.evaluation.results import CodecInfo, MetricInfo, Point, Results
from gencodec.peers import DEFAULT_PEERS, Codec, Peer, find_peer, find_row
from gencodec.peers.programs import program_version
from gencodec.progress import Progress, Report

if TYPE_CHECKING:
    from gencodec.evaluation.points import Workshop

RATES = (0.05, 0.02, 0.01, 0.005, 0.0025)
_MOST_THREADS = 4

Save = Callable[[Results], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What to measure, and with what.

    Attributes:
        cache: folder of finished work, made if need be.
        rates: bits per pixel.
        rows: gencodec with settings, see `gencodec.peers.find_row`.
        peers: names, see `gencodec.peers.find_peer`.
        frames: of each clip, from its start.
        metrics: names; None for all.
        pack: model pack of rows that name none.
        device: where networks run.
        threads: CPU threads of everything; None is as many as there are, up to four.
        command: arguments of the command line, for the record.
    """

    cache: Path
    rates: tuple[float, ...] = RATES
    rows: tuple[str, ...] = ("gencodec",)
    peers: tuple[str, ...] = DEFAULT_PEERS
    frames: int = 64
    metrics: tuple[str, ...] | None = None
    pack: str = "mini"
    device: str = "auto"
    threads: int | None = None
    command: tuple[str, ...] = ()


def bench(
    clips: Sequence[Path],
    options: BenchOptions,
    *,
    on_results: Save | None = None,
    on_progress: Report | None = None,
) -> Results:
    """Measure codecs on clips.

    Args:
        clips: videos, and folders with videos; files that are none are left out with a warning.
        options: what to measure.
        on_results: given all there is so far after every point.
        on_progress: told about every point.

    Raises:
        UsageError: a codec, metric or rate is named that does not exist, or twice.
        SourceError: a path does not exist, or there is no video among them.
        ExecutionError: the device is not there.
        OutputError: the cache cannot be written.
    """
    codecs = _codecs(options)
    rates = _rates(options)
    metrics = _metrics(options)
    files = list(find_clips(clips))
    # Slow imports, so only when nothing is left to refuse.
    from gencodec.evaluation.comparison import bd_rates, speeds
    from gencodec.evaluation.points import Workshop
    from gencodec.execution import Execution

    threads = options.threads or min(usable_processors(), _MOST_THREADS)
    execution = Execution.choose(options.device)
    cache = Cache(options.cache)
    sources, warnings = keep_clips(files, options.frames, cache)
    started = Results(
        gencodec=gencodec.__version__,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        machine={**machine(), "threads": threads, "device": execution.reason},
        versions={**versions(), **_program_versions(codecs)},
        command=options.command,
        metrics=metrics,
        clips=tuple(source.clip for source in sources),
        codecs=tuple(_describe(codec, threads) for codec in codecs),
        warnings=warnings,
    )
    shop = Workshop(
        cache=cache,
        pack=options.pack,
        device=options.device,
        threads=threads,
        metrics=options.metrics,
    )
    total = len(sources) * len(codecs) * len(rates)
    points: list[Point] = []
    for where, point in _points(sources, codecs, rates, shop):
        if point is None:
            _tell(on_progress, len(points), total, where)
            continue
        points.append(point)
        if on_results is not None:
            on_results(replace(started, points=tuple(points)))
    _tell(on_progress, total, total, "")
    finished = replace(
        started,
        points=tuple(points),
        bd_rates=bd_rates(points, started),
        speed=speeds(points, started),
    )
    if on_results is not None:
        on_results(finished)
    return finished


def _points(
    sources: Sequence[Source], codecs: Sequence[Codec], rates: Sequence[float], shop: Workshop
) -> Iterator[tuple[str, Point | None]]:
    """Yield what comes next, with None, and then the point."""
    from gencodec.evaluation.points import Contender

    for source in sources:
        for codec in codecs:
            contender = Contender(codec, source, shop)
            for bpp in rates:
                where = f"{source.clip.name}, {codec.name}, {bpp:g} bpp"
                yield where, None
                yield where, contender.point(bpp)


def _tell(on_progress: Report | None, done: int, total: int, where: str) -> None:
    if on_progress is not None:
        on_progress(Progress(stage="bench", frames=done, total=total, detail=where))


def _codecs(options: BenchOptions) -> list[Codec]:
    codecs: list[Codec] = [*map(find_row, options.rows), *map(find_peer, options.peers)]
    names = [codec.name for codec in codecs]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"codecs must be named once: {', '.join(names) or 'there is none'}")
    return codecs


def _rates(options: BenchOptions) -> list[float]:
    rates = sorted(set(options.rates), reverse=True)
    if not rates or rates[-1] <= 0 or options.frames < 1:
        raise UsageError("rates must be above 0 bits per pixel, and frames at least 1")
    return rates


def _metrics(options: BenchOptions) -> tuple[MetricInfo, ...]:
    names = METRICS if options.metrics is None else options.metrics
    if unknown := [name for name in names if name not in METRICS]:
        raise UsageError(f"{', '.join(unknown)}: no such metric; there are {', '.join(METRICS)}")
    return tuple(MetricInfo(**asdict(METRICS[name])) for name in METRICS if name in names)


def _program_versions(codecs: Sequence[Codec]) -> dict[str, str]:
    runners = {codec.runner for codec in codecs if isinstance(codec, Peer)} - {"library"}
    found = {runner: program_version(runner) for runner in sorted(runners)}
    return {runner: text for runner, text in found.items() if text}


def _describe(codec: Codec, threads: int) -> CodecInfo:
    if isinstance(codec, Peer):
        command = codec.command(threads)
        return CodecInfo(name=codec.name, label=codec.label, peer=True, command=command)
    return CodecInfo(name=codec.name, label=codec.label, peer=False)
