"""The clips of a benchmark: the first frames of each, kept bit-exactly in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from gencodec.errors import LimitError, SourceError
from gencodec.evaluation.cache import Cache, file_digest
from gencodec.evaluation.results import Clip
from gencodec.frames import open_source
from gencodec.frames.lossless import LosslessSink

_VIDEO = "frames.mov"
_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".ts", ".webm", ".y4m"})
_REVISION = 1  # of how frames are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A clip, ready to be coded.

    Attributes:
        clip: what it is.
        path: the lossless file.
        digest: of its bytes.
    """

    clip: Clip
    path: Path
    digest: str

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.clip.width * self.clip.height * self.clip.frames


def find_clips(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that are meant: those named, and the videos in folders that are named.

    Raises:
        SourceError: a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise SourceError(f"{path} does not exist; name videos, or folders of videos")


def keep_clips(
    files: Sequence[Path], frames: int, cache: Cache
) -> tuple[list[Source], tuple[str, ...]]:
    """Keep the first frames of every clip; say of files that are no video that they are left out.

    Returns:
        The clips, and warnings.

    Raises:
        SourceError: no clip is left.
        OutputError: the cache cannot be written.
    """
    kept: list[Source] = []
    warnings: list[str] = []
    for path in files:
        try:
            source = _keep(path, frames, cache, {each.clip.name for each in kept})
        except LimitError:
            raise
        except SourceError as error:
            warnings.append(f"left out: {error}")
            continue
        kept.append(source)
    if not kept:
        reasons = "; ".join(warnings) or "the folders named hold none"
        raise SourceError(f"there is no video to measure: {reasons}")
    return kept, tuple(warnings)


def _keep(path: Path, frames: int, cache: Cache, taken: set[str]) -> Source:
    question = {"file": file_digest(path), "frames": frames, "revision": _REVISION}
    entry = cache.get("clips", question, lambda folder: _copy(path, frames, folder))
    video = entry / _VIDEO
    name, number = path.stem, 2
    while name in taken:
        name, number = f"{path.stem}-{number}", number + 1
    facts = {key: value for key, value in entry.record.items() if key != "digest"}
    clip = Clip(name=name, video=cache.relative(video), **facts)
    return Source(clip=clip, path=video, digest=entry.record["digest"])


def _copy(path: Path, frames: int, folder: Path) -> dict[str, object]:
    """Write the first frames and return what they are."""
    video = folder / _VIDEO
    with open_source(path) as source, LosslessSink(video, source.info) as sink:
        for picture, ticks in islice(source.pictures(), frames):
            sink.write(picture, ticks)
    with open_source(video) as kept:
        info = kept.info
        times = [ticks for _, ticks in kept.pictures()]
    seconds = (times[-1] - times[0] + info.frame_ticks) * info.time_base
    clip = Clip(
        name="",
        width=info.width,
        height=info.height,
        frames=len(times),
        rate=float(info.frame_rate),
        duration=float(seconds),
        rotation=info.rotation,
    )
    facts = {key: value for key, value in asdict(clip).items() if key not in ("name", "video")}
    return {**facts, "digest": file_digest(video)}
