"""Stage `judge`: it learns from LPIPS, and a pack has a judge only if one learned."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.descent.test_judge import made_up_weights
from torch import Tensor

from gencodec.descent import Judge, JudgeConfig
from gencodec.errors import PackError, SourceError
from gencodec.execution import Execution
from gencodec.packs import read_manifest, verify_pack
from gencodec.packs.models import load_models

JUDGED: Mapping[str, Any] = {**tiny.MOTION_COMPONENTS, "judge": {"squeezed": [4] * 7}}
Train = Callable[..., Any]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of LPIPS that no training made."""
    folder = tmp_path_factory.mktemp("metrics")
    made_up_weights(folder / "squeezenet1_1_lpips.npz")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material") / "clips"
    folder.mkdir()
    for k in range(2):
        pictures = [tiny.picture(112, 96, t, k) for t in range(5)]
        tiny.write_clip(folder / f"clip{k}.y4m", pictures)
    return folder


@pytest.fixture
def bench(training: ModuleType, metrics: Path) -> Any:  # noqa: ANN401
    """A workbench with a judge, and networks of made-up weights."""
    torch.manual_seed(0)
    bench = training.trainer._workbench(JUDGED, None, metrics, torch.device("cpu"))
    tiny.fill(bench.codec, "transform")
    tiny.set_codec(bench.codec)
    return bench


@pytest.fixture
def stage(training: ModuleType, bench: Any) -> Any:  # noqa: ANN401
    return training.judging.JudgeTraining(bench)


def frames(count: int = 2, side: int = 128) -> Tensor:
    """Pictures [b, 3, 1, H, W] in -1..1."""
    rgb = [torch.from_numpy(tiny.picture(side, side, 5 * k, k % 3)) for k in range(count)]
    return torch.stack(rgb).permute(0, 3, 1, 2).unsqueeze(2).float() / 127.5 - 1


def seed(number: int) -> None:
    torch.manual_seed(number)
    random.seed(number)


# -- the stage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", range(3))
def test_every_parameter_of_the_judge_learns_and_no_others(
    chance: int,
    stage: Any,  # noqa: ANN401
    bench: Any,  # noqa: ANN401
) -> None:
    seed(chance)
    loss, numbers = stage.loss(frames())
    assert torch.isfinite(loss)
    assert loss > 0
    assert set(numbers) == {"features", "change", "distance"}
    assert float(loss.detach()) == pytest.approx(
        numbers["features"] + numbers["change"] + 0.1 * numbers["distance"], rel=1e-4
    )
    loss.backward()
    for name, parameter in bench.judge.named_parameters():
        assert parameter.requires_grad
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    for network in (bench.codec, bench.autoencoder, bench.refiner, bench.entropy):
        assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert all(not buffer.requires_grad for buffer in bench.lpips.buffers())


def test_all_of_the_judge_trains_once(stage: Any, bench: Any) -> None:  # noqa: ANN401
    rates = stage.rates()
    given = [id(p) for rate in rates for p in rate.parameters]
    assert sorted(given) == sorted(id(p) for p in bench.judge.parameters())
    assert all(p.ndim > 1 for rate in rates if rate.muon for p in rate.parameters)
    assert list(stage.trained) == ["judge"]


def test_some_steps_on_one_batch_lower_the_loss(
    training: ModuleType,
    stage: Any,  # noqa: ANN401
) -> None:
    batch = frames(2, 96)
    groups = [
        {"params": r.parameters, "muon": r.muon, "lr": 2e-3 * r.factor} for r in stage.rates()
    ]
    optimiser = training.optimiser.Optimiser(groups)
    losses, parts = [], []
    for _ in range(30):
        seed(0)  # the same quality, part and view in every step
        optimiser.zero_grad()
        loss, numbers = stage.loss(batch)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        parts.append(numbers)
    assert losses[-1] < 0.8 * losses[0]
    assert all(parts[-1][name] < parts[0][name] for name in ("features", "change"))


