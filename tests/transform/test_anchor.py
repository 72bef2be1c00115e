"""The anchor of a group: which latent frame it is, how a file says so, who may say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests import tiny

from gencodec.container import CODER_GNVC_VD, GnvcVdBlock, GroupRecord
from gencodec.errors import FormatError
from gencodec.geometry import anchor_at, anchor_place, latent_shape
from gencodec.group_coder import GroupCoder
from gencodec.packs.models import Models


def record(coder: GroupCoder, frames: int, quality: int = 30) -> GroupRecord:
    rgb = np.stack(tiny.clip(48, 32, frames))
    source: Any = coder._models.transform.prepare(rgb)
    coded = coder.encode(source, quality)
    return GroupRecord(
        number=0,
        ticks=tuple(range(frames)),
        cut=False,
        coder=CODER_GNVC_VD,
        coder_block=coded.block.to_bytes(),
        payload=coded.payload,
        digest=coded.digest,
    )


def test_every_latent_frame_of_64_has_a_place() -> None:
    for latents in range(1, 65):
        for anchor in range(latents):
            assert anchor_at(anchor_place(anchor, latents), latents) == anchor


@pytest.mark.parametrize("latents", [65, 129, 1025])
def test_in_a_longer_group_the_place_is_near(latents: int) -> None:
    found = [anchor_at(anchor_place(anchor, latents), latents) for anchor in range(latents)]
    assert found[0] == 0
    assert found[-1] == latents - 1
    assert max(abs(a - b) for a, b in enumerate(found)) <= -(-latents // 126)
    assert all(anchor_at(place, latents) < latents for place in range(64))


@pytest.mark.parametrize(
    ("flags", "anchor", "size"), [(0, 0, 3), (2, 0, 4), (0, 31, 4), (3, 63, 4)]
)
def test_flags_and_anchor_share_a_byte_that_may_be_left_out(
    flags: int, anchor: int, size: int
) -> None:
    block = GnvcVdBlock(quality=7, flags=flags, anchor=anchor)
    assert len(block.to_bytes()) == size
    assert GnvcVdBlock.from_bytes(block.to_bytes()) == block


@pytest.mark.parametrize(("frames", "anchor"), [(1, 0), (5, 0), (9, 1), (17, 2), (33, 4)])
def test_a_motion_codec_begins_in_the_middle(
    motion_models: Models, frames: int, anchor: int
) -> None:
    coder = GroupCoder(motion_models)
    coded = record(coder, frames)
    shape = latent_shape(frames, 32, 48, 16)
    block = GnvcVdBlock.from_bytes(coded.coder_block)
    assert anchor_at(block.anchor, shape[0]) == anchor
    assert coder.decode(coded, shape).pictures is not None


def test_a_latent_codec_begins_at_the_first(tiny_models: Models) -> None:
    assert GnvcVdBlock.from_bytes(record(GroupCoder(tiny_models), 9).coder_block).anchor == 0


@pytest.mark.parametrize("change", [{"anchor": 63}, {"flags": 2}])
def test_what_only_motion_codecs_can_is_refused_of_others(
    tiny_models: Models, change: dict[str, int]
) -> None:
    coder = GroupCoder(tiny_models)
    coded = record(coder, 9)
    block = replace(GnvcVdBlock.from_bytes(coded.coder_block), **change)
    with pytest.raises(FormatError, match="motion codec"):
        coder.decode(replace(coded, coder_block=block.to_bytes()), latent_shape(9, 32, 48, 16))


def test_another_anchor_than_the_one_coded_is_noticed(motion_models: Models) -> None:
    coder = GroupCoder(motion_models)
    coded = record(coder, 17)
    block = replace(GnvcVdBlock.from_bytes(coded.coder_block), anchor=0)
    with pytest.raises(FormatError):
        coder.decode(replace(coded, coder_block=block.to_bytes()), latent_shape(17, 32, 48, 16))
