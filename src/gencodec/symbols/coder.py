"""Symbols of a group <-> its payload: the order of everything in the bit stream.

    group  = frame*                                     one range coder stream; the anchor, those
                                                        after it, those before it from last to first
    frame  = a motion field if the pack has them and the frame is not the first,
             z symbols, then the other y symbols of coding steps 0 .. 3
    z      = residual z against table (kind, channel), channel by channel in raster order
    step   = residual y - floor(mean / F) against table (scale, mean mod F); scale 0 costs nothing:
             the symbol is floor((mean + F/2) / F)

Residuals of z, and of each step, are coded table by table; those outside their table's range are
coded as "escape" and follow in the same order once all tables are done.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import FormatError
from gencodec.symbols.layout import STEPS, Integers, PriorConfig
from gencodec.symbols.motion import MotionModel
from gencodec.symbols.prior import MAX_POSITIONS, Indices, Prior
from gencodec.symbols.range_coder import PRECISION, RangeReader, RangeWriter, Runs, categorical
from gencodec.symbols.tables import Bank, Tables

SYMBOL_MAX = 32767  # |y| and |z|

# An escaped distance d = 1 .. 2**17 - 1 is coded as its number of bits below the leading one, then
# these bits: Elias gamma, as one table and one number.
_LENGTHS = 17
_LENGTH_BITS = np.minimum(np.arange(_LENGTHS) + 1, _LENGTHS - 1)  # cost of each length
_LENGTH_MODEL = categorical(1 << (PRECISION - _LENGTH_BITS))


class _Group:
    """How far a group is coded, and what its next latent frame knows.

    Attributes:
        digest: CRC-32 of z and y of all frames so far, as `int16` little-endian in C order.
    """

    def __init__(
        self, prior: Prior, tables: Tables, shape: tuple[int, int], turn: int | None
    ) -> None:
        self._prior, self._tables, self._state = prior, tables, prior.start(shape)
        self._motion = MotionModel(tables.motion, shape) if prior.config.motion else None
        self._frames, self._turn = 0, turn
        self._after_first: NDArray[np.float64] | None = None
        self.digest = 0

    def _begin(self) -> int:
        """Return the kind of the next latent frame; at the turn it follows the first one."""
        if self._after_first is not None and self._frames == self._turn:
            self._state.recall(self._after_first)
            self._after_first = None
            if self._motion is not None:
                self._motion.forget()
        return min(self._frames, 1)

    def _end(self, y: Integers, z: Integers) -> None:
        """Close a latent frame of these symbols."""
        self._state.end_frame()
        if not self._frames and self._turn is not None:
            self._after_first = self._state.memory()
        self._frames += 1
        self.digest = _extend_digest(self.digest, z, y)


class GroupEncoder(_Group):
    """Codes the latent frames of one group. Cheap to make: take a new one for every attempt.

    Attributes:
        cost_bits: ideal code length of what was coded so far, the sum of -log2 p.
        digest: CRC-32 of z and y of all frames so far, as `int16` little-endian in C order.
    """

    def __init__(
        self, prior: Prior, tables: Tables, shape: tuple[int, int], *, turn: int | None = None
    ) -> None:
        """Start a group.

        Args:
            prior: of the pack.
            tables: of the pack.
            shape: (h, w) of its latent frames.
            turn: number of latent frames, the anchor included, after which those before the anchor
                come; None: there are none.
        """
        super().__init__(prior, tables, shape, turn)
        self._writer = RangeWriter()
        self.cost_bits = 0.0

    def encode_frame(self, y: Integers, z: Integers, quality: int) -> NDArray[np.int16]:
        """Code the next latent frame and return its symbols [C, h, w] as a decoder will see them.

        Args:
            y: symbols [C, h, w], -32767 .. 32767. Where the prior says "skip" they are replaced.
            z: hyper symbols [cz, hz, wz], -32767 .. 32767.
            quality: the frame's quality index.

        Raises:
            ValueError: a shape or a value is out of range.
        """
        config, state = self._prior.config, self._state
        _check_range("y", y, (config.channels, *state.shape))
        _check_range("z", z, config.hyper_shape(state.shape))
        kind = self._begin()
        state.begin_frame(z, quality)
        if self._motion is not None and kind:
            before = self._motion.cost_bits
            self._motion.write(self._writer, y[list(config.motion_channels(kind))].astype(np.int16))
            self.cost_bits += self._motion.cost_bits - before
        hyper = _hyper_list(self._tables, z.size, kind)
        self.cost_bits += hyper.write(self._writer, z.ravel().astype(np.int32))
        symbols = y.reshape(config.channels, -1).astype(np.int16)
        for index in range(STEPS):
            part, at = config.coded_part(index, kind), state.positions(index)
            step = _Step(config, index, kind, state.indices(index), self._tables.symbols)
            residuals = step.residuals(symbols[part, at])
            self.cost_bits += step.list.write(self._writer, residuals)
            symbols[part, at] = step.symbols(residuals)
            state.place(index, symbols[config.part(index), at])
        self._end(symbols, z)
        return symbols.reshape(y.shape)

    def finish(self) -> bytes:
        """Return the payload of the frames so far."""
        return self._writer.finish()


class GroupDecoder(_Group):
    """Decodes the latent frames of one group; the inverse of `GroupEncoder`."""

    def __init__(
        self,
        prior: Prior,
        tables: Tables,
        shape: tuple[int, int],
        payload: bytes,
        *,
        digest: int,
        turn: int | None = None,
    ) -> None:
        """Start a group.

        Args:
            prior: of the pack.
            tables: of the pack.
            shape: (h, w) of its latent frames.
            payload: of the group.
            digest: stored with it.
            turn: as in `GroupEncoder`.

        Raises:
            FormatError: the shape is beyond the format's limit.
        """
        h, w = shape
        if h < 1 or w < 1 or h * w > MAX_POSITIONS:
            raise FormatError(f"latent frame is {h}x{w}, must have 1 .. {MAX_POSITIONS} positions")
        super().__init__(prior, tables, shape, turn)
        self._reader = RangeReader(payload)
        self._expected = digest

    def decode_frame(self, quality: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Return the symbols [C, h, w] and hyper symbols [cz, hz, wz] of the next latent frame.

        They are not to be trusted before `finish` has returned.

        Raises:
            FormatError: the payload is damaged, or there is no such quality index.
        """
        config, state = self._prior.config, self._state
        if not 0 <= quality < config.qualities:
            raise FormatError(f"quality index is {quality}, must be 0 .. {config.qualities - 1}")
        kind = self._begin()
        symbols = np.zeros((config.channels, *state.shape), np.int16)
        if self._motion is not None and kind:
            field = self._motion.read(self._reader)
            symbols[list(config.motion_channels(kind))] = _as_symbols(field)
        symbols = symbols.reshape(config.channels, -1)
        hyper_shape = config.hyper_shape(state.shape)
        hyper = _hyper_list(self._tables, int(np.prod(hyper_shape)), kind)
        z = _as_symbols(hyper.read(self._reader)).reshape(hyper_shape)
        state.begin_frame(z, quality)
        for index in range(STEPS):
            part, at = config.coded_part(index, kind), state.positions(index)
            step = _Step(config, index, kind, state.indices(index), self._tables.symbols)
            symbols[part, at] = step.symbols(step.list.read(self._reader))
            state.place(index, symbols[config.part(index), at])
        self._end(symbols, z)
        return symbols.reshape(config.channels, *state.shape), z

    def finish(self) -> None:
        """Check the group once all its frames are decoded.

        Raises:
            FormatError: the symbols do not have the stored digest, or the payload is not the one
                an encoder writes for them (bytes left over, for example).
        """
        if self.digest != self._expected:
            raise FormatError(
                f"symbols have digest {self.digest:08x}, the file says {self._expected:08x}; "
                "the file is damaged or was made with another pack"
            )
        self._reader.finish()