def test_a_judge_that_sees_the_same_has_nothing_to_learn(training: ModuleType) -> None:
    torch.manual_seed(0)
    taught, weight = torch.rand(4, 8, 5, 6), torch.rand(8)
    layer_error = training.judging._layer_error
    assert [float(error) for error in layer_error(taught, taught, weight)] == [0, 0]
    mean = taught.mean((0, 2, 3), keepdim=True).expand_as(taught)
    assert [float(error) for error in layer_error(mean, taught, weight)] == pytest.approx([1, 1])
    shifted = [float(error) for error in layer_error(taught + 0.5, taught, weight)]
    assert shifted[0] > 0.5
    assert shifted[1] == pytest.approx(0, abs=1e-6)
    other = taught.clone()
    other[:, 3] = 0
    nothing = weight.clone()
    nothing[3] = 0
    assert [float(error) for error in layer_error(other, taught, nothing)] == [0, 0]


def test_pictures_are_coded_and_lie_beside_their_sources(
    stage: Any,  # noqa: ANN401
) -> None:
    seed(1)
    made, true = stage._pair(frames(3))
    assert made.shape == true.shape
    assert len(made) == 3
    apart = (made - true).square().mean((1, 2, 3))
    others = (made - true.roll(1, 0)).square().mean((1, 2, 3))
    assert (apart > 0).all()
    assert (apart < others).all()
    assert not made.requires_grad
    assert float(made.abs().max()) <= 1.2


def test_without_a_teacher_or_a_judge_there_is_no_stage(
    training: ModuleType,
    bench: Any,  # noqa: ANN401
    tiny_folder: Path,
) -> None:
    for change in ({"lpips": None}, {"judge": None}):
        with pytest.raises(PackError, match="stage judge needs a pack with a judge"):
            training.judging.JudgeTraining(dataclasses.replace(bench, **change))
    device = torch.device("cpu")
    latent = training.trainer._workbench(tiny.COMPONENTS, None, None, device)
    other = dataclasses.replace(latent, judge=bench.judge, lpips=bench.lpips)
    with pytest.raises(PackError, match="codec"):
        training.judging.JudgeTraining(other)


# -- runs ------------------------------------------------------------------------------------------


