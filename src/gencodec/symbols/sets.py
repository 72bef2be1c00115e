"""Choices of atoms <-> bytes: exact, and not a bit more than there are choices.

A choice is a set of atoms with a sign each: an `int32` array of i + 1 or -(i + 1), i rising. Its
set has a rank among all sets of its size (the combinatorial number system); ranks of all choices
are the digits of one number of mixed radix, and the signs are the bits below it.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import FormatError

Choice = NDArray[np.int32]


def choices_bytes(sizes: Sequence[int], codebook: int) -> int:
    """Return the bytes that choices of `sizes` atoms out of a codebook take.

    Raises:
        ValueError: a choice is larger than the codebook.
    """
    return _bytes(_product(_counts(sizes, codebook)), sum(sizes))


def choices_bits(sizes: Sequence[int], codebook: int) -> float:
    """Return about the bits that choices of `sizes` atoms out of a codebook take."""
    many = Counter(sizes)
    nats = sum(
        count * (math.lgamma(codebook + 1) - math.lgamma(m + 1) - math.lgamma(codebook - m + 1))
        for m, count in many.items()
    )
    return nats / math.log(2) + sum(sizes)


def encode_choices(choices: Sequence[Choice], codebook: int) -> bytes:
    """Return the bytes of choices out of a codebook; their number is that of `choices_bytes`.

    Raises:
        ValueError: a choice does not rise, or is not within the codebook.
    """
    sizes = [len(choice) for choice in choices]
    counts = _counts(sizes, codebook)
    ranks, signs, place = [], 0, 0
    for choice in choices:
        indices = (np.abs(choice.astype(np.int64)) - 1).tolist()
        if indices and not 0 <= indices[0] <= indices[-1] < codebook:
            raise ValueError(f"atoms {indices[0]} to {indices[-1]} of a codebook of {codebook}")
        if (np.diff(indices) <= 0).any():
            raise ValueError("the atoms of a choice must rise")
        ranks.append(sum(math.comb(index, j) for j, index in enumerate(indices, start=1)))
        bits = np.packbits(choice < 0, bitorder="little").tobytes()
        signs |= int.from_bytes(bits, "little") << place
        place += len(choice)
    rank, count = _join(list(zip(ranks, counts, strict=True)))
    return (rank << place | signs).to_bytes(_bytes(count, place), "big")


def decode_choices(payload: bytes, sizes: Sequence[int], codebook: int) -> list[Choice]:
    """Inverse of `encode_choices`.

    Raises:
        FormatError: the payload is not what choices of these sizes are coded as.
    """
    counts = _counts(sizes, codebook)
    total, place = _product(counts), sum(sizes)
    expected = _bytes(total, place)
    if len(payload) != expected:
        raise FormatError(f"{len(payload)} bytes of atoms, must be {expected}; the file is damaged")
    number = int.from_bytes(payload, "big")
    rank, signs = number >> place, number & ((1 << place) - 1)
    if rank >= total:
        raise FormatError("the atoms have an impossible rank; the file is damaged")
    packed = np.frombuffer(signs.to_bytes(-(-place // 8), "little"), np.uint8)
    negative = np.unpackbits(packed, count=place, bitorder="little").astype(bool)
    choices, start = [], 0
    for size, part in zip(sizes, _split(rank, counts), strict=True):
        atoms = np.array(_unrank(part, size, codebook), np.int32) + np.int32(1)
        choices.append(np.where(negative[start : start + size], -atoms, atoms).astype(np.int32))
        start += size
    return choices


def choices_digest(choices: Sequence[Choice], value: int = 0) -> int:
    """Return the CRC-32, continued from `value`, of all choices as little-endian `int32`."""
    for choice in choices:
        value = zlib.crc32(choice.astype("<i4").tobytes(), value)
    return value


def _unrank(rank: int, size: int, codebook: int) -> list[int]:
    """Return the set of `size` indices with a rank, rising."""
    indices = []
    high = codebook
    for j in range(size, 0, -1):
        index = high = _largest(rank, j, high)
        rank -= math.comb(index, j)
        indices.append(index)
    return indices[::-1]


def _largest(rank: int, j: int, high: int) -> int:
    """Return the largest i below `high` with comb(i, j) <= rank; exact, from a float's guess."""
    low = j - 1
    if rank > 0:
        wanted, top = math.log(rank) + math.lgamma(j + 1), high
        while top - low > 1:
            middle = (low + top) // 2
            size = math.lgamma(middle + 1) - math.lgamma(middle - j + 1)
            low, top = (middle, top) if size <= wanted else (low, middle)
    while math.comb(low, j) > rank:
        low -= 1
    while low + 1 < high and math.comb(low + 1, j) <= rank:
        low += 1
    return low


@lru_cache(maxsize=1024)
def _count(codebook: int, size: int) -> int:
    if not 0 <= size <= codebook:
        raise ValueError(f"{size} atoms cannot be chosen from a codebook of {codebook}")
    return math.comb(codebook, size)


def _counts(sizes: Sequence[int], codebook: int) -> list[int]:
    return [_count(codebook, size) for size in sizes]


def _bytes(count: int, bits: int) -> int:
    """Return the bytes of a number below count * 2^bits."""
    return -(-((count - 1).bit_length() + bits) // 8)


# Halves, not one digit after the other: the time would grow with the square of the length.


def _product(counts: Sequence[int]) -> int:
    if len(counts) < 2:
        return counts[0] if counts else 1
    middle = len(counts) // 2
    return _product(counts[:middle]) * _product(counts[middle:])


def _join(digits: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the number with these (digit, radix), the lowest first, and how many there are."""
    if len(digits) < 2:
        return digits[0] if digits else (0, 1)
    middle = len(digits) // 2
    low, below = _join(digits[:middle])
    high, above = _join(digits[middle:])
    return low + high * below, below * above


def _split(number: int, radices: Sequence[int]) -> list[int]:
    """Inverse of `_join`."""
    if len(radices) < 2:
        return [number] * len(radices)
    middle = len(radices) // 2
    high, low = divmod(number, _product(radices[:middle]))
    return _split(low, radices[:middle]) + _split(high, radices[middle:])
