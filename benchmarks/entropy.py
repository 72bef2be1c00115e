"""The entropy layer: how fast it is, and how near its bytes come to the ideal code length."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import scene
from benchmarks.section import Options, Section
from gencodec.execution import Execution
from gencodec.geometry import group_quality
from gencodec.packs import find_pack
from gencodec.packs.models import Models, load_models
from gencodec.symbols import GroupDecoder, GroupEncoder, Indices, Prior, PriorConfig, PriorState
from gencodec.transform import Source

_WIDTH, _HEIGHT, _FRAMES = 640, 360, 33
_QUALITIES = (10, 35, 60)
_REPEATS = 5
_ROWS = {
    "symbols": "symbols",
    "coded_symbols": "of them not skipped",
    "payload_bytes": "payload, bytes",
    "over_ideal_bytes": "over the ideal, bytes",
    "over_ideal_percent": "over the ideal, percent",
    "indices_seconds": "indices, seconds",
    "million_symbols_per_second": "decode, M symbols/s",
    "million_coded_symbols_per_second": "decode, M not skipped symbols/s",
}

Symbols = NDArray[np.int16]


@dataclass(slots=True)
class _Group:
    """A coded group: its symbols by latent frame, and its payload."""

    shape: tuple[int, int]
    quality: int
    payload: bytes = b""
    digest: int = 0
    ideal_bits: float = 0.0
    y: list[Symbols] = field(default_factory=list)
    z: list[Symbols] = field(default_factory=list)


def measure(options: Options) -> Section:
    """Code a group of the generated clip at several quality indices."""
    models = load_models(find_pack(options.pack), Execution.choose("cpu", threads=options.threads))
    rgb = np.stack([frame.rgb for frame in scene.frames(_FRAMES, _WIDTH, _HEIGHT)])
    source = models.transform.prepare(rgb)
    found = [_measure_one(models, _code(models, source, quality)) for quality in _QUALITIES]
    return Section(
        title=f"entropy layer, one group of {_FRAMES} frames {_WIDTH}x{_HEIGHT}",
        columns=("", *(f"quality {quality}" for quality in _QUALITIES)),
        rows=[(text, *(row[key] for row in found)) for key, text in _ROWS.items()],
        data={"width": _WIDTH, "height": _HEIGHT, "frames": _FRAMES, "qualities": found},
        notes=["decode: range decoder, escapes, digest and check, once the indices are known"],
    )


def _code(models: Models, source: Source, quality: int) -> _Group:
    group = _Group(shape=(source.shape[-2], source.shape[-1]), quality=quality)
    encoder = GroupEncoder(models.exact.prior, models.exact.tables, group.shape)

    def write(y: NDArray[np.int32], z: NDArray[np.int32], index: int) -> Symbols:
        group.z.append(z.astype(np.int16))
        group.y.append(encoder.encode_frame(y, z, index))
        return group.y[-1]

    models.transform.encode(  # in the order of time, so that nothing turns
        source, group_quality(quality, 0, models.exact.prior.config.qualities), write
    )
    group.payload, group.digest = encoder.finish(), encoder.digest
    group.ideal_bits = encoder.cost_bits
    return group


def _measure_one(models: Models, group: _Group) -> dict[str, Any]:
    prior, tables = models.exact.prior, models.exact.tables
    y, z = np.stack(group.y), np.stack(group.z)
    qualities = [group.quality] * len(y)
    indices_seconds = _fastest(lambda: prior.indices(y, z, qualities))
    known = _Known(prior, group)

    def decode() -> None:
        decoder = GroupDecoder(known, tables, group.shape, group.payload, digest=group.digest)  # type: ignore[arg-type]  # acts like a prior
        for quality in qualities:
            decoder.decode_frame(quality)
        decoder.finish()

    seconds = _fastest(decode)
    over = len(group.payload) - group.ideal_bits / 8
    return {
        "quality": group.quality,
        "symbols": y.size + z.size,
        "coded_symbols": known.coded + z.size,
        "payload_bytes": len(group.payload),
        "over_ideal_bytes": over,
        "over_ideal_percent": 100 * over / (group.ideal_bits / 8),
        "indices_seconds": indices_seconds,
        "decode_seconds": seconds,
        "million_symbols_per_second": (y.size + z.size) / seconds / 1e6,
        "million_coded_symbols_per_second": (known.coded + z.size) / seconds / 1e6,
    }


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few runs: the others were disturbed."""
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class _Known:
    """Acts like a prior that has nothing to compute: the indices of one group are known."""

    def __init__(self, prior: Prior, group: _Group) -> None:
        self.config: PriorConfig = prior.config
        self._steps: list[list[Indices]] = []
        self._state = state = prior.start(group.shape)
        for y, z in zip(group.y, group.z, strict=True):
            state.begin_frame(z, group.quality)
            steps = []
            for step in range(4):
                steps.append(state.indices(step))
                symbols = y.reshape(len(y), -1)[self.config.part(step), state.positions(step)]
                state.place(step, symbols)
            state.end_frame()
            self._steps.append(steps)
        self.coded = sum(int(np.count_nonzero(i.scale)) for each in self._steps for i in each)

    def start(self, shape: tuple[int, int]) -> _KnownState:
        return _KnownState(self._state, self._steps)


class _KnownState:
    """Acts like a running prior."""

    def __init__(self, state: PriorState, steps: list[list[Indices]]) -> None:
        self.shape, self.positions = state.shape, state.positions
        self._steps, self._frame = steps, -1

    def begin_frame(self, z: Symbols, quality: int) -> None:
        self._frame += 1

    def indices(self, step: int) -> Indices:
        return self._steps[self._frame][step]

    def place(self, step: int, symbols: Symbols) -> None:
        pass

    def end_frame(self) -> None:
        pass
