"""Groups: round trips, cost, damage, golden bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gencodec.errors import FormatError
from gencodec.symbols import SYMBOL_MAX, GroupDecoder, GroupEncoder, Prior, PriorConfig, Tables

SHAPE = (5, 6)
Group = list[tuple[NDArray[np.int64], NDArray[np.int64], int]]  # y, z, quality of every frame


def _ramp(config: PriorConfig, shape: tuple[int, int], frames: int) -> Group:
    """Return a group that follows from arithmetic alone: mostly small symbols, a few large."""
    y = (np.arange(frames * config.channels * shape[0] * shape[1]) ** 2 % 1009) % 23 // 4 - 2
    y = y.reshape(frames, config.channels, *shape)
    y[:, 0, 0, 0] = 900
    z = (np.arange(frames * int(np.prod(config.hyper_shape(shape)))) * 7 % 5 - 2).reshape(
        frames, *config.hyper_shape(shape)
    )
    return [(y[t], z[t], t % config.qualities) for t in range(frames)]


def _encode(
    prior: Prior, tables: Tables, shape: tuple[int, int], group: Group
) -> tuple[GroupEncoder, bytes, list[NDArray[np.int16]]]:
    encoder = GroupEncoder(prior, tables, shape)
    sent = [encoder.encode_frame(y, z, quality) for y, z, quality in group]
    return encoder, encoder.finish(), sent


def _decode(
    prior: Prior, tables: Tables, group: Group, payload: bytes, digest: int
) -> list[tuple[NDArray[np.int16], NDArray[np.int16]]]:
    decoder = GroupDecoder(prior, tables, SHAPE, payload, digest=digest)
    frames = [decoder.decode_frame(quality) for _, _, quality in group]
    decoder.finish()
    return frames


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    frames=st.integers(0, 3),
    limit=st.sampled_from([0, 1, 5, 300, SYMBOL_MAX]),
)
def test_groups_survive_the_round_trip(
    prior: Prior,
    tables: Tables,
    config: PriorConfig,
    seed: int,
    h: int,
    w: int,
    frames: int,
    limit: int,
) -> None:
    rng = np.random.default_rng(seed)
    group = [
        (
            rng.integers(-limit, limit + 1, (config.channels, h, w)),
            rng.integers(-limit, limit + 1, config.hyper_shape((h, w))),
            int(rng.integers(0, config.qualities)),
        )
        for _ in range(frames)
    ]
    encoder, payload, sent = _encode(prior, tables, (h, w), group)
    decoder = GroupDecoder(prior, tables, (h, w), payload, digest=encoder.digest)
    for (_, z, quality), symbols in zip(group, sent, strict=True):
        decoded_y, decoded_z = decoder.decode_frame(quality)
        assert np.array_equal(decoded_y, symbols)
        assert np.array_equal(decoded_z, z)
    decoder.finish()
    assert not payload.endswith(b"\0")
    assert 8 * len(payload) <= 1.001 * encoder.cost_bits + 8 * 16


def test_symbols_change_only_where_the_prior_says_skip(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    group = _ramp(config, SHAPE, 2)
    _, _, sent = _encode(prior, tables, SHAPE, group)
    z = np.stack([z for _, z, _ in group])
    scale, mean = prior.indices(np.stack(sent), z, [quality for *_, quality in group])
    for frame, (y, _, _) in enumerate(group):
        skipped = scale[frame] == 0
        assert skipped.any()
        assert np.array_equal(sent[frame][~skipped], y[~skipped])
        assert np.array_equal(sent[frame][skipped], (mean[frame][skipped] + 2) // 4)
    assert np.array_equal(group[0][0], _ramp(config, SHAPE, 2)[0][0])  # the input is left alone


def test_encoding_what_was_sent_gives_the_same_payload(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    group = _ramp(config, SHAPE, 3)
    encoder, payload, sent = _encode(prior, tables, SHAPE, group)
    again = [(y.astype(np.int64), z, q) for y, (_, z, q) in zip(sent, group, strict=True)]
    repeated, same, _ = _encode(prior, tables, SHAPE, again)
    assert same == payload
    assert repeated.digest == encoder.digest
    assert repeated.cost_bits == encoder.cost_bits


def test_code_length_is_within_a_thousandth_and_16_bytes_of_ideal(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    rng = np.random.default_rng(1)
    shape = (30, 40)
    group = [
        (
            rng.normal(0, 2, (config.channels, *shape)).round().astype(np.int64),
            rng.integers(-1, 2, config.hyper_shape(shape)),
            1,
        )
        for _ in range(3)
    ]
    encoder, payload, _ = _encode(prior, tables, shape, group)
    assert len(payload) > 4_000
    assert encoder.cost_bits - 8 <= 8 * len(payload) <= 1.001 * encoder.cost_bits + 8 * 16


def test_payload_bytes_are_golden(prior: Prior, tables: Tables, config: PriorConfig) -> None:
    group = _ramp(config, (2, 3), 2)
    encoder, payload, _ = _encode(prior, tables, (2, 3), group)
    assert payload.hex() == GOLDEN_PAYLOAD
    assert encoder.digest == GOLDEN_DIGEST


def test_the_specification_shows_the_golden_payload() -> None:
    text = (Path(__file__).parents[2] / "formats" / "entropy-1.md").read_text()
    assert f"payload  {GOLDEN_PAYLOAD}\n" in text
    assert f"digest   {GOLDEN_DIGEST:08x}\n" in text


def test_every_flipped_bit_is_reported(prior: Prior, tables: Tables, config: PriorConfig) -> None:
    group = _ramp(config, SHAPE, 2)
    encoder, payload, _ = _encode(prior, tables, SHAPE, group)
    for bit in range(0, 8 * len(payload), 3):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError):
            _decode(prior, tables, group, bytes(damaged), encoder.digest)


def test_every_other_length_is_reported(prior: Prior, tables: Tables, config: PriorConfig) -> None:
    group = _ramp(config, SHAPE, 2)
    encoder, payload, _ = _encode(prior, tables, SHAPE, group)
    damaged = [payload[:n] for n in range(0, len(payload), 5)]
    damaged += [payload[:-1], payload + b"\0", payload + b"\x01", payload + bytes(9_999)]
    for data in damaged:
        with pytest.raises(FormatError):
            _decode(prior, tables, group, data, encoder.digest)


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=300))
def test_any_bytes_give_symbols_or_a_format_error(
    prior: Prior, tables: Tables, config: PriorConfig, payload: bytes
) -> None:
    group = _ramp(config, SHAPE, 3)
    with pytest.raises(FormatError):
        _decode(prior, tables, group, payload, 0)


def test_a_frame_more_or_less_is_reported(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    group = _ramp(config, SHAPE, 2)
    encoder, payload, _ = _encode(prior, tables, SHAPE, group)
    for frames in (group[:1], [*group, group[0]]):
        with pytest.raises(FormatError):
            _decode(prior, tables, frames, payload, encoder.digest)


def test_another_quality_or_prior_is_reported(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    group = _ramp(config, SHAPE, 2)
    encoder, payload, _ = _encode(prior, tables, SHAPE, group)
    other = [(y, z, (quality + 1) % config.qualities) for y, z, quality in group]
    with pytest.raises(FormatError, match="damaged"):
        _decode(prior, tables, other, payload, encoder.digest)


def test_what_a_file_can_get_wrong_is_a_format_error(prior: Prior, tables: Tables) -> None:
    with pytest.raises(FormatError, match="quality index is 3"):
        GroupDecoder(prior, tables, SHAPE, b"", digest=0).decode_frame(3)
    with pytest.raises(FormatError, match="0x5"):
        GroupDecoder(prior, tables, (0, 5), b"", digest=0)
    with pytest.raises(FormatError, match="positions"):
        GroupDecoder(prior, tables, (2**16, 2**16), b"", digest=0)


@pytest.mark.parametrize("value", [SYMBOL_MAX + 1, -SYMBOL_MAX - 1])
def test_a_symbol_out_of_range_in_a_payload_is_reported(
    prior: Prior, tables: Tables, config: PriorConfig, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, z, quality = _ramp(config, SHAPE, 1)[0]
    z.flat[-1] = value
    with monkeypatch.context() as lax:
        lax.setattr("gencodec.symbols.coder.SYMBOL_MAX", abs(value))
        encoder, payload, _ = _encode(prior, tables, SHAPE, [(y, z, quality)])
    decoder = GroupDecoder(prior, tables, SHAPE, payload, digest=encoder.digest)
    with pytest.raises(FormatError, match="symbol beyond"):
        decoder.decode_frame(quality)


def test_what_a_caller_can_get_wrong_is_a_value_error(
    prior: Prior, tables: Tables, config: PriorConfig
) -> None:
    encoder = GroupEncoder(prior, tables, SHAPE)
    y = np.zeros((config.channels, *SHAPE), np.int64)
    z = np.zeros(config.hyper_shape(SHAPE), np.int64)
    with pytest.raises(ValueError, match="y is int64"):
        encoder.encode_frame(y[1:], z, 0)
    with pytest.raises(ValueError, match="z is int64"):
        encoder.encode_frame(y, z[:, :1], 0)
    with pytest.raises(ValueError, match="must be integers"):
        encoder.encode_frame(y.astype(np.float32), z, 0)
    with pytest.raises(ValueError, match="32768"):
        encoder.encode_frame(y - 32768, z, 0)
    with pytest.raises(ValueError, match="quality index"):
        encoder.encode_frame(y, z, 3)


# Sizes at which BLAS uses its threads; prints what must not depend on them.
_THREADED = """
import numpy as np, zlib
from gencodec.symbols import Prior, PriorConfig, array_shapes
config = PriorConfig()
rng = np.random.Generator(np.random.PCG64(1))
arrays = {
    name: rng.integers(-90, 91, shape).astype(np.int16) if name.endswith("weight")
    else rng.integers(-2**19, 2**(24 if name.startswith("out") else 19), shape).astype(np.int32)
    for name, shape in array_shapes(config).items()
}
y, z = rng.integers(-4, 5, (2, 48, 24, 32)), rng.integers(-2, 3, (2, 8, 6, 8))
scale, mean = Prior(config, arrays).indices(y, z, [3, 60])
print(len(np.unique(scale)) > 20, zlib.crc32(mean.tobytes(), zlib.crc32(scale.tobytes())))
"""


def test_indices_do_not_depend_on_threads() -> None:
    outputs = set()
    for threads in ("1", "2", "3"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, threads)
        command = [sys.executable, "-c", _THREADED]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert next(iter(outputs)).startswith("True ")


GOLDEN_PAYLOAD = (
    "ffffde360aebac107212b04195eafd52a266e2afab3024625a63933a38a4ffbfc7f643b6c533980d84c0514f"
)
GOLDEN_DIGEST = 1317490212