class _List:
    """A list of residuals, coded table by table, and then those outside their tables' ranges.

    Args:
        bank: the tables.
        tables: [n] what each place is coded with: `skips` + a table of the bank. Places below
            `skips` take no part.
        skips: see `tables`.

    Attributes:
        skipped: the places that take no part.
        order: the other places, as they are coded.
    """

    def __init__(self, bank: Bank, tables: NDArray[np.uint16], skips: int = 0) -> None:
        order = np.argsort(tables, kind="stable")  # NumPy sorts 16 bits by radix
        counts = np.bincount(tables)
        first = int(counts[:skips].sum())
        self.skipped, self.order = order[:first], order[first:]
        used = np.flatnonzero(counts[skips:])
        self._bank, self._used, self._counts = bank, used, counts[skips:][used]
        self._radii = np.repeat(bank.radii[used], self._counts)

    def write(self, writer: RangeWriter, values: NDArray[np.int32]) -> float:
        """Code the residuals, given in `order`, and return their ideal length in bits."""
        radii, bank = self._radii, self._bank
        escaped = np.flatnonzero(np.abs(values) > radii)
        entries = values + radii
        entries[escaped] = 2 * radii[escaped] + 1
        writer.write(entries, self._runs())
        places = np.repeat(bank.offsets[self._used], self._counts) + entries
        cost_bits = float(bank.bits[places].sum())
        if len(escaped):
            cost_bits += _write_escapes(writer, values[escaped], radii[escaped])
        return cost_bits

    def read(self, reader: RangeReader) -> NDArray[np.int32]:
        """Return the residuals in `order`."""
        values = reader.read(self._runs())
        values -= self._radii
        escaped = np.flatnonzero(values > self._radii)
        if len(escaped):
            values[escaped] = _read_escapes(reader, self._radii[escaped])
        return values

    def _runs(self) -> Runs:
        models = self._bank.models
        used = [models[table] for table in self._used.tolist()]
        return list(zip(used, self._counts.tolist(), strict=True))


