"""One clip, one codec, several rates -> points. Everything slow is kept in the cache."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache as remember
from pathlib import Path
from typing import Any

import torch

from gencodec.errors import GencodecError, OutputError
from gencodec.evaluation import EvaluationOptions, Score, evaluate
from gencodec.evaluation.cache import Cache, Entry, file_digest
from gencodec.evaluation.clips import Source
from gencodec.evaluation.metrics.weights import FOLDER_VARIABLE
from gencodec.evaluation.results import Point, PointScore
from gencodec.evaluation.search import Search, reached
from gencodec.frames import open_sink, open_source
from gencodec.peers import Codec, Peer, decode, encode, identity

_STREAM = "stream.bin"
_SHOWN = "decoded.mp4"
_REVISION = 1  # of what entries hold
_WEIGHTS = ("*.npz", "*.pth", "checkpoints/*.pth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where and how points are made.

    Attributes:
        cache: finished work.
        pack: model pack of rows that name none.
        device: where networks run.
        threads: CPU threads of everything.
        metrics: names; None for all.
    """

    cache: Cache
    pack: str
    device: str
    threads: int
    metrics: tuple[str, ...] | None = None


class Contender:
    """A codec on a clip: makes its points, one rate after the other."""

    def __init__(self, codec: Codec, source: Source, workshop: Workshop) -> None:
        self._codec, self._source, self._workshop = codec, source, workshop
        self._search = None
        if isinstance(codec, Peer):
            self._search = Search(
                lambda setting: int(self._encoded(setting).record["bytes"]), codec.encoder.dial
            )

    def point(self, bpp: float) -> Point:
        """Return the point nearest to a rate; a codec that fails gives a point with an error.

        Raises:
            OutputError: the cache cannot be written.
        """
        clip = self._source.clip.name
        try:
            return self._made(bpp)
        except OutputError:
            raise
        except GencodecError as error:
            return Point(clip=clip, codec=self._codec.name, target_bpp=bpp, error=str(error))

    def _made(self, bpp: float) -> Point:
        target = bpp * self._source.pixels / 8
        setting = bpp if self._search is None else self._setting(self._search, target)
        encoded = self._encoded(setting)
        measured = self._measured(encoded)
        size, cache = encoded.record["bytes"], self._workshop.cache
        scores = {name: PointScore(**s) for name, s in measured.record["scores"].items()}
        return Point(
            clip=self._source.clip.name,
            codec=self._codec.name,
            target_bpp=bpp,
            bpp=8 * size / self._source.pixels,
            bytes=size,
            reached=reached(size, target),
            setting=encoded.record["setting"],
            encode_seconds=encoded.record["seconds"],
            decode_seconds=measured.record["seconds"],
            encode_peak_bytes=encoded.record["peak_bytes"],
            decode_peak_bytes=measured.record["peak_bytes"],
            scores=scores,
            missing=measured.record["missing"],
            video=cache.relative(measured / _SHOWN),
            stream=cache.relative(encoded / _STREAM),
        )

    def _setting(self, search: Search, target: float) -> float:
        """Return the setting of a peer's dial for a number of bytes.

        It is kept: what is found depends on the rates tried before, and a point must not change
        because another rate is asked for.
        """
        question = {**self._question(), "bytes": target}
        found = self._workshop.cache.get(
            "settings", question, lambda _: {"setting": search.near(target)}
        )
        return float(found.record["setting"])

    def _encoded(self, setting: float) -> Entry:
        """Return the clip coded with a setting of the dial, or of a row at bits per pixel."""
        shop = self._workshop

        def answer(folder: Path) -> Mapping[str, Any]:
            made = encode(
                self._codec,
                self._source.path,
                folder / _STREAM,
                setting=setting,
                pack=shop.pack,
                device=shop.device,
                threads=shop.threads,
            )
            return {**asdict(made), "digest": file_digest(folder / _STREAM)}

        return shop.cache.get("encoded", {**self._question(), "setting": setting}, answer)

    def _measured(self, encoded: Entry) -> Entry:
        """Return how a coded clip looks: its scores and decoded pictures."""
        base = None if isinstance(self._codec, Peer) else self._codec.base
        question = {
            **self._question(),
            "stream": encoded.record["digest"],
            "base": base,
            "metrics": self._workshop.metrics,
            "measure": _measure_identity(),
        }

        return self._workshop.cache.get(
            "measured", question, lambda folder: self._look_at(encoded / _STREAM, folder)
        )

    def _look_at(self, stream: Path, folder: Path) -> Mapping[str, Any]:
        """Decode a stream, compare it with the source and keep what a person can look at."""
        shop, exact = self._workshop, folder / "exact.mov"
        decoded = decode(
            self._codec,
            stream,
            self._source.path,
            exact,
            device=shop.device,
            threads=shop.threads,
        )
        options = EvaluationOptions(metrics=shop.metrics, device=shop.device, threads=shop.threads)
        found = evaluate(self._source.path, exact, options)
        _show(exact, folder / _SHOWN)
        exact.unlink()
        finite = {name: asdict(score) for name, score in found.scores.items() if _finite(score)}
        infinite = {name: "infinite" for name in found.scores if name not in finite}
        return {**asdict(decoded), "scores": finite, "missing": {**found.missing, **infinite}}

    def _question(self) -> dict[str, Any]:
        """Return what everything that is made of this clip by this codec depends on."""
        shop = self._workshop
        return {
            "clip": self._source.digest,
            "codec": identity(self._codec, shop.pack),
            "device": shop.device,
            "threads": shop.threads,
            "revision": _REVISION,
        }


def _show(exact: Path, shown: Path) -> None:
    """Write pictures again as H.264 without visible loss, a small part of the size."""
    with open_source(exact) as source, open_sink(shown, source.info) as sink:
        for frame in source.frames():
            sink.write(frame)


def _finite(score: Score) -> bool:
    return math.isfinite(score.mean) and math.isfinite(score.worst)


@remember
def _measure_identity() -> str:
    """Return a digest of what decides the scores of a decoded clip: our code, and the weights."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in (root / "scoring.py", root / "pairing.py", *sorted(root.glob("metrics/*.py"))):
        digest.update(path.read_bytes())
    for folder in (os.environ.get(FOLDER_VARIABLE), torch.hub.get_dir()):
        for pattern in _WEIGHTS if folder else ():
            weights = sorted(Path(folder or ".").glob(pattern))
            digest.update(repr([(path.name, path.stat().st_size) for path in weights]).encode())
    digest.update(repr(shutil.which("ffmpeg")).encode())
    return digest.hexdigest()
