"""Small files that all container tests share."""

from __future__ import annotations

import random
from fractions import Fraction
from io import BytesIO
from itertools import accumulate

import pytest

from gencodec.container import META, GnvcVdBlock, GroupRecord, Header, Pack, Writer

PACK = Pack(sha256=bytes(range(32)))
BLOCK = GnvcVdBlock(quality=20, anchor_offset=8, steps=2, start_level=350).to_bytes()


@pytest.fixture(scope="session")
def constant_header() -> Header:
    return Header(
        width=352,
        height=288,
        time_base=Fraction(1, 30),
        frame_ticks=1,
        group_frames=5,
        packs=(PACK,),
    )


@pytest.fixture(scope="session")
def constant_groups() -> list[GroupRecord]:
    """Four groups of 5, 5, 5 and 3 frames; the second depends on the first, the third is a cut."""
    chance = random.Random(7)
    return [
        GroupRecord(
            number=k,
            ticks=tuple(range(5 * k, 5 * k + (5 if k < 3 else 3))),
            cut=k == 2,
            dependencies=(1,) if k == 1 else (),
            coder=1,
            coder_block=BLOCK,
            payload=chance.randbytes(40 + k),
            digest=chance.getrandbits(32),
        )
        for k in range(4)
    ]


@pytest.fixture(scope="session")
def varied_header() -> Header:
    return Header(
        width=97,
        height=53,
        rotation=270,
        constant_rate=False,
        time_base=Fraction(1, 90_000),
        frame_ticks=3003,
        nominal_rate=Fraction(30_000, 1001),
        start_tick=-126_000,
        group_frames=9,
        sample_aspect=Fraction(64, 45),
        bit_depth=10,
        colour_range=1,
        primaries=9,
        transfer=16,
        matrix=9,
        chroma_location=3,
        field_order=2,
        noise_seed=0xDEADBEEF,
        refine_tile=32,
        refine_overlap=8,
        refine_window=9,
        vae_tile=64,
        vae_overlap=4,
        packs=(PACK, Pack(role=1, sha256=bytes(32))),
    )


@pytest.fixture(scope="session")
def varied_groups() -> list[GroupRecord]:
    chance = random.Random(3)
    groups, start = [], -126_000
    for number in range(3):
        steps = [chance.choice((3003, 3000, 1501, 9009, 40_000)) for _ in range(9 - number)]
        ticks = tuple(accumulate(steps, initial=start))
        groups.append(
            GroupRecord(
                number=number,
                ticks=ticks[:-1],
                coder=2 if number == 1 else 1,
                coder_block=BLOCK,
                payload=chance.randbytes(60),
                digest=chance.getrandbits(32),
            )
        )
        start = ticks[-1] + chance.randrange(3)
    return groups


@pytest.fixture(scope="session")
def constant_file(constant_header: Header, constant_groups: list[GroupRecord]) -> bytes:
    stream = BytesIO()
    with Writer(stream, constant_header) as writer:
        for record in constant_groups:
            writer.write_group(record)
    return stream.getvalue()


@pytest.fixture(scope="session")
def varied_file(varied_header: Header, varied_groups: list[GroupRecord]) -> bytes:
    """Variable rate, two packs, an own coder, other units, a repeated header."""
    stream = BytesIO()
    with Writer(stream, varied_header) as writer:
        writer.write_unit(META, b"\xa1\x65title\x63cat")
        for record in varied_groups:
            writer.write_group(record)
            if record.number == 1:
                writer.repeat_header()
        writer.write_unit(b"xxPx", b"somebody's")
        writer.close(last_duration=1501)
    return stream.getvalue()
