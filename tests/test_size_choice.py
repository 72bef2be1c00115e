"""Analysis by synthesis: scenes are coded at half size where that shows them nearer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny
from tests.test_refinement_choice import blocks

import gencodec
from gencodec.container import CODER_GNVC_VD, Header, Reader
from gencodec.encoding import pack_fields, picture_fields
from gencodec.frames import source
from gencodec.group_coder import GroupCoder
from gencodec.look import Sample
from gencodec.packs.models import Models
from gencodec.trial import SizeTrial, _edge_error

WEIGHTS = np.array([0.299, 0.587, 0.114])
BOTH: dict[str, Any] = {
    "half_below": 1,
    "half_shift": 10,
    "half_tried_below": 54,
    "steps": 0,
}  # at rungs 11 to 63


def loaded(models: Models) -> Models:
    """A pack that tries both sizes."""
    return replace(models, defaults=replace(models.defaults, **BOTH))


def header(models: Models) -> Header:
    info = tiny.video_info(64, 48)
    fields = picture_fields(info, constant_rate=True) | pack_fields(models, models.defaults.tiles)
    return Header(**fields, start_tick=0, group_frames=9, coder=CODER_GNVC_VD)


def sample(models: Models, *, starts_scene: bool = False) -> Sample:
    rgb = np.stack(tiny.clip(64, 48, 9))
    prepare = lambda: models.transform.prepare(rgb)  # noqa: E731
    return Sample(prepare, GroupCoder(models), starts_scene=starts_scene)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the next trials find, the last of it for all others."""
    answers: list[bool] = []

    def nearer(_self: SizeTrial, _sample: Sample, _rung: int) -> bool:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(SizeTrial, "_nearer_at_half", nearer)
    return answers


@pytest.mark.parametrize("target", [gencodec.Target(bpp=0.12), gencodec.Target(size=1600)])
def test_each_scene_of_a_file_has_one_size(
    target: gencodec.Target, motion_folder: Path, tmp_path: Path, told: list[bool]
) -> None:
    told[:] = [True, False]
    clip = tiny.write_clip(tmp_path / "clip.y4m", tiny.clip(64, 48, 36, cuts=[18]))
    out = tmp_path / "out.gnv"
    gencodec.encode(clip, out, target=target, pack=motion_folder, gop=9, defaults=BOTH)
    with out.open("rb") as stream:
        cuts = [record.cut for record in Reader(stream).groups()]
    assert cuts.count(True) == 1
    first = cuts.index(True)
    halves = [block.half_size for block in blocks(out)]
    assert halves == [True] * first + [False] * (len(cuts) - first)
    assert told == [False]


def test_a_pipe_chooses_by_the_rung_before(
    motion_folder: Path, tmp_path: Path, told: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    told[:] = [True]
    monkeypatch.setattr(source, "_is_pipe", lambda _: True)
    clip = tiny.write_clip(tmp_path / "clip.y4m", tiny.clip(64, 48, 36))
    out, target = tmp_path / "out.gnv", gencodec.Target(bpp=0.12)
    gencodec.encode(clip, out, target=target, pack=motion_folder, gop=9, defaults=BOTH)
    assert [block.half_size for block in blocks(out)][:2] == [False, True]


def test_outside_the_rungs_of_both_nothing_is_tried(motion_models: Models) -> None:
    models = loaded(motion_models)
    one, trial = sample(models), SizeTrial(models, header(models))
    for rung in (10, 64):
        trial.choose(one, rung)
        assert one.prefers_half is None
    assert [one.at(rung).block.half_size for rung in (10, 11)] == [True, False]
    one.prefers_half = True
    assert [one.at(rung).block.half_size for rung in (63, 64)] == [True, False]
    assert one.at(63).block.quality == 63


def test_the_error_counts_as_if_at_equal_bytes(
    motion_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = loaded(motion_models)
    trial, one = SizeTrial(models, header(models)), sample(models)
    whole, half = (one.at(30, half=half) for half in (False, True))
    assert (whole.block.half_size, half.block.half_size) == (False, True)
    even = (whole.size / half.size) ** 0.3  # times the error that half size may have
    for share, nearer in ((0.99, True), (1.01, False)):
        found = {False: 0.2, True: 0.2 * even * share}
        monkeypatch.setattr(
            SizeTrial, "_error", lambda _, coded, __, found=found: found[coded.block.half_size]
        )
        assert trial._nearer_at_half(one, 30) is nearer


def test_what_is_tried_is_what_a_decoder_shows(motion_models: Models) -> None:
    models = loaded(motion_models)
    trial, one, coder = SizeTrial(models, header(models)), sample(models), GroupCoder(models)
    true = one.source.rgb  # type: ignore[attr-defined]
    for half in (False, True):
        coded = one.at(30, half=half)
        record = coded.record(0, range(len(true)))
        shown = coder.decode(record, (3, 3, 4)).pictures
        assert shown is not None
        expected = np.mean(
            [
                _edge_error(*(x[None] @ WEIGHTS / 255 for x in pair))
                for pair in zip(shown[:9, :48, :64], true, strict=True)
            ]
        )
        assert trial._error(coded, one.source) == pytest.approx(expected, rel=1e-4)
