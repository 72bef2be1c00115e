"""The range coder: entries of integer tables <-> the shortest bytes. constriction lives here only.

constriction does not notice damage and raises errors of its own: every argument is checked by our
callers, every error becomes a FormatError, and a reader repeats the writer's work, so that exactly
one payload is accepted for a sequence of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from gencodec.errors import FormatError

PRECISION = 24  # the frequencies of a table sum to 2**PRECISION
LEVELS = 2**12  # of the chances of a bit
_STATE_WORDS = 2  # the coder's state is two 32-bit words
_FOREIGN_ERRORS = (AssertionError, KeyError, TypeError, ValueError, OverflowError)

_queue = constriction.stream.queue
_models = constriction.stream.model


def categorical(frequencies: NDArray[np.int64]) -> Any:  # noqa: ANN401 - constriction has no types
    """Return constriction's model of a table, exact to the last count.

    constriction gives each of n entries one count and shares the other 2**24 - n in proportion to
    the given weights. With weights frequency - 1 that share is the identity.

    Args:
        frequencies: at least two counts, each at least 1, that sum to 2**24.
    """
    return _models.Categorical((frequencies - 1).astype(np.float64), lazy=False, perfect=False)


@lru_cache(maxsize=LEVELS)
def _bit_model(level: int) -> Any:  # noqa: ANN401 - constriction has no types
    """Return the model of a bit that is 1 with a chance of level / LEVELS."""
    one = level << (PRECISION - LEVELS.bit_length() + 1)
    return categorical(np.array([(1 << PRECISION) - one, one]))


_POWERS = _models.Uniform()  # exact for sizes that are powers of two
Runs = Sequence[tuple[Any, int]]  # tables' models, and how many entries in a row each codes


class RangeWriter:
    """Entries -> payload."""

    def __init__(self) -> None:
        self._encoder = _queue.RangeEncoder()

    def write(self, entries: NDArray[np.int32], runs: Runs) -> None:
        """Append entries [n]; the counts of the runs sum to n."""
        encode, start = self._encoder.encode, 0
        with _foreign_errors():
            for model, count in runs:
                encode(entries[start : start + count], model)
                start += count

    def write_bit(self, bit: int, level: int) -> None:
        """Append one bit that is 1 with a chance of level / LEVELS."""
        try:  # a context manager takes longer than the coder
            self._encoder.encode(bit, _bit_model(level))
        except BaseException as error:
            _raise_own(error)
            raise

    def write_bits(self, values: NDArray[np.int32], bits: NDArray[np.int32]) -> None:
        """Append values of 1 .. 23 bits each, most significant bit first."""
        with _foreign_errors():
            self._encoder.encode(values, _POWERS, np.left_shift(1, bits, dtype=np.int32))

    def finish(self) -> bytes:
        """Return the shortest payload that decodes to what was written; it has no trailing zero."""
        return _shortest(self._encoder)


class RangeReader:
    """Payload -> entries. The payload continues with zeros."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        padded = payload + bytes(-len(payload) % 4)
        self._decoder = _queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._again = _queue.RangeEncoder()

    def read(self, runs: Runs) -> NDArray[np.int32]:
        """Take the entries of all runs, one run behind the other.

        Raises:
            FormatError: the payload is damaged.
        """
        decode, encode = self._decoder.decode, self._again.encode
        parts: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        with _foreign_errors():
            for model, count in runs:
                entries = decode(model, count)
                encode(entries, model)
                parts.append(entries)
        return np.concatenate(parts)

    def read_bit(self, level: int) -> int:
        """Take one bit that is 1 with a chance of level / LEVELS.

        Raises:
            FormatError: the payload is damaged.
        """
        model = _bit_model(level)
        try:
            bit = int(self._decoder.decode(model))
            self._again.encode(bit, model)
        except BaseException as error:
            _raise_own(error)
            raise
        return bit

    def read_bits(self, bits: NDArray[np.int32]) -> NDArray[np.int32]:
        """Take values of 1 .. 23 bits each.

        Raises:
            FormatError: the payload is damaged.
        """
        sizes = np.left_shift(1, bits, dtype=np.int32)
        with _foreign_errors():
            values: NDArray[np.int32] = self._decoder.decode(_POWERS, sizes)
            self._again.encode(values, _POWERS, sizes)
        return values

    def finish(self) -> None:
        """Check that the payload is the one a writer makes of what was read.

        Raises:
            FormatError: the payload is damaged, or longer or shorter than it needs to be.
        """
        if _shortest(self._again) != self._payload:
            raise FormatError(
                f"payload of {len(self._payload)} bytes is not what its symbols code to; "
                "the file is damaged"
            )


def _shortest(encoder: Any) -> bytes:  # noqa: ANN401 - constriction has no types
    """Return the shortest payload of what an encoder was given.

    The coder's final interval [low, low + size) holds the numbers that decode correctly, read
    as a binary fraction that continues with zeros. constriction picks one of two words; this
    picks one with as many zero bytes at its end as there are, and drops those.
    """
    words, (lower, size) = encoder.pos()
    sealed = np.asarray(encoder.get_compressed())
    if not len(sealed):
        return b""
    missing = words + _STATE_WORDS - len(sealed)
    inside = int.from_bytes(sealed.astype(">u4").tobytes(), "big") << (32 * missing)
    low = inside - ((inside - lower) & (2 ** (32 * _STATE_WORDS) - 1))
    zeros = 32 * _STATE_WORDS
    while -(-low >> zeros) << zeros >= low + size:
        zeros -= 8
    value: int = -(-low >> zeros) << zeros
    return value.to_bytes(4 * (words + _STATE_WORDS), "big").rstrip(b"\0")


@contextmanager
def _foreign_errors() -> Iterator[None]:
    """Turn what constriction raises into a FormatError."""
    try:
        yield
    except BaseException as error:
        _raise_own(error)
        raise


def _raise_own(error: BaseException) -> None:
    """Raise a FormatError for what constriction raises, its PanicException (no Exception) too."""
    if isinstance(error, _FOREIGN_ERRORS) or type(error).__name__ == "PanicException":
        raise FormatError("payload cannot be decoded; the file is damaged") from error
