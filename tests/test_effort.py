"""Levels of effort: what an encoder does more or less of, and that files stay what they are."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny

import gencodec
from gencodec import Target, trial
from gencodec.container import GnvcVdBlock, GroupRecord, Reader
from gencodec.descent import SMALLEST, PictureDescent
from gencodec.effort import EFFORTS, USUAL_EFFORT, with_effort
from gencodec.errors import UsageError
from gencodec.execution import Execution
from gencodec.group_coder import CodedGroup, GroupCoder, read_block
from gencodec.packs.defaults import Defaults
from gencodec.packs.models import Models, load_models
from gencodec.packs.prior import load_exact
from gencodec.progress import Progress
from gencodec.rate import PipeController
from gencodec.trial import SizeTrial

WIDTH, HEIGHT, FRAMES, GOP = 96, 64, 10, 5  # the judge sees no pictures of 64x48
GROUPS = 2
REFINED_BELOW = 5
TARGETS = [Target(quality=20), Target(bpp=0.2)]
Command = Callable[..., tuple[int, bytes, str]]


@pytest.fixture(scope="module")
def judged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pack with a judge, refined at low rates only, on disk; not to be changed."""
    folder = tmp_path_factory.mktemp("packs") / "tiny-judged"
    tiny.write_pack(folder, "tiny-judged", replace(tiny.DEFAULTS, refine_below=REFINED_BELOW))
    return folder


@pytest.fixture(scope="module")
def ladder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with rungs where both sizes are possible."""
    folder = tmp_path_factory.mktemp("packs") / "ladder"
    ladder: dict[str, Any] = {
        "half_below": 1,
        "half_shift": 10,
        "half_tried_below": 54,
        "refine_below": 0,
    }
    tiny.write_pack(folder, "tiny-judged", replace(tiny.DEFAULTS, **ladder))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = tiny.clip(WIDTH, HEIGHT, FRAMES)
    return tiny.write_clip(tmp_path_factory.mktemp("clips") / "clip.y4m", pictures)


@pytest.fixture
def descents(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps of every descent."""
    made: list[int] = []
    improve = PictureDescent.improve

    def counting(self: PictureDescent, raw: Any, picture: Any, quality: Any, steps: int) -> Any:  # noqa: ANN401
        made.append(steps)
        return improve(self, raw, picture, quality, steps)

    monkeypatch.setattr(PictureDescent, "improve", counting)
    return made


def encoded(clip: Path | str, pack: Path, target: Target = TARGETS[0], **options: Any) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    gencodec.encode(clip, stream, target=target, pack=pack, gop=GOP, **options)
    return stream.getvalue()


def records(coded: bytes) -> list[GroupRecord]:
    return list(Reader(io.BytesIO(coded)).groups())


def symbols(record: GroupRecord, pack: Path) -> list[NDArray[np.int16]]:
    """Return the symbols [c, h, w] of a group's latent frames."""
    exact, block = load_exact(pack), read_block(record)
    latents = 1 + (record.frames - 1) // 4, HEIGHT // 16, WIDTH // 16
    found = exact.symbols(block, latents, record.payload, digest=record.digest)
    return [y for y, _ in found]


def test_an_encode_in_inference_mode_is_like_any_other(clip: Path, judged_folder: Path) -> None:
    expected = encoded(clip, judged_folder)
    with torch.inference_mode():
        assert encoded(clip, judged_folder) == expected


# -- levels ----------------------------------------------------------------------------------------


def test_each_level_takes_more_time_than_the_one_before() -> None:
    pack = Defaults(half_below=5, half_shift=9, half_tried_below=20, picture_steps=7, steps=3)
    changes = [
        {key: value for key, value in asdict(with_effort(pack, effort)).items() if key in CHANGED}
        for effort in EFFORTS
    ]
    steps = [each.pop("picture_steps") for each in changes]
    assert steps[0] == steps[1] == 0 < steps[2] < steps[3]
    assert changes == [
        {"search_refinement": False, "half_tried_below": 0},
        {"search_refinement": False, "half_tried_below": 20},
        {"search_refinement": False, "half_tried_below": 20},
        {"search_refinement": True, "half_tried_below": 20},
    ]


CHANGED = ("picture_steps", "search_refinement", "half_tried_below")


