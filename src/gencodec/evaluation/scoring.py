"""How like a video is to its reference, by every metric that can be computed here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gencodec.errors import SourceError
from gencodec.evaluation.crew import Crew
from gencodec.evaluation.metrics import METRICS, Meter, MetricError, Series, Setting, meters_for
from gencodec.evaluation.pairing import FrameReader, Pairing, open_frames
from gencodec.execution import Execution
from gencodec.progress import Progress, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """How an evaluation is done.

    Attributes:
        metrics: names of those to compute, None for all.
        align: scale the distorted video and leave out frames without a partner, where the videos
            differ in size or times; otherwise that is an error.
        frames: compare the first so many frames only.
        steps: refinement steps of a distorted .gnv, instead of its own.
        base: show a distorted .gnv without refinement.
        download: fetch the weights of networks that are not at hand.
        device: where networks run: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads; None is torch's choice.
        on_progress: told about every frame.
    """

    metrics: tuple[str, ...] | None = None
    align: bool = False
    frames: int | None = None
    steps: int | None = None
    base: bool = False
    download: bool = False
    device: str = "auto"
    threads: int | None = None
    on_progress: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric of a video.

    Attributes:
        mean: of the whole video.
        worst: of the worst frame.
        worst_frame: its number among the frames that were compared, from 0.
        worst_time: when it is shown, seconds from the first frame.
    """

    mean: float
    worst: float
    worst_frame: int
    worst_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came out.

    Attributes:
        reference, distorted: the files.
        width, height: pixels of the upright reference.
        frames: pairs that were compared.
        duration: seconds they last.
        bytes: of the distorted file, everything in it.
        bpp: bits per pixel of that file; None where only some of its frames were looked at.
        scores: by metric, in the order of `METRICS`.
        missing: metrics that were asked for and not computed, and why.
        warnings: what makes the numbers mean less than they seem to.
        seconds: wall time.
    """

    reference: str
    distorted: str
    width: int
    height: int
    frames: int
    duration: float
    bytes: int
    bpp: float | None
    scores: Mapping[str, Score]
    missing: Mapping[str, str]
    warnings: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)


_DEFAULT = EvaluationOptions()
_NOTHING = "no frame has a value: it takes two frames, and a source with motion and detail"


def evaluate(
    reference: str | Path, distorted: str | Path, options: EvaluationOptions = _DEFAULT
) -> Evaluation:
    """Compare a video with its reference, frame by frame as they are shown.

    Args:
        reference: the source; a .gnv or anything FFmpeg reads.
        distorted: what became of it, likewise.
        options: which metrics, and how.

    Raises:
        ValueError: a metric is asked for that does not exist.
        SourceError: a video cannot be read, or the two differ in size, number of frames or times.
        FormatError, PackError, ExecutionError: a .gnv cannot be decoded.
    """
    started = time.monotonic()
    names = METRICS if options.metrics is None else options.metrics
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"{', '.join(unknown)}: no such metric; there are {', '.join(METRICS)}")
    execution = Execution.choose(options.device, threads=options.threads)
    with ExitStack() as opened:
        steps = 0 if options.base else options.steps
        source = opened.enter_context(open_frames(reference, execution=execution))
        shown = opened.enter_context(open_frames(distorted, execution=execution, steps=steps))
        pairing = Pairing(source, shown, (str(reference), str(distorted)), align=options.align)
        setting = Setting(
            width=source.width,
            height=source.height,
            rate=source.info.frame_rate,
            matrix=pairing.matrix,
            execution=execution,
            download=options.download,
            on_progress=options.on_progress,
        )
        meters, missing = meters_for(names, setting)
        for meter in meters:
            opened.enter_context(closing(meter))
        with Crew(meters, execution) as crew:
            times = _compare(pairing, crew, source, options)
        series = _finished(meters, missing)
        complete = options.frames is None and not pairing.unmatched.distorted
        size = Path(distorted).stat().st_size
        return Evaluation(
            reference=str(reference),
            distorted=str(distorted),
            width=source.width,
            height=source.height,
            frames=len(times),
            duration=times[-1] + float(1 / source.info.frame_rate),
            bytes=size,
            bpp=8 * size / (shown.width * shown.height * len(times)) if complete else None,
            scores={name: _score(name, series[name], times) for name in METRICS if name in series},
            missing={name: missing[name] for name in METRICS if name in missing},
            warnings=_warnings(source, shown, pairing),
            seconds=time.monotonic() - started,
        )


def _compare(
    pairing: Pairing, crew: Crew, source: FrameReader, options: EvaluationOptions
) -> list[float]:
    """Show all pairs; return their times in seconds."""
    times: list[float] = []
    hint = source.info.frame_count
    total = hint if options.frames is None else min(options.frames, hint or options.frames)
    for pair in islice(pairing, options.frames):
        times.append(float(pair.seconds))
        crew.show(pair)
        if options.on_progress is not None:
            options.on_progress(Progress(stage="compare", frames=len(times), total=total))
    if not times:
        raise SourceError("no frame of the two videos is shown at the same moment")
    return times


def _finished(meters: Sequence[Meter], missing: dict[str, str]) -> dict[str, Series]:
    """Return the series that hold something; say of the others why not."""
    series: dict[str, Series] = {}
    for meter in meters:
        try:
            meter.finish()
        except MetricError as error:
            missing.update(dict.fromkeys(meter.series, str(error)))
            continue
        for name, values in meter.series.items():
            if values.values:
                series[name] = values
            else:
                missing[name] = _NOTHING
    return series


def _score(name: str, series: Series, times: Sequence[float]) -> Score:
    badness = METRICS[name].badness
    worst = max(range(len(series.values)), key=lambda k: badness(series.values[k]))
    frame = series.frames[worst]
    return Score(
        mean=series.average,
        worst=series.values[worst],
        worst_frame=frame,
        worst_time=times[frame],
    )


def _warnings(source: FrameReader, shown: FrameReader, pairing: Pairing) -> tuple[str, ...]:
    """Return what a reader of the numbers must know."""
    return tuple(_each_warning(source, shown, pairing))


def _each_warning(source: FrameReader, shown: FrameReader, pairing: Pairing) -> Iterator[str]:
    if pairing.scaled:
        yield (
            f"aligned: scaled from {shown.width}x{shown.height} to {source.width}x{source.height}"
        )
    lost = pairing.unmatched
    if lost.reference or lost.distorted:
        yield (
            f"aligned: {lost.reference} frames of the reference and {lost.distorted} of the "
            "distorted video have no partner and are left out"
        )
    if shown.skipped:
        yield f"the size of the distorted file includes {', '.join(shown.skipped)}"
    yield from (f"reference: {note}" for note in source.notes)
    yield from (f"distorted: {note}" for note in shown.notes)
