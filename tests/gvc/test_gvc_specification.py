"""A decoder written from formats/gvc-1.md alone, in plain Python, against the golden files."""

from __future__ import annotations

import io
import math
import re
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gencodec import errors
from gencodec.container import GroupRecord, GvcBlock, Reader
from gencodec.gvc import Schedule, latent_frames, parse_payload
from gencodec.gvc.atoms import TABLE_SHA256, Codebook, atom_table

FORMATS = Path(__file__).parents[2] / "formats"
TEXT = (FORMATS / "gvc-1.md").read_text("utf-8")
VECTORS = sorted((FORMATS / "vectors" / "1" / "valid").glob("gvc-*.gnv"))
STRIDE = 8  # of the tiny pack


def records(path: Path) -> list[GroupRecord]:
    return list(Reader(io.BytesIO(path.read_bytes())).groups())


def var(data: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for at, byte in enumerate(data):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, data[at + 1 :]
    raise AssertionError


def plain_places(b: GvcBlock, t: int) -> list[tuple[int, int, int]]:
    """V4 to V6."""
    held = {0: [], 1: [0], 2: [0, t - 1] if t > 1 else [0]}[b.variant]
    shift, steps, found = Fraction(b.shift, 16), b.steps - b.plain_steps, []
    for k in range(steps):
        even = Fraction(b.steps - k, b.steps)
        level = shift * even / (1 + (shift - 1) * even)
        for f in range(t):
            bound = b.start_level if f == 0 else b.end_level
            more = b.atoms * b.tail_share // 16 if f >= t - b.tail_frames else 0
            share, rest = divmod(b.atoms + more, steps)
            count = share + (k < rest)
            if count and not (f in held and 1000 * level > bound):
                found.append((k, f, count))
    return found


def plain_choices(data: bytes, sizes: list[int], codebook: int) -> list[list[int]]:
    """V7 and V8, one digit after the other."""
    number, signs = int.from_bytes(data, "big"), sum(sizes)
    rank, bits = number >> signs, number & ((1 << signs) - 1)
    choices = []
    for size in sizes:
        rank, digit = divmod(rank, math.comb(codebook, size))
        atoms = []
        for j in range(size, 0, -1):
            i = next(i for i in range(codebook - 1, -1, -1) if math.comb(i, j) <= digit)
            digit -= math.comb(i, j)
            atoms.append(i)
        choice = []
        for i in reversed(atoms):
            choice.append(-(i + 1) if bits & 1 else i + 1)
            bits >>= 1
        choices.append(choice)
    return choices


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_decoder_written_from_the_text_finds_the_same_choices(path: Path) -> None:
    assert len(VECTORS) == 3
    for record in records(path):
        block = GvcBlock.from_bytes(record.coder_block)
        frames = record.frames + (not record.closed)
        t = 1 + -(-(frames - 1) // 4)
        left, digests = record.payload, b""
        for _ in range((block.variant > 0 and record.closed) + (block.variant == 2)):
            size, left = var(left)
            digests, left = digests + left[:4], left[4 + size :]
        places = plain_places(block, t)
        choices = plain_choices(left, [count for *_, count in places], block.codebook)
        whole = digests + b"".join(struct.pack(f"<{len(c)}i", *c) for c in choices)
        assert zlib.crc32(whole) == record.digest
        schedule = Schedule(block, t)
        assert [(p.step, p.frame, p.atoms) for p in schedule.places] == places
        steering = parse_payload(record, schedule)
        assert [choice.tolist() for choice in steering.choices] == choices
        assert latent_frames(record) == frames


def test_a_sum_follows_from_the_text() -> None:
    """V13 in plain integers and doubles, to the last bit."""
    codebook = Codebook(9, 1, (2, 0), values=100, count=150)
    choice = [-3, 40, 128, -150]
    total = [
        sum(int(codebook.atom(abs(i) - 1)[j]) * (1 if i > 0 else -1) for i in choice)
        for j in range(100)
    ]
    factor = np.float32(math.sqrt(100 / sum(a * a for a in total)))
    expected = [np.float32(a) * factor for a in total]
    assert codebook.sum(np.array(choice, np.int32)).tolist() == expected


def test_rules_are_numbered_and_name_an_error_that_exists() -> None:
    rules = re.findall(r"^\*\*V(\d+)\.\*\*", TEXT, flags=re.M)
    assert [int(at) for at in rules] == list(range(1, len(rules) + 1))
    for name in re.findall(r"\b(\w+Error)\b", TEXT):
        assert hasattr(errors, name), name


def test_the_numbers_of_the_text_are_those_of_the_code() -> None:
    assert TABLE_SHA256 in TEXT
    for index, value in re.findall(r"T8\[(\d+)\] = (-?\d+)", TEXT):
        assert atom_table()[int(index)] == int(value)