class _Step:
    """The symbols of one coding step: which residuals they have, which of them are skipped."""

    def __init__(
        self, config: PriorConfig, step: int, kind: int, indices: Indices, bank: Bank
    ) -> None:
        fractions, part, own = config.fractions, config.part(step), config.coded_part(step, kind)
        rows = slice(own.start - part.start, own.stop - part.start)
        shift = fractions.bit_length() - 1
        mean = indices.mean[rows].ravel()
        self._shape = indices.mean[rows].shape
        self._floors = mean >> shift
        tables: NDArray[np.uint16] = indices.scale[rows].ravel().astype(np.uint16)
        tables <<= shift
        tables |= mean.view(np.uint16) & np.uint16(fractions - 1)
        self.list = _List(bank, tables, skips=fractions)  # scale 0 is skipped: the mean, rounded
        self._skipped = (tables[self.list.skipped] + fractions // 2) >> shift

    def residuals(self, symbols: NDArray[np.int16]) -> NDArray[np.int32]:
        """Return the coded residuals of symbols [channels of the part, positions]."""
        order = self.list.order
        values: NDArray[np.int32] = symbols.ravel()[order].astype(np.int32)
        values -= self._floors[order]
        return values

    def symbols(self, residuals: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return all symbols [channels of the part, positions] from the coded residuals."""
        values: NDArray[np.int32] = np.empty(self._floors.shape, np.int32)
        values[self.list.order] = residuals
        values[self.list.skipped] = self._skipped
        values += self._floors
        return _as_symbols(values).reshape(self._shape)


def _write_escapes(
    writer: RangeWriter, values: NDArray[np.int32], radii: NDArray[np.int32]
) -> float:
    """Code values outside -radius .. radius by their distance: 1, 2, 3 .. for R+1, -R-1, R+2 .."""
    distances = 2 * (np.abs(values) - radii) - (values > 0)
    lengths = np.frexp(distances.astype(np.float64))[1].astype(np.int32) - 1
    writer.write(lengths, [(_LENGTH_MODEL, len(lengths))])
    long = lengths > 0
    if long.any():
        rest = distances[long] - np.left_shift(1, lengths[long])
        writer.write_bits(rest.astype(np.int32), lengths[long])
    return float((_LENGTH_BITS[lengths] + lengths).sum())


def _read_escapes(reader: RangeReader, radii: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the values that `_write_escapes` coded for the same radii."""
    lengths = reader.read([(_LENGTH_MODEL, len(radii))])
    distances = np.left_shift(1, lengths)
    long = lengths > 0
    if long.any():
        distances[long] += reader.read_bits(lengths[long])
    beyond = ((distances + 1) >> 1) + radii
    return np.where(distances & 1, beyond, -beyond).astype(np.int32)


def _hyper_list(tables: Tables, count: int, kind: int) -> _List:
    """Return the list of `count` hyper symbols of a frame of a kind; its order is C order."""
    channels = tables.config.hyper_channels
    rising = np.arange(kind * channels, (kind + 1) * channels, dtype=np.uint16)
    return _List(tables.hyper, np.repeat(rising, count // channels))


def _as_symbols(values: Integers) -> NDArray[np.int16]:
    """Narrow decoded values to int16.

    Raises:
        FormatError: a value is beyond +-32767, which no encoder writes.
    """
    if len(values) and max(int(values.max()), -int(values.min())) > SYMBOL_MAX:
        raise FormatError(f"payload holds a symbol beyond +-{SYMBOL_MAX}; the file is damaged")
    return values.astype(np.int16)


def _check_range(name: str, values: Integers, shape: tuple[int, ...]) -> None:
    if values.shape != shape or values.dtype.kind not in "iu":
        raise ValueError(f"{name} is {values.dtype} {values.shape}, must be integers {shape}")
    low, high = int(values.min()), int(values.max())
    if low < -SYMBOL_MAX or high > SYMBOL_MAX:
        raise ValueError(f"{name} has values {low} .. {high}, must be within +-{SYMBOL_MAX}")


def _extend_digest(digest: int, z: Integers, y: Integers) -> int:
    """Return the CRC-32 after the next frame's z, then y, as int16 little-endian in C order."""
    return zlib.crc32(y.astype("<i2").tobytes(), zlib.crc32(z.astype("<i2").tobytes(), digest))