@pytest.mark.parametrize("effort", EFFORTS)
def test_what_else_a_pack_asks_for_stays(effort: int) -> None:
    pack = Defaults(
        group_frames=33, anchor_offset=2, half_below=5, half_shift=9, half_tried_below=20, steps=3,
        refine_below=9, noise=True, search_refinement=True, tile_size=12, vae_tile=8,
    )  # fmt: skip
    before, after = asdict(pack), asdict(with_effort(pack, effort))
    assert {k for k in before if before[k] != after[k]} <= set(CHANGED)
    assert after["search_refinement"] is (effort > 0)


def test_the_command_knows_the_same_levels() -> None:
    from gencodec.cli.encode import encode

    (option,) = (each for each in encode.params if each.name == "effort")
    assert option.default == USUAL_EFFORT
    assert USUAL_EFFORT in EFFORTS
    kind: Any = option.type
    assert range(kind.min, kind.max + 1) == EFFORTS


@pytest.mark.parametrize("effort", ["4", "-1", "two", "1.5"])
def test_the_command_refuses_other_levels(
    effort: str, command: Command, clip: Path, judged_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gnv"
    code, said, words = command(
        "encode", clip, "-o", out, "--pack", judged_folder, "--effort", effort
    )
    assert (code, said) == (2, b"")
    assert "--effort" in words
    assert effort in words
    assert "Traceback" not in words
    assert not list(tmp_path.iterdir())


def test_the_command_passes_the_level_on(
    command: Command, clip: Path, judged_folder: Path, tmp_path: Path, descents: list[int]
) -> None:
    common = ("encode", clip, "--pack", judged_folder, "--gop", GOP, "--quality", 20)
    for effort in (0, 2):
        code, _, words = command(*common, "-o", tmp_path / f"{effort}.gnv", "--effort", effort)
        assert code == 0, words
        assert len(descents) == (GROUPS if effort else 0)
    code, _, words = command(*common, "-o", tmp_path / "usual.gnv")
    assert code == 0, words
    found = [(tmp_path / f"{name}.gnv").read_bytes() for name in ("0", "2", "usual")]
    assert found[0] != found[1] == found[2]


@pytest.mark.parametrize("effort", [-1, 4, 7])
def test_the_library_refuses_other_levels(effort: int, clip: Path, judged_folder: Path) -> None:
    with pytest.raises(UsageError, match=rf"effort is {effort}, must be 0 \.\. 3"):
        encoded(clip, judged_folder, effort=effort)


# -- packs without a judge -------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS, ids=["quality", "bpp"])
@pytest.mark.parametrize("name", ["tiny_folder", "motion_folder"])
def test_without_a_judge_the_second_level_is_the_first(
    name: str, target: Target, clip: Path, request: pytest.FixtureRequest
) -> None:
    pack = request.getfixturevalue(name)
    assert encoded(clip, pack, target, effort=2) == encoded(clip, pack, target, effort=1)


def test_without_a_judge_nothing_is_coded_twice(
    clip: Path, motion_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded: list[tuple[Any, int]] = []
    genuine = GroupCoder.encode

    def counting(self: GroupCoder, source: Any, rung: int, **way: bool) -> CodedGroup:  # noqa: ANN401
        assert not any(each is source and known == rung for each, known in coded)
        coded.append((source, rung))
        return genuine(self, source, rung, **way)

    monkeypatch.setattr(GroupCoder, "encode", counting)
    encoded(clip, motion_folder, TARGETS[1], effort=2)
    assert len(coded) > GROUPS


# -- descent ---------------------------------------------------------------------------------------


def test_descent_changes_first_pictures_and_the_file_is_whole(
    clip: Path, judged_folder: Path, tmp_path: Path, descents: list[int]
) -> None:
    plain = encoded(clip, judged_folder, effort=1)
    assert not descents
    coded = encoded(clip, judged_folder, effort=2)
    steps = with_effort(Defaults(), 2).picture_steps
    assert descents == [steps] * GROUPS
    assert len(records(coded)) == GROUPS
    for before, after in zip(records(plain), records(coded), strict=True):
        assert before.payload != after.payload
        assert before.ticks == after.ticks
        blocks = [GnvcVdBlock.from_bytes(each.coder_block) for each in (before, after)]
        assert blocks[0].quality == blocks[1].quality
        first, other = (symbols(each, judged_folder)[0] for each in (before, after))
        assert 0 < np.mean(first != other) < 0.5
        assert np.abs(first - other).max() <= 2

    found = gencodec.verify(io.BytesIO(coded), pack_dirs=[judged_folder])
    assert (found.frames, found.groups, found.complete) == (FRAMES, GROUPS, True)
    (tmp_path / "out.gnv").write_bytes(coded)
    shown = gencodec.decode(tmp_path / "out.gnv", tmp_path / "out.y4m", pack_dirs=[judged_folder])
    assert shown.frames == FRAMES


@pytest.mark.parametrize("target", TARGETS, ids=["quality", "bpp"])
def test_descent_makes_the_same_bytes_again(
    target: Target, clip: Path, judged_folder: Path
) -> None:
    first, again = (encoded(clip, judged_folder, target, effort=2) for _ in range(2))
    assert first == again
    assert len(records(first)) == GROUPS


def test_the_third_level_descends_further(
    clip: Path, judged_folder: Path, descents: list[int]
) -> None:
    coded = [encoded(clip, judged_folder, effort=effort) for effort in (2, 3)]
    assert len(descents) == 2 * GROUPS
    assert descents[0] < descents[-1]
    payloads = [[each.payload for each in records(file)] for file in coded]
    assert all(a != b for a, b in zip(*payloads, strict=True))


def test_what_is_asked_for_by_name_counts_more_than_the_level(
    clip: Path, judged_folder: Path, descents: list[int]
) -> None:
    plain = encoded(clip, judged_folder, effort=1)
    assert encoded(clip, judged_folder, effort=2, defaults={"picture_steps": 0}) == plain
    assert not descents
    encoded(clip, judged_folder, effort=0, defaults={"picture_steps": 1})
    assert descents == [1] * GROUPS


def test_half_size_pictures_are_descended_on_if_large_enough(
    clip: Path, ladder_folder: Path, tmp_path: Path, descents: list[int]
) -> None:
    large = tiny.write_clip(tmp_path / "clip.y4m", tiny.clip(160, 128, 5))
    for source, changes in ((clip, False), (large, True)):
        files = [encoded(source, ladder_folder, Target(quality=0), effort=e) for e in (1, 2)]
        first = [records(file)[0] for file in files]
        assert all(read_block(each).half_size for each in first)
        assert (first[0].payload != first[1].payload) is changes
    assert descents


@pytest.mark.parametrize("target", [Target(bpp=0.15), Target(bpp=0.25), Target(size=1_600)])
def test_a_descended_file_hits_its_target_by_few_descents(
    target: Target, clip: Path, judged_folder: Path, descents: list[int]
) -> None:
    stream = io.BytesIO()
    result = gencodec.encode(clip, stream, target=target, pack=judged_folder, gop=GOP, effort=2)
    wanted = target.file_bytes(WIDTH * HEIGHT * FRAMES, result.seconds)
    assert wanted is not None
    assert abs(len(stream.getvalue()) / wanted - 1) <= 0.03
    assert result.reached
    assert len(descents) <= 5 * GROUPS


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, descents: list[int]) -> list[int]:
    """Sizes of groups that a pipe's controller chose, framing included."""
    sizes: list[int] = []
    genuine = PipeController.choose

    def choose(self: PipeController, size_at: Any, frames: int, *, near: Any, **how: Any) -> int:  # noqa: ANN401
        def faster(rung: int) -> int:
            before = len(descents)
            size: int = near(rung)
            assert len(descents) == before
            return size

        quality = genuine(self, size_at, frames, near=faster, **how)
        sizes.append(size_at(quality))
        return quality

    monkeypatch.setattr(PipeController, "choose", choose)
    return sizes


def test_a_pipe_keeps_its_rate(
    judged_folder: Path,
    tmp_path: Path,
    descents: list[int],
    chosen: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And its controller is told the sizes of what is written."""
    longer = tiny.write_clip(tmp_path / "clip.y4m", tiny.clip(WIDTH, HEIGHT, 29))
    stream, bpp = io.BytesIO(), 0.15
    with subprocess.Popen(["cat", longer], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(process.stdout))
        result = gencodec.encode(
            "-", stream, target=Target(bpp=bpp), pack=judged_folder, gop=9, effort=2
        )
    coded = stream.getvalue()
    assert (result.frames, result.groups) == (29, 4)
    assert abs(8 * len(coded) / (WIDTH * HEIGHT * 29) / bpp - 1) <= 0.03
    assert result.reached
    assert 4 <= len(descents) <= 24
    framing = [size - len(each.payload) for size, each in zip(chosen, records(coded), strict=True)]
    assert len(set(framing)) == 1
    assert gencodec.verify(io.BytesIO(coded), pack_dirs=[judged_folder]).complete


# -- trials ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("effort", [0, 1, 2])
def test_both_sizes_are_tried_but_at_level_0(
    effort: int,
    clip: Path,
    ladder_folder: Path,
    descents: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the trial descends on neither."""
    tried: list[int] = []
    nearer = SizeTrial._nearer_at_half

    def counting(self: SizeTrial, sample: Any, rung: int) -> bool:  # noqa: ANN401
        before = len(descents)
        found = nearer(self, sample, rung)
        assert len(descents) == before
        tried.append(rung)
        return found

    monkeypatch.setattr(SizeTrial, "_nearer_at_half", counting)
    encoded(clip, ladder_folder, TARGETS[1], effort=effort)
    assert bool(tried) is (effort > 0)


@pytest.mark.parametrize("effort", [0, 2, 3])
def test_refinement_is_searched_at_level_3(
    effort: int, clip: Path, judged_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[float] = []
    distance = trial.distance

    def counting(*frames: Any) -> float:  # noqa: ANN401
        compared.append(distance(*frames))
        return compared[-1]

    monkeypatch.setattr(trial, "distance", counting)
    encoded(clip, judged_folder, Target(quality=REFINED_BELOW - 1), effort=effort)
    assert bool(compared) is (effort == 3)


def test_what_will_be_refined_is_not_descended_on(
    clip: Path, judged_folder: Path, descents: list[int]
) -> None:
    refined = encoded(clip, judged_folder, Target(quality=REFINED_BELOW - 1))
    assert not descents
    assert all(read_block(record).steps for record in records(refined))
    plain = encoded(clip, judged_folder, Target(quality=REFINED_BELOW))
    assert len(descents) == GROUPS
    assert not any(read_block(record).steps for record in records(plain))


def test_a_judge_is_asked_about_frames_that_it_can_see(
    judged_folder: Path, motion_models: Models
) -> None:
    models = load_models(judged_folder, Execution.choose("cpu"))
    assert models.descent is not None
    for height, width, seen in ((31, 64, False), (64, 31, False), (SMALLEST, SMALLEST, True)):
        frames = np.zeros((1, height, width, 3), np.uint8)
        assert (trial.judge_of(models, frames) is models.descent.judge) is seen
        assert trial.judge_of(motion_models, frames) is None


# -- interruptions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS, ids=["quality", "bpp"])
def test_descended_groups_are_found_again_after_an_interrupt(
    target: Target,
    clip: Path,
    judged_folder: Path,
    tmp_path: Path,
    descents: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coded: list[bool] = []
    genuine = GroupCoder.encode

    def counting(self: GroupCoder, source: Any, rung: int, **way: bool) -> CodedGroup:  # noqa: ANN401
        coded.append(way["plain"])
        return genuine(self, source, rung, **way)

    monkeypatch.setattr(GroupCoder, "encode", counting)

    def encode(name: str, on_progress: Callable[[Progress], None] | None = None) -> bytes:
        out = tmp_path / name
        gencodec.encode(
            clip, out, target=target, pack=judged_folder, gop=GOP, effort=2, on_progress=on_progress
        )
        return out.read_bytes()

    def interrupt(progress: Progress) -> None:
        if progress.stage == "code" and progress.group > 1:
            raise KeyboardInterrupt

    expected = encode("whole.gnv")
    needed, plain = len(descents), sum(coded)
    assert needed == len(coded) - plain
    assert bool(plain) is (target.quality is None)
    descents.clear()
    coded.clear()
    with pytest.raises(KeyboardInterrupt):
        encode("out.gnv", interrupt)
    assert descents
    assert not (tmp_path / "out.gnv").exists()
    assert encode("out.gnv") == expected
    assert len(descents) == needed
    assert sum(coded) == plain
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gnv", "whole.gnv"]


def test_what_another_level_left_is_not_found(
    clip: Path, judged_folder: Path, tmp_path: Path, descents: list[int]
) -> None:
    out = tmp_path / "out.gnv"

    def interrupt(progress: Progress) -> None:
        if progress.group > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gencodec.encode(
            clip, out, target=TARGETS[0], pack=judged_folder, gop=GOP, effort=1,
            on_progress=interrupt,
        )  # fmt: skip
    assert not descents
    gencodec.encode(clip, out, target=TARGETS[0], pack=judged_folder, gop=GOP, effort=2)
    assert len(descents) == GROUPS
    assert out.read_bytes() == encoded(clip, judged_folder, effort=2)
