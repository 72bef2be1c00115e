"""The anchor of a group: which latent frame it is, how a file says so, who may say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests import tiny

from gencodec.container import GnvcVdBlock, GroupRecord
from gencodec.errors import FormatError
from gencodec.geometry import MIDDLE, anchor_at, latent_shape
from gencodec.group_coder import GroupCoder
from gencodec.packs.models import Models


def record(coder: GroupCoder, frames: int, quality: int = 30) -> GroupRecord:
    rgb = np.stack(tiny.clip(48, 32, frames))
    source: Any = coder._models.transform.prepare(rgb)
    return coder.encode(source, quality).record(0, range(frames))


def test_places_go_from_the_first_latent_frame_to_the_last() -> None:
    for latents in (1, 2, 17, 64, 65, 1025):
        found = [anchor_at(place, latents) for place in range(64)]
        assert found == sorted(found)
        assert (found[0], found[-1]) == (0, latents - 1)
        assert latents > 64 or set(found) == set(range(latents))


@pytest.mark.parametrize("latents", [1, 2, 3, 4, 5, 33, 64, 65, 66, 257, 1025])
def test_from_the_middle_no_latent_frame_is_far(latents: int) -> None:
    anchor = anchor_at(MIDDLE, latents)
    assert max(anchor, latents - 1 - anchor) <= 0.51 * (latents - 1) + 0.5


@pytest.mark.parametrize(
    ("flags", "anchor", "size"), [(0, 0, 3), (2, 0, 4), (0, 31, 4), (3, 63, 4)]
)
def test_flags_and_anchor_share_a_byte_that_may_be_left_out(
    flags: int, anchor: int, size: int
) -> None:
    block = GnvcVdBlock(quality=7, flags=flags, anchor_place=anchor)
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
    assert anchor_at(block.anchor_place, shape[0]) == anchor
    assert len(coded.coder_block) == (4 if anchor else 3)
    assert coder.decode(coded, shape).pictures is not None


def test_a_latent_codec_begins_at_the_first(tiny_models: Models) -> None:
    assert GnvcVdBlock.from_bytes(record(GroupCoder(tiny_models), 9).coder_block).anchor_place == 0


@pytest.mark.parametrize("change", [{"anchor_place": 63}, {"flags": 2}])
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
    block = replace(GnvcVdBlock.from_bytes(coded.coder_block), anchor_place=0)
    with pytest.raises(FormatError):
        coder.decode(replace(coded, coder_block=block.to_bytes()), latent_shape(17, 32, 48, 16))