def _linear_path(path: Any, *_: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    tiny.set_linear_path(path)
    std = tiny.MOTION_COMPONENTS["autoencoder"]["wan"]["latents_std"]
    return torch.zeros(tiny.CHANNELS), torch.tensor(std)


@pytest.fixture
def recipe(training: ModuleType, monkeypatch: pytest.MonkeyPatch, fit_from_few: None) -> Any:  # noqa: ANN401
    """The recipe "mini" in the size of a tiny pack, with the stages picture and judge."""
    module = training.recipe
    sizes = ((5, 32), (1, 64), (1, 96))
    counted, coded, seen = (training.data.CropShape(frames=n, size=s) for n, s in sizes)
    small = dataclasses.replace(
        module.RECIPES["mini"],
        channels=tiny.CHANNELS,
        components=JUDGED,
        stages={
            "picture": module.StageSettings(shape=coded, batch=1, learning_rate=1e-3),
            "judge": module.StageSettings(shape=seen, batch=1, learning_rate=1e-3),
        },
        counted=counted,
    )
    trainer = training.trainer
    monkeypatch.setattr(trainer, "RECIPES", {"mini": small})
    monkeypatch.setattr(trainer, "_FIT_BATCHES", 2)
    monkeypatch.setattr(trainer, "_PICTURE_FIT", training.data.CropShape(frames=1, size=48))
    monkeypatch.setattr(trainer, "fit_linear_path", _linear_path)
    return small


@pytest.fixture
def train(training: ModuleType, recipe: Any, clips: Path, tmp_path: Path) -> Train:  # noqa: ANN401
    """Return a function that trains one step a stage in `tmp_path`/run."""

    def run(**options: Any) -> Any:  # noqa: ANN401
        seed(0)
        given = {
            "clips": [clips], "run": tmp_path / "run", "minutes": 5, "max_steps": 1,
            "device": "cpu", "threads": 1, **options,
        }  # fmt: skip
        return training.train("mini", **given)

    return run


def judge_of(pack: Path) -> dict[str, Tensor]:
    """Return the judge's weights in a pack that loads; none if it has no judge."""
    verify_pack(pack)
    manifest, file = read_manifest(pack), pack / "judge.safetensors"
    models = load_models(pack, Execution.choose("cpu"))
    there = models.descent is not None
    assert ("judge" in manifest.components) is (file.name in manifest.files) is there
    stored = load_file(file) if there else {}
    return {key: value.clone() for key, value in stored.items()}  # the file may be written anew


def is_trained(weights: Mapping[str, Tensor]) -> bool:
    """Return whether a step was made: what channels count starts as 0."""
    return any(value.any() for key, value in weights.items() if key.startswith("worth"))


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_judge_needs_a_teacher(training: ModuleType, recipe: Any, tmp_path: Path) -> None:  # noqa: ANN401
    chosen = training.trainer._chosen
    assert chosen(recipe, None, tmp_path) == ("picture", "judge")
    assert chosen(recipe, None, None) == ("picture",)
    assert chosen(recipe, [], None) == ("picture",)
    assert chosen(recipe, ["judge"], tmp_path) == ("judge",)
    assert chosen(recipe, ["picture"], tmp_path) == ("picture",)
    with pytest.raises(SourceError, match="stage judge learns from LPIPS"):
        chosen(recipe, ["picture", "judge"], None)
    with pytest.raises(SourceError, match=r"unknown stage.*stages are picture, judge"):
        chosen(recipe, ["jugde"], tmp_path)


def test_a_stage_that_cannot_run_is_refused_before_anything_is_written(
    train: Train, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="LPIPS"):
        train(stages=["judge"])
    assert not (tmp_path / "run").exists()


def test_without_a_teacher_a_pack_has_no_judge(train: Train) -> None:
    result = train()
    assert result.steps == {"picture": 1}
    assert judge_of(result.pack) == {}
    assert not [k for k in load_file(result.run / "start.safetensors") if k.startswith("judge.")]


def test_a_judge_that_learned_stays_and_is_exported(train: Train, metrics: Path) -> None:
    first = train(metrics_dir=metrics)
    assert first.steps == {"picture": 1, "judge": 1}
    stages = [json.loads(line)["stage"] for line in first.log.read_text().splitlines()]
    assert stages == ["picture", "judge"]
    learned = judge_of(first.pack)
    assert is_trained(learned)
    untaught = train(stages=["picture"])
    assert untaught.steps == {"picture": 2}
    assert equal(judge_of(untaught.pack), learned)
    again = train(stages=["judge"], metrics_dir=metrics)
    assert again.steps == {"judge": 2}
    assert not equal(judge_of(again.pack), learned)


def test_a_judge_may_join_a_run_late(train: Train, metrics: Path) -> None:
    first = train(stages=["picture"], metrics_dir=metrics)
    assert judge_of(first.pack) == {}
    before = load_file(first.run / "start.safetensors")
    second = train(stages=["judge"], metrics_dir=metrics)
    assert is_trained(judge_of(second.pack))
    after = load_file(second.run / "start.safetensors")
    assert {key for key in after if key not in before} == {
        key for key in after if key.startswith("judge.")
    }
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_a_new_run_takes_the_judge_of_the_pack_it_starts_from(
    train: Train, metrics: Path, tmp_path: Path
) -> None:
    first = train(stages=["judge"], metrics_dir=metrics)
    learned = judge_of(first.pack)
    other = train(stages=["picture"], start_from=str(first.pack), run=tmp_path / "other")
    assert equal(judge_of(other.pack), learned)
    further = train(stages=["picture"], run=tmp_path / "other")
    assert equal(judge_of(further.pack), learned)


def test_a_pack_without_a_judge_may_get_one(train: Train, metrics: Path, tmp_path: Path) -> None:
    first = train(stages=["picture"])
    run = tmp_path / "other"
    without = train(stages=["picture"], start_from=str(first.pack), run=run)
    assert judge_of(without.pack) == {}
    second = train(stages=["judge"], start_from=str(first.pack), run=run, metrics_dir=metrics)
    assert is_trained(judge_of(second.pack))


def test_a_judge_that_never_learned_is_not_exported(
    train: Train, metrics: Path, training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped before its turn leaves fresh weights at most."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.trainer, "run_stage", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(metrics_dir=metrics)
    result = train(stages=["picture"])
    assert judge_of(result.pack) == {}


def test_the_recipe_trains_the_judge_last(training: ModuleType) -> None:
    """On what the codec makes of pictures in the end; all layers see samples of half the size."""
    recipe = training.recipe.RECIPES["mini"]
    assert list(recipe.stages)[-1] == "judge"
    assert set(recipe.stages) <= set(training.trainer.STAGE_CLASSES)
    Judge(JudgeConfig(**recipe.components["judge"]))
    side = recipe.stages["judge"].shape.size // 2
    assert side * min(training.perceptual._SCALES) >= 32
