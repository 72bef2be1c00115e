"""The door to constriction: exact models, shortest payloads, its errors translated."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencodec.errors import FormatError
from gencodec.symbols import PriorConfig, Tables, hyper_tables, symbol_tables
from gencodec.symbols.range_coder import RangeReader, RangeWriter, categorical


def _interval(model: object, entry: int) -> tuple[int, int]:
    """Return (lower, size) of the coder's state after one entry, before any word is full."""
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(np.array([entry], np.int32), model)
    return tuple(encoder.pos()[1])


def test_constriction_uses_our_frequencies_to_the_last_count() -> None:
    config = PriorConfig(scales=9)
    arrays = symbol_tables(config) | hyper_tables(config, [np.array([0.999999])] * 16)
    tables = Tables(config, arrays)
    unit = (2**64 - 1) >> 24
    for bank in (tables.symbols, tables.hyper):
        for table in range(len(bank.radii)):
            frequencies = bank.frequencies[bank.offsets[table] : bank.offsets[table + 1]]
            below = 0
            for entry, frequency in enumerate(frequencies.tolist()):
                lower, size = unit * below, unit * frequency
                if size < 2**32:  # one word was written
                    lower, size = lower << 32 & (2**64 - 1), size << 32
                assert _interval(bank.models[table], entry) == (lower, size)
                below += frequency
            assert below == 2**24


def test_bits_cost_exactly_their_number() -> None:
    unit = (2**64 - 1) >> 24
    for bits in range(1, 17):
        encoder = constriction.stream.queue.RangeEncoder()
        sizes = np.array([1 << bits], np.int32)
        encoder.encode(sizes - 1, constriction.stream.model.Uniform(), sizes)
        lower, size = encoder.pos()[1]
        assert (lower, size) == (unit * (2**24 - 2 ** (24 - bits)), unit * 2 ** (24 - bits))


def _neighbours(payload: bytes) -> list[bytes]:
    """Return the two numbers next to a payload that need one byte less."""
    size = len(payload) - 1
    below = int.from_bytes(payload[:-1], "big")
    return [n.to_bytes(size, "big") for n in (below, below + 1) if size >= 0 and n < 256**size]


@settings(max_examples=150, deadline=None)
@given(
    entries=st.lists(st.integers(0, 3), max_size=60),
    escapes=st.lists(st.integers(1, 23), max_size=5),
    rare=st.integers(1, 2**23),
)
def test_payloads_are_as_short_as_they_can_be(
    entries: list[int], escapes: list[int], rare: int
) -> None:
    model = categorical(np.array([rare, 1, 2**24 - rare - 2, 1]))
    bits = np.array(escapes, np.int32)
    writer = RangeWriter()
    writer.write(np.array(entries, np.int32), [(model, len(entries))])
    if escapes:
        writer.write_bits((1 << bits) - 1, bits)
    payload = writer.finish()

    expected = (entries, ((1 << bits) - 1).tolist())

    def read(data: bytes) -> tuple[RangeReader, tuple[list[int], list[int]]]:
        reader = RangeReader(data)
        symbols = reader.read([(model, len(entries))]).tolist() if entries else []
        values = reader.read_bits(bits).tolist() if escapes else []
        return reader, (symbols, values)

    reader, found = read(payload)
    assert found == expected
    reader.finish()
    reader, found = read(payload + b"\0\0\0\0\0")
    assert found == expected
    with pytest.raises(FormatError, match="not what its symbols code to"):
        reader.finish()
    for shorter in _neighbours(payload):
        try:
            found = read(shorter)[1]
        except FormatError:
            continue
        assert found != expected


@pytest.mark.parametrize("more", [[], [0], [1], [2], [1, 1], [1, 0, 0], [1, 2, 2], [1] * 9])
def test_intervals_across_a_word_boundary_are_closed_correctly(more: list[int]) -> None:
    # the lower bound is 1024 below a multiple of 2**32 when the interval shrinks to 65535: the
    # word above waits for a carry, which entry 0 rules out, 2 brings, 1 leaves open at first
    first = categorical(np.array([1024, 1, 2**24 - 1025]))
    second = categorical(np.array([1, 2**24 - 1]))
    later = categorical(np.array([262_143, 4, 2**24 - 262_147]))
    parts = [([1], first), ([0], second), (more, later)]
    writer = RangeWriter()
    for entries, model in parts:
        writer.write(np.array(entries, np.int32), [(model, len(entries))])
    payload = writer.finish()
    reader = RangeReader(payload)
    for entries, model in parts:
        assert reader.read([(model, len(entries))]).tolist() == entries
    reader.finish()
    assert len(payload) <= 7 + 3 * len(more)


def test_nothing_written_is_no_payload() -> None:
    assert RangeWriter().finish() == b""
    RangeReader(b"").finish()


def test_foreign_errors_become_format_errors() -> None:
    model = categorical(np.array([2**23, 2**23]))
    writer = RangeWriter()
    with pytest.raises(FormatError):  # KeyError: impossible symbol
        writer.write(np.array([2], np.int32), [(model, 1)])
    with pytest.raises(FormatError):  # TypeError: wrong type
        writer.write(np.array([0.5]), [(model, 1)])
    with pytest.raises(FormatError):  # TypeError: no model
        RangeReader(b"").read([(object(), 1)])
    thirds = categorical(np.array([5_592_405, 5_592_405, 5_592_406]))
    damaged = RangeReader(b"\xff" * 64)
    with pytest.raises(FormatError):  # AssertionError: data that no entry explains
        damaged.read([(thirds, 2_000)])


def test_a_panic_becomes_a_format_error() -> None:
    class PanicException(BaseException):
        pass

    class Broken:
        def encode(self, *_: object) -> None:
            raise PanicException

        decode = encode

    writer, reader = RangeWriter(), RangeReader(b"")
    writer._encoder = reader._decoder = Broken()
    nothing = np.zeros(0, np.int32)
    with pytest.raises(FormatError):
        writer.write(nothing, [(None, 0)])
    with pytest.raises(FormatError):
        writer.write_bits(nothing, nothing)
    with pytest.raises(FormatError):
        reader.read([(None, 0)])
    with pytest.raises(FormatError):
        reader.read_bits(nothing)
