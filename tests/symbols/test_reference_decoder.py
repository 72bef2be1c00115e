"""The fast path against a decoder in plain Python integers, written from formats/entropy-1.md."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencodec.symbols import GroupDecoder, GroupEncoder, Prior, PriorConfig, Tables

Plane = list[list[list[int]]]  # [channels][h][w]


class ReferenceRangeDecoder:
    """Section 5 of the specification."""

    def __init__(self, payload: bytes) -> None:
        self.payload, self.at = payload, 0
        self.lower, self.size = 0, 2**64 - 1
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        data = self.payload[self.at : self.at + 4]
        self.at += 4
        return int.from_bytes(data.ljust(4, b"\0"), "big")

    def decode(self, frequencies: list[int]) -> int:
        unit = self.size >> 24
        quantile = (self.point - self.lower) % 2**64 // unit
        assert quantile < 2**24
        entry = below = 0
        while below + frequencies[entry] <= quantile:
            below += frequencies[entry]
            entry += 1
        self.lower = (self.lower + unit * below) % 2**64
        self.size = unit * frequencies[entry]
        if self.size < 2**32:
            self.lower = self.lower << 32 & (2**64 - 1)
            self.size <<= 32
            self.point = (self.point << 32 & (2**64 - 1)) | self.word()
        return entry


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


class ReferenceMotion:
    """Section 4b of the specification."""

    def __init__(self, counts: list[list[int]], shape: tuple[int, int]) -> None:
        self.h, self.w = shape
        self.p = [(2 * n1 + 1) * 2**15 // (n0 + n1 + 1) for n0, n1 in counts]
        self.m = [min(12, n0 + n1) for n0, n1 in counts]
        still: dict[str, Any] = {"v": (0, 0), "r": 0, "changed": 0}
        self.still = {(i, j): still for i in range(self.h) for j in range(self.w)}
        self.before = self.still

    def bit(self, coder: ReferenceRangeDecoder, context: int | None) -> int:
        if context is None:
            return coder.decode([2**23, 2**23])
        f = 2**12 * clip(self.p[context] >> 4, 1, 4095)
        b = coder.decode([2**24 - f, f])
        p, m = self.p[context], self.m[context]
        self.p[context] = p + (((b * 2**16 - p) * (2**16 // (m + 2))) >> 16)
        self.m[context] = min(126, m + 1)
        return b

    def decode(self, coder: ReferenceRangeDecoder) -> list[list[list[int]]]:
        vectors = [block["v"] for block in self.before.values()]
        middle = (len(vectors) - 1) // 2
        typical = tuple(sorted(v[k] for v in vectors)[middle] for k in (0, 1))
        outside: dict[str, Any] = {"v": typical, "r": 0, "changed": 0}
        field: dict[tuple[int, int], Any] = {}
        out = [[[0] * self.w for _ in range(self.h)] for _ in range(3)]
        for i in range(self.h):
            for j in range(self.w):
                around = [field.get(at, outside) for at in ((i, j - 1), (i - 1, j), (i - 1, j + 1))]
                v = [block["v"] for block in around]
                guess = tuple(sorted(x[k] for x in v)[1] for k in (0, 1)) if i else v[0]
                before = self.before[i, j]
                spread = distance_class(v[0], v[1], v[1], v[2])
                r = self.bit(coder, 2 * sum(b["r"] for b in around) + before["r"])
                changed = sum(b["changed"] for b in around)
                apart = min(2, distance_class(before["v"], guess))
                vector = guess
                if self.bit(coder, 8 + ((spread * 4 + changed) * 3 + apart) * 2 + r):
                    vector = self.named(coder, [*v, before["v"], (0, 0)], guess, spread)
                field[i, j] = {"v": vector, "r": r, "changed": int(vector != guess)}
                out[0][i][j], out[1][i][j] = vector[0] - guess[0], vector[1] - guess[1]
                out[2][i][j] = r
        self.before = field
        return out

    def named(
        self,
        coder: ReferenceRangeDecoder,
        candidates: list[Any],
        guess: tuple[int, ...],
        spread: int,
    ) -> tuple[int, ...]:
        tried = [guess]
        for n, candidate in enumerate(candidates):
            if candidate in tried:
                continue
            if self.bit(coder, 104 + (n * 5 + len(tried) - 1) * 4 + spread):
                return tuple(candidate)
            tried.append(candidate)
        x = self.component(coder, None, spread)
        return guess[0] + x, guess[1] + self.component(coder, x, spread)

    def component(self, coder: ReferenceRangeDecoder, first: int | None, spread: int) -> int:
        kind = 0 if first is None else 1 + distance_class((first, 0), (0, 0))
        length = 1 if first == 0 else 0
        while length < 15 and self.bit(coder, 204 + (min(length, 6) * 5 + kind) * 4 + spread):
            length += 1
        if length == 0:
            return 0
        negative = self.bit(coder, 344 if first is None else 345)
        size = 1
        for place in reversed(range(length - 1)):
            size = 2 * size + self.bit(coder, 346 + length - 2 if place == length - 2 else None)
        return -size if negative else size


def distance_class(*pairs: tuple[int, ...]) -> int:
    """The class of the summed distances of points, taken two by two."""
    far = sum(
        abs(p[k] - q[k]) for p, q in zip(pairs[::2], pairs[1::2], strict=True) for k in (0, 1)
    )
    return 0 if far == 0 else 1 if far <= 2 else 2 if far <= 8 else 3


class ReferenceDecoder:
    """Sections 2 to 4 of the specification."""

    def __init__(
        self, config: PriorConfig, arrays: dict[str, Any], shape: tuple[int, int], payload: bytes
    ) -> None:
        self.config, self.h, self.w = config, *shape
        self.a = {name: array.tolist() for name, array in arrays.items()}
        self.coder = ReferenceRangeDecoder(payload)
        self.state = self.after_first = self.plane(config.hidden)
        self.frame = 0
        self.motion = ReferenceMotion(self.a["motion.counts"], shape)
        self.banks = {
            "tables": self.split(
                "tables", [r for r in self.a["tables.radii"] for _ in range(config.fractions)]
            ),
            "hyper": self.split("hyper", list(chain(*self.a["hyper.radii"]))),
        }

    def split(self, bank: str, radii: list[int]) -> list[tuple[int, list[int]]]:
        frequencies, tables = self.a[f"{bank}.frequencies"], []
        for radius in radii:
            tables.append((radius, frequencies[: 2 * radius + 2]))
            frequencies = frequencies[2 * radius + 2 :]
        return tables

    def of_kind(self, name: str) -> Any:  # noqa: ANN401 - nested lists
        """The part of an array that is for frames of the current kind."""
        return self.a[name][min(self.frame, 1)]

    def plane(self, channels: int) -> Plane:
        return [[[0] * self.w for _ in range(self.h)] for _ in range(channels)]

    def conv(self, kernels: list[Any], inputs: Plane, i: int, j: int) -> list[int]:
        """Sums of one position for every output row."""
        return [
            sum(
                kernel[c][u][v] * inputs[c][i + u - 1][j + v - 1]
                for c in range(len(inputs))
                for u in range(3)
                for v in range(3)
                if 0 <= i + u - 1 < self.h and 0 <= j + v - 1 < self.w
            )
            for kernel in kernels
        ]

    def layer(self, name: str, biases: list[int], inputs: Plane) -> Plane:
        kernels, out = self.of_kind(f"{name}.weight"), self.plane(len(biases))
        for i in range(self.h):
            for j in range(self.w):
                for n, total in enumerate(self.conv(kernels, inputs, i, j)):
                    out[n][i][j] = clip((total + biases[n] + 2**9) >> 10, 0, 4095)
        return out

    def residuals(self, bank: str, ids: list[int]) -> list[int]:
        order = sorted(range(len(ids)), key=lambda k: ids[k])
        values = [0] * len(ids)
        escaped = []
        for k in order:
            radius, frequencies = self.banks[bank][ids[k]]
            values[k] = self.coder.decode(frequencies) - radius
            if values[k] > radius:
                escaped.append((k, radius))
        lengths = [2 ** (23 - k) for k in range(16)] + [2**8]
        bits = [self.coder.decode(lengths) for _ in escaped]
        for (k, radius), length in zip(escaped, bits, strict=True):
            rest = self.coder.decode([2 ** (24 - length)] * 2**length) if length else 0
            distance = 2**length + rest
            beyond = radius + (distance + 1) // 2
            values[k] = beyond if distance % 2 else -beyond
        return values

    def hyper(self) -> Plane:
        stride, channels = self.config.hyper_stride, self.config.hyper_channels
        hz, wz = -(-self.h // stride), -(-self.w // stride)
        kind = min(self.frame, 1)
        ids = [kind * channels + c for c in range(channels) for _ in range(hz * wz)]
        flat = iter(self.residuals("hyper", ids))
        return [[[next(flat) for _ in range(wz)] for _ in range(hz)] for _ in range(channels)]

    def indices(self, step: int, symbols: Plane, context: Plane, i: int, j: int) -> list[Any]:
        """(scale, mean) of every channel of the step's part at one position."""
        config, part = self.config, step // 2
        known = symbols[: config.split] if step < 3 else symbols
        total = [0] * config.hidden
        if step:
            total = self.conv(self.of_kind(f"step{step}.weight"), known, i, j)
        features = []
        for n in range(config.hidden):
            acc = total[n] + self.of_kind("step.bias")[step][n]
            row = self.of_kind("ctx.weight")[step][n]
            acc += sum(row[m] * context[m][i][j] for m in range(config.hidden))
            features.append(clip((acc + 2**9) >> 10, 0, 4095))
        rows = []
        phase = step % 2
        for row, bias in zip(
            self.of_kind(f"out{part}.weight")[phase],
            self.of_kind(f"out{part}.bias")[phase],
            strict=True,
        ):
            rows.append(sum(a * b for a, b in zip(row, features, strict=True)) + bias)
        half = len(rows) // 2
        scales = [clip((acc + 2**17) >> 18, 0, config.scales - 1) for acc in rows[:half]]
        shift = 18 - [1, 2, 4, 8, 16].index(config.fractions)
        limit = 8 * config.fractions
        means = [clip((acc + 2 ** (shift - 1)) >> shift, -limit, limit) for acc in rows[half:]]
        return list(zip(scales, means, strict=True))

    def turn(self) -> None:
        """Go on from the first frame."""
        self.state, self.motion.before = self.after_first, self.motion.still

    def decode_frame(self, quality: int) -> tuple[Plane, Plane]:
        config, h, w = self.config, self.h, self.w
        y, fixed = self.plane(config.channels), self.plane(config.channels)
        moving = config.motion and self.frame > 0
        motion = (0, 1, config.channels - 1) if moving else ()
        if moving:
            for channel, plane in zip(motion, self.motion.decode(self.coder), strict=True):
                y[channel] = plane
        z = self.hyper()
        stride = config.hyper_stride
        up = [
            [[clip(c[i // stride][j // stride], -15, 15) * 256 for j in range(w)] for i in range(h)]
            for c in z
        ]
        first = self.layer("trunk0", self.of_kind("trunk0.bias")[quality], self.state + up)
        context = self.layer("trunk1", self.of_kind("trunk1.bias"), first)
        for step in range(4):
            base = 0 if step < 2 else config.split
            places = [(i, j) for i in range(h) for j in range(w) if (i + j) % 2 == step % 2]
            said = {at: self.indices(step, fixed, context, *at) for at in places}
            channels = config.split if step < 2 else config.channels - config.split
            flat = [(c, i, j, *said[i, j][c]) for c in range(channels) for i, j in places]
            whole = config.fractions
            own = [line for line in flat if base + line[0] not in motion]
            coded = [(scale - 1) * whole + mean % whole for *_, scale, mean in own if scale]
            values = iter(self.residuals("tables", coded))
            for c, i, j, scale, mean in own:
                value = next(values) + mean // whole if scale else (mean + whole // 2) // whole
                y[base + c][i][j] = value
            for c, i, j, *_ in flat:
                fixed[base + c][i][j] = clip(y[base + c][i][j], -15, 15) * 256
        self.state = self.layer("state", self.of_kind("state.bias"), self.state + fixed)
        if not self.frame:
            self.after_first = self.state
        self.frame += 1
        return y, z


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    spread=st.sampled_from([0, 1, 3, 40, 32767]),
    fractions=st.sampled_from([1, 2, 4, 16]),
    motion=st.booleans(),
    turn=st.integers(1, 4),
)
def test_a_decoder_written_from_the_specification_agrees(
    config: PriorConfig,
    prior_arrays: Callable[[PriorConfig, int], dict[str, Any]],
    table_arrays: Callable[[PriorConfig], dict[str, Any]],
    seed: int,
    shape: tuple[int, int],
    spread: int,
    fractions: int,
    motion: bool,
    turn: int,
) -> None:
    config = replace(config, fractions=fractions, motion=motion)
    arrays = prior_arrays(config, seed) | table_arrays(config)
    prior, tables = Prior(config, arrays), Tables(config, arrays)
    rng = np.random.default_rng(seed)
    encoder = GroupEncoder(prior, tables, shape, turn=turn)
    qualities = rng.integers(0, config.qualities, 4).tolist()
    sent: list[Any] = []
    for quality in qualities:
        y = rng.integers(-spread, spread + 1, (config.channels, *shape))
        y[:2] *= rng.random(shape) < 0.5  # half of the vectors as predicted
        if motion and sent:
            y[-1] = y[-1] > 0
        z = rng.integers(-min(spread, 2), min(spread, 2) + 1, config.hyper_shape(shape))
        sent.append((encoder.encode_frame(y, z, quality), z))
    payload = encoder.finish()

    slow = ReferenceDecoder(config, arrays, shape, payload)
    fast = GroupDecoder(prior, tables, shape, payload, digest=encoder.digest, turn=turn)
    digest = 0
    for frame, (quality, (sent_y, sent_z)) in enumerate(zip(qualities, sent, strict=True)):
        if frame == turn:
            slow.turn()
        slow_y, slow_z = slow.decode_frame(quality)
        fast_y, fast_z = fast.decode_frame(quality)
        assert slow_y == sent_y.tolist() == fast_y.tolist()
        assert slow_z == sent_z.tolist() == fast_z.tolist()
        digest = zlib.crc32(np.array(slow_z, "<i2").tobytes(), digest)
        digest = zlib.crc32(np.array(slow_y, "<i2").tobytes(), digest)
    fast.finish()
    assert digest == encoder.digest


def test_teacher_forced_indices_equal_those_of_the_running_prior(
    config: PriorConfig, prior: Prior
) -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(-4, 5, (3, config.channels, 5, 3))
    z = rng.integers(-2, 3, (3, *config.hyper_shape((5, 3))))
    scale, mean = prior.indices(y, z, [0, 2, 1])
    state = prior.start((5, 3))
    for frame, quality in enumerate([0, 2, 1]):
        state.begin_frame(z[frame], quality)
        for step in range(4):
            part, at = config.part(step), state.positions(step)
            found = state.indices(step)
            assert np.array_equal(scale[frame].reshape(5, -1)[part, at], found.scale)
            assert np.array_equal(mean[frame].reshape(5, -1)[part, at], found.mean)
            state.place(step, y[frame].reshape(5, -1)[part, at])
        state.end_frame()
    assert len(np.unique(scale)) == config.scales


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_indices_do_not_depend_on_how_products_are_split(
    prior: Prior, config: PriorConfig, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(-4, 5, (2, config.channels, 9, 8))
    z = rng.integers(-2, 3, (2, *config.hyper_shape((9, 8))))
    whole = prior.indices(y, z, [1, 1])
    monkeypatch.setattr("gencodec.symbols.prior._BLOCK", block)
    split = prior.indices(y, z, [1, 1])
    assert np.array_equal(whole[0], split[0])
    assert np.array_equal(whole[1], split[1])
