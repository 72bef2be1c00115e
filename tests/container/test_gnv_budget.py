"""The container costs 200 bytes a file and 32 a group, two more a frame if the rate varies."""

from __future__ import annotations

import random
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO, cast

import pytest

from gencodec.container import GnvcVdBlock, GroupRecord, Header, Pack, Totals, Writer

FILE_BYTES, GROUP_BYTES, FRAME_BYTES = 200, 32, 2
BLOCK = GnvcVdBlock(
    quality=20, anchor_offset=8, steps=2, start_level=350, anchor_place=31
).to_bytes()


class Sink:
    """Takes all bytes and keeps none."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass


def header(**more: object) -> Header:
    """Nothing here is at its cheapest: MPEG-TS clock and start, colour, seed, tiles."""
    values: dict[str, object] = {
        "width": 1920,
        "height": 1080,
        "time_base": Fraction(1, 90_000),
        "frame_ticks": 3003,
        "start_tick": 126_000,
        "group_frames": 33,
        "sample_aspect": Fraction(64, 45),
        "primaries": 1,
        "transfer": 1,
        "matrix": 1,
        "noise_seed": 0xDEADBEEF,
        "refine_tile": 32,
        "refine_overlap": 8,
        "refine_window": 9,
        "vae_tile": 64,
        "vae_overlap": 4,
        "packs": (Pack(sha256=bytes(range(32))),),
    }
    return Header(**(values | more))  # type: ignore[arg-type]


def totals(groups: int, *, frames: int = 33, payload_bytes: int, every: int = 10**9) -> Totals:
    """Write groups of `frames`; each `every`-th is cut short by a scene change."""
    writer = Writer(cast(BinaryIO, Sink()), header(group_frames=frames))
    tick = 126_000
    payload = bytes(payload_bytes)
    for number in range(groups):
        length = frames // 2 if number % every == every - 1 else frames
        writer.write_group(
            GroupRecord(
                number=number,
                ticks=tuple(range(tick, tick + 3003 * length, 3003)),
                cut=number % every == 0,
                coder=1,
                coder_block=BLOCK,
                payload=payload,
                digest=0xDEADBEEF,
            )
        )
        tick += 3003 * length
    return writer.close()


def test_a_file_without_groups_stays_under_its_budget() -> None:
    assert totals(0, payload_bytes=0).bytes <= FILE_BYTES


@pytest.mark.parametrize("payload_bytes", [100, 1_000, 10_000, 20_000, 100_000])
@pytest.mark.parametrize(
    ("groups", "every"), [(1, 10**9), (10, 10**9), (10, 3), (600, 10**9), (600, 4)]
)
def test_groups_stay_under_their_budget(groups: int, every: int, payload_bytes: int) -> None:
    written = totals(groups, payload_bytes=payload_bytes, every=every)
    assert written.container_bytes <= FILE_BYTES + GROUP_BYTES * groups


def test_two_hours_stay_under_the_budget() -> None:
    written = totals(6546, payload_bytes=19_000, every=4)
    assert written.container_bytes <= FILE_BYTES + GROUP_BYTES * 6546


@pytest.mark.parametrize("jitter", [0, 1, 90, 3000, 8000])
def test_a_variable_rate_adds_at_most_two_bytes_a_frame(jitter: int) -> None:
    chance = random.Random(1)
    stream = BytesIO()
    writer = Writer(stream, header(constant_rate=False, nominal_rate=Fraction(30_000, 1001)))
    tick = 126_000
    for number in range(20):
        ticks = []
        for _ in range(33):
            ticks.append(tick)
            tick += max(1, 3003 + chance.randint(-jitter, jitter))
        writer.write_group(
            GroupRecord(
                number=number,
                ticks=tuple(ticks),
                coder=1,
                coder_block=BLOCK,
                payload=bytes(19_000),
                digest=0xDEADBEEF,
            )
        )
    written = writer.close()
    allowed = FILE_BYTES + GROUP_BYTES * 20 + FRAME_BYTES * written.frames
    assert written.container_bytes <= allowed
