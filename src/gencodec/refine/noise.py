"""Noise as a pure function of integers: Philox 4x32-10 words and a fixed table of Gaussians.

Any value follows from (seed, domain, stream, group, index) alone, without the values before it. The
specification is formats/noise-1.md. Knows not what the noise is for.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import ExecutionError

DOMAIN_NOISE = 0  # Gaussian noise of the refinement
DOMAIN_ATOMS = 1  # codebook atoms

VALUES_PER_BLOCK = 8  # Gaussians of 16 bits each in a block of four words
# of the Gaussian table as int32 little-endian
TABLE_SHA256 = "ee46eda6f743ea9b2949c72134d6385025bcc7573bb0fba98b3bf40224779880"

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)  # Salmon et al. 2011, table 2
_WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, as 32-bit fractions
_WORD = 0xFFFFFFFF
_INDEX_BITS = 16
_FRACTION_BITS = 16
_CHUNK_BLOCKS = 1 << 16  # blocks made at once; bounds memory, does not change results


def philox(counter: NDArray[np.uint32], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Return Philox 4x32-10 of counters [n, 4] under a key of two 32-bit words, as words [n, 4].

    Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = counter.astype(np.uint64).T
    k0, k1 = key
    for _ in range(_ROUNDS):
        left = c0 * np.uint64(_MULTIPLIERS[0])
        right = c2 * np.uint64(_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (right >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            right & np.uint64(_WORD),
            (left >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            left & np.uint64(_WORD),
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(
    seed: int, group: int, blocks: NDArray[np.int64], *, stream: int = 0, domain: int = DOMAIN_NOISE
) -> NDArray[np.uint32]:
    """Return the four words [n, 4] of each block [n] of a stream.

    The key is the seed, low word first; the counter is (block, group, stream, domain).

    Raises:
        ValueError: the seed is no 64-bit number, or a field of the counter no 32-bit number.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed is {seed}, must be 0 .. 2**64 - 1")
    for name, value in (("group", group), ("stream", stream), ("domain", domain)):
        if not 0 <= value <= _WORD:
            raise ValueError(f"{name} is {value}, must be 0 .. 2**32 - 1")
    if len(blocks) and not 0 <= int(blocks.min()) <= int(blocks.max()) <= _WORD:
        raise ValueError(f"blocks are {blocks.min()} .. {blocks.max()}, must be 0 .. 2**32 - 1")
    counter = np.empty((len(blocks), 4), np.uint32)
    counter[:, 0] = blocks
    counter[:, 1:] = (group, stream, domain)
    return philox(counter, (seed & _WORD, seed >> 32))


@lru_cache(maxsize=1)
def gaussian_table() -> NDArray[np.int32]:
    """Return the table [65536]: 16-bit number -> Gaussian in units of 2**-16, strictly rising.

    Entry i is the number nearest to 2**16 times the normal quantile of (i + 1/2) / 2**16. No entry
    lies closer than 1e-6 to a tie, a thousand times the error of double precision, and the digest
    proves that this machine agrees. Mean 0, variance 0.99998, largest entry 4.325.

    Raises:
        ExecutionError: this machine's mathematical functions are too inexact.
    """
    size = 1 << _INDEX_BITS
    quantile = NormalDist().inv_cdf
    scale = 1 << _FRACTION_BITS
    upper = [round(quantile((2 * i + 1) / (2 * size)) * scale) for i in range(size // 2, size)]
    table = np.array([-entry for entry in reversed(upper)] + upper, np.int32)
    if hashlib.sha256(table.astype("<i4").tobytes()).hexdigest() != TABLE_SHA256:
        raise ExecutionError(
            "this machine's logarithm or square root is inexact: the Gaussian table has the wrong "
            "digest, so files would decode to other noise; use another machine or C library"
        )
    table.setflags(write=False)
    return table


def noise_at(
    seed: int, group: int, indices: NDArray[np.int64], *, stream: int = 0
) -> NDArray[np.float32]:
    """Return the Gaussians [...] at flat indices [...] of a group's noise, 0 .. 2**35 - 1.

    Raises:
        ValueError: an argument is out of range.
    """
    blocks, lanes = np.divmod(indices.ravel(), VALUES_PER_BLOCK)
    halves = _halves(words(seed, group, blocks, stream=stream))
    return _gaussians(halves[np.arange(len(lanes)), lanes]).reshape(indices.shape)


def noise_for(
    seed: int, group: int, shape: tuple[int, ...], *, stream: int = 0
) -> NDArray[np.float32]:
    """Return a group's noise, float32 of `shape` in C order: unit Gaussians in steps of 2**-16.

    Args:
        seed: 64-bit seed of the file.
        group: number of the group.
        shape: what to fill; value i of the flattened result is `noise_at(..., i)`.
        stream: number of an independent noise of the same group.

    Raises:
        ValueError: an argument is out of range.
    """
    count = math.prod(shape)
    noise = np.empty(count, np.float32)
    step = _CHUNK_BLOCKS * VALUES_PER_BLOCK
    for start in range(0, count, step):
        part = noise[start : start + step]
        first = start // VALUES_PER_BLOCK
        blocks = np.arange(first, first - (-len(part) // VALUES_PER_BLOCK))
        numbers = _halves(words(seed, group, blocks, stream=stream)).ravel()
        part[:] = _gaussians(numbers[: len(part)])
    return noise.reshape(shape)


def _halves(blocks: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Split words [n, 4] into 16-bit numbers [n, 8], the low half of a word first."""
    return np.stack([blocks & 0xFFFF, blocks >> 16], axis=2).reshape(-1, VALUES_PER_BLOCK)


def _gaussians(numbers: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Map 16-bit numbers to Gaussians; the division is exact in float32."""
    return gaussian_table()[numbers].astype(np.float32) / np.float32(1 << _FRACTION_BITS)
