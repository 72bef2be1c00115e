"""Analysis by synthesis: the encoder keeps the refinement that shows a group nearest to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import tiny

import gencodec
from gencodec.container import GnvcVdBlock, Reader
from gencodec.group_coder import read_block
from gencodec.packs.models import Models
from gencodec.refine import RefineStage, noise_for
from gencodec.trial import distance

SEARCH = {"search_refinement": True, "steps": 2}


def blocks(path: Path) -> list[GnvcVdBlock]:
    with path.open("rb") as stream:
        return [read_block(record) for record in Reader(stream).groups()]


def encoded(clip: Path, out: Path, **defaults: Any) -> list[GnvcVdBlock]:  # noqa: ANN401
    gencodec.encode(
        clip, out, target=gencodec.Target(quality=20), pack="tiny", overwrite=True,
        defaults=defaults,
    )  # fmt: skip
    return blocks(out)


@pytest.fixture
def harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refinement that adds noise."""
    genuine = RefineStage.refine

    def refine(
        self: RefineStage,
        latents: NDArray[np.float32],
        features: NDArray[np.float32],
        **settings: Any,  # noqa: ANN401
    ) -> NDArray[np.float32] | None:
        refined = genuine(self, latents, features, **settings)
        return refined if refined is latents else latents + noise_for(1, 0, latents.shape)

    monkeypatch.setattr(RefineStage, "refine", refine)


def test_a_refinement_that_harms_is_not_sent(
    clip_file: Path, tiny_pack: Path, tmp_path: Path, harm: None
) -> None:
    out = tmp_path / "out.gnv"
    forced = encoded(clip_file, out, steps=2)
    size = out.stat().st_size
    assert {block.steps for block in forced} == {2}
    assert {block.steps for block in encoded(clip_file, out, **SEARCH)} == {0}
    assert {block.start_level for block in blocks(out)} == {0}
    assert abs(out.stat().st_size - size) <= len(forced)
    assert gencodec.decode(out, tmp_path / "out.y4m").steps == (0, 0)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch, tiny_models: Models) -> dict[str, Any]:
    """A refinement that finds the first group's own latents, wholly at one level and one step."""
    rgb = np.stack(tiny.clip(64, 48, 29)[:9])
    told: dict[str, Any] = {"calls": [], "fails": False}
    clean = tiny_models.autoencoder.encode(rgb)

    def refine(
        self: RefineStage,
        latents: NDArray[np.float32],
        features: NDArray[np.float32],
        **settings: Any,  # noqa: ANN401
    ) -> NDArray[np.float32] | None:
        if not settings["steps"]:
            return latents
        level, steps = settings["start_level"], settings["steps"]
        told["calls"].append((level, steps))
        if told["fails"]:
            return None
        lowest = min(each for each, _ in told["calls"])
        share = np.float32(1.0 if (level, steps) == (lowest, 1) else 0.3)
        same = latents.shape == clean.shape
        return latents + share * (clean - latents) if same else latents

    monkeypatch.setattr(RefineStage, "refine", refine)
    return told


def test_the_nearest_level_and_number_of_steps_are_sent(
    clip_file: Path, tiny_pack: Path, tmp_path: Path, oracle: dict[str, Any]
) -> None:
    found = encoded(clip_file, tmp_path / "out.gnv", **SEARCH)
    tried = oracle["calls"][:6]
    assert {steps for _, steps in tried} == {1, 2}
    levels = sorted({level for level, _ in tried})
    assert len(levels) == 3
    assert (found[0].start_level, found[0].steps) == (levels[0], 1)


def test_a_network_that_fails_is_not_asked_for(
    clip_file: Path, tiny_pack: Path, tmp_path: Path, oracle: dict[str, Any]
) -> None:
    oracle["fails"] = True
    assert {block.steps for block in encoded(clip_file, tmp_path / "out.gnv", **SEARCH)} == {0}
    assert oracle["calls"]


@pytest.mark.parametrize("defaults", [{"steps": 0, "search_refinement": True}, {"steps": 2}])
def test_nothing_is_tried_where_nothing_is_asked(
    defaults: dict[str, Any],
    clip_file: Path,
    tiny_pack: Path,
    tmp_path: Path,
    oracle: dict[str, Any],
) -> None:
    found = encoded(clip_file, tmp_path / "out.gnv", **defaults)
    assert {block.steps for block in found} == {defaults["steps"]}
    assert not oracle["calls"]


def test_the_motion_codec_is_compared_with_its_source(
    clip_file: Path, motion_folder: Path, tmp_path: Path, harm: None
) -> None:
    out = tmp_path / "out.gnv"
    gencodec.encode(
        clip_file, out, target=gencodec.Target(quality=20), pack=motion_folder, defaults=SEARCH
    )
    assert {block.steps for block in blocks(out)} == {0}


def test_a_group_of_half_size_stays_one_without_refinement(
    clip_file: Path, motion_folder: Path, tmp_path: Path, harm: None
) -> None:
    out = tmp_path / "out.gnv"
    ladder = {**SEARCH, "half_below": 30, "half_shift": 10, "noise": True}
    gencodec.encode(
        clip_file, out, target=gencodec.Target(quality=20), pack=motion_folder, defaults=ladder
    )
    assert {(block.steps, block.half_size, block.uses_noise) for block in blocks(out)} == {
        (0, True, False)
    }


def test_the_distance_sees_blur_and_flicker() -> None:
    sharp = np.stack(tiny.clip(64, 48, 5))
    blurred = sharp.copy()
    blurred[:, 1:-1, 1:-1] = np.mean(
        [sharp[:, 1 + dy : 47 + dy, 1 + dx : 63 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], 0
    )
    flickering = sharp.copy()
    flickering[::2] = np.clip(flickering[::2].astype(int) + 9, 0, 255)
    assert distance(sharp, sharp) == pytest.approx(0, abs=1e-6)
    assert distance(blurred, sharp) > 0.01
    assert distance(flickering, sharp) > 0.01
    tiny_one = np.zeros((1, 1, 1, 3), np.uint8)
    assert distance(tiny_one, tiny_one) == pytest.approx(0, abs=1e-6)
