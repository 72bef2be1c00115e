"""What a benchmark found, as dataclasses that mirror its JSON file. No torch, no video library.

    {"schema": "gencodec-bench/1", "gencodec": "0.1.0", "measured": "2026-...Z", "machine": {...},
     "versions": {...}, "command": [...], "metrics": [...], "clips": [...], "codecs": [...],
     "points": [...], "bd_rates": [...], "speed": [...], "warnings": [...]}

Every list holds objects with the fields of the dataclass below it is named after. Readers ignore
keys they do not know; numbers that are not known are null. Paths are relative to the cache folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from gencodec.errors import SourceError
from gencodec.output import atomic_output

SCHEMA = "gencodec-bench/1"

_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What a metric's numbers mean; `higher_is_better` is null where 1 is best."""

    name: str
    label: str
    unit: str = ""
    higher_is_better: bool | None = None
    backbone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip as it was coded and measured: its first frames.

    Attributes:
        name: file name without the suffix; unique in the results.
        width, height: pixels as stored.
        frames: frames used.
        rate: frames per second, nominal.
        duration: seconds of the frames used.
        rotation: degrees clockwise that bring a stored picture upright.
        video: the frames used, bit-exact (FFV1 in mov), with their times; relative to the cache.
    """

    name: str
    width: int
    height: int
    frames: int
    rate: float
    duration: float
    rotation: int = 0
    video: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecInfo:
    """What a codec of the results is.

    Attributes:
        name: as in points: "gencodec", "gencodec:steps=2", "x265", "svtav1-half".
        label: for people, with the settings that matter.
        peer: false for rows of gencodec itself.
        command: its settings as one would give them to the encoder.
    """

    name: str
    label: str
    peer: bool
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointScore:
    """A metric of one point: mean over the frames, and the worst frame with its time in seconds."""

    mean: float
    worst: float
    worst_frame: int
    worst_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One clip coded by one codec near one rate.

    Attributes:
        clip, codec: names of `Clip` and `CodecInfo`.
        target_bpp: bits per pixel asked for, over width x height x frames of the clip.
        bpp, bytes: what it became: gencodec's whole file, a peer's packets (what a container would
            add is not counted). Null after an error, as all that follows.
        reached: `bytes` is within 3 % of the target.
        setting: what the rate was set with, such as "crf 31.25".
        encode_seconds: wall time of the one encode that made this point: reading and converting
            the clip, coding, no start of the process; of gencodec also its own search of the rate.
        decode_seconds: wall time from the coded bytes to full-size RGB frames, loading of networks
            included.
        encode_peak_bytes, decode_peak_bytes: most memory the process ever held, Python included.
        scores: metric name -> score.
        missing: metric name -> why it was not computed.
        video: the decoded pictures, full size, with the clip's times, H.264 without visible loss.
        stream: the coded bytes.
        error: why there is no point; null if there is one.
    """

    clip: str
    codec: str
    target_bpp: float
    bpp: float | None = None
    bytes: int | None = None
    reached: bool = False
    setting: str = ""
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    encode_peak_bytes: int | None = None
    decode_peak_bytes: int | None = None
    scores: Mapping[str, PointScore] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    video: str = ""
    stream: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BdRate:
    """How many more bytes a codec needs than an anchor for the same value of a metric.

    Attributes:
        clip: null is the mean over the clips that have a number.
        metric, codec, anchor: names.
        percent: below 0 the codec needs fewer bytes; null if there is no number.
        range: (lowest, highest) value of the metric that both curves reach, which is what was
            compared; null where there is none, and for means.
        reason: why there is no number, or what to know about the one there is; else empty.
    """

    clip: str | None
    metric: str
    codec: str
    anchor: str
    percent: float | None
    range: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a codec was over all its points; null where nothing was measured.

    Attributes:
        codec: name.
        points: how many points count.
        encode_frames_per_second, decode_frames_per_second: all frames over all seconds.
        encode_megapixels_per_second, decode_megapixels_per_second: the same in pixels.
        encode_peak_bytes, decode_peak_bytes: the most of any point.
    """

    codec: str
    points: int
    encode_frames_per_second: float | None = None
    decode_frames_per_second: float | None = None
    encode_megapixels_per_second: float | None = None
    decode_megapixels_per_second: float | None = None
    encode_peak_bytes: int | None = None
    decode_peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All of a benchmark.

    Attributes:
        gencodec: version that ran it.
        measured: when, UTC, ISO 8601.
        machine: system, processor, processors, memory_bytes, threads, device, load_average.
        versions: package or library -> version.
        command: arguments of the command line.
        metrics, clips, codecs, points, bd_rates, speed: see their classes.
        warnings: what a reader must know, such as files that were left out.
    """

    schema: ClassVar[str] = SCHEMA

    gencodec: str
    measured: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    metrics: tuple[MetricInfo, ...] = ()
    clips: tuple[Clip, ...] = ()
    codecs: tuple[CodecInfo, ...] = ()
    points: tuple[Point, ...] = ()
    bd_rates: tuple[BdRate, ...] = ()
    speed: tuple[Speed, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the results that `to_json` made a record of.

        Raises:
            ValueError, KeyError, TypeError: the record is nothing of the kind.
        """
        if record.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {record.get('schema')!r}, not {SCHEMA!r}")
        return cls(
            gencodec=record["gencodec"],
            measured=record.get("measured", ""),
            machine=record.get("machine", {}),
            versions=record.get("versions", {}),
            command=tuple(record.get("command", ())),
            metrics=_records(MetricInfo, record.get("metrics", ())),
            clips=_records(Clip, record.get("clips", ())),
            codecs=_records(CodecInfo, record.get("codecs", ())),
            points=tuple(_point(each) for each in record.get("points", ())),
            bd_rates=tuple(_bd_rate(each) for each in record.get("bd_rates", ())),
            speed=_records(Speed, record.get("speed", ())),
            warnings=tuple(record.get("warnings", ())),
        )

    def save(self, path: Path) -> None:
        """Write the JSON file; what stands there is replaced, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        text = json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"
        with atomic_output(path, overwrite=True) as work:
            work.write_text(text, "utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a JSON file that `save` wrote.

        Raises:
            SourceError: the file cannot be read or holds no results of this schema.
        """
        try:
            return cls.from_json(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise SourceError(f"cannot open {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError(f"{path} holds no results of gencodec bench: {error}") from error


def _records(kind: type[_Record], records: Sequence[Mapping[str, Any]]) -> tuple[_Record, ...]:
    return tuple(_record(kind, each) for each in records)


def _record(kind: type[_Record], record: Mapping[str, Any], **instead: object) -> _Record:
    """Return a dataclass of the fields it knows; `instead` replaces some.

    Raises:
        KeyError: a field without a default is missing.
    """
    known = fields(kind)  # type: ignore[arg-type]  # every kind is a dataclass
    needed = [each.name for each in known if each.default is MISSING is each.default_factory]
    missing = [name for name in needed if name not in record]
    if missing:
        raise KeyError(f"{kind.__name__} lacks {', '.join(missing)}")
    given = {each.name: record[each.name] for each in known if each.name in record}
    return kind(**{**given, **instead})


def _point(record: Mapping[str, Any]) -> Point:
    scores = {name: _record(PointScore, score) for name, score in record.get("scores", {}).items()}
    return _record(Point, record, scores=scores)


def _bd_rate(record: Mapping[str, Any]) -> BdRate:
    span = record.get("range")
    return _record(BdRate, record, range=None if span is None else (span[0], span[1]))
