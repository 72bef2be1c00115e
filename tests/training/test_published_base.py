"""A codec taught beside published networks: both stages, the pack, what a recipe takes."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.packs import wan_folder

import gencodec
from gencodec.packs import PackInfo, read_manifest, verify_pack
from gencodec.packs.wan import fetch_pack

SMALL = {"vace_layers": [0, 2], "vace_in_channels": 4 + tiny.WIDTH}


@pytest.fixture(params=["t2v", "vace"])
def base(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PackInfo:
    """An installed pack of small published networks, with an adapter of their own or without."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return fetch_pack("small", wan_folder.save(tmp_path / "hub", vace=request.param == "vace"))


@pytest.fixture
def recipe(training: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """The recipe of Wan in the size of those networks."""
    large = training.RECIPES["wan2.1-vace-1.3b"]
    shapes = [training.data.CropShape(frames=frames, size=16) for frames in (1, 5)]
    settings = training.recipe.StageSettings
    small = dataclasses.replace(
        large,
        base="small",
        components={
            "transform": {**tiny.COMPONENTS["transform"], "channels": 4},
            "prior": {**tiny.COMPONENTS["prior"], "channels": 4},
            "refiner": SMALL,
        },
        stages={
            "align": settings(
                shape=shapes[0], batch=2, learning_rate=1e-3, steps=3,
                curriculum=((0.6, shapes[1]),),
            ),
            "finetune": settings(shape=shapes[1], batch=1, learning_rate=1e-3, steps=2),
        },
        counted=shapes[1],
    )  # fmt: skip
    monkeypatch.setattr(training.trainer, "RECIPES", {"small": small})
    return small


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """One clip."""
    (tmp_path / "clips").mkdir()
    tiny.write_clip(tmp_path / "clips" / "a.y4m", [tiny.picture(48, 32, t, 0) for t in range(9)])
    return tmp_path / "clips"


def test_both_stages_make_a_pack_that_codes(
    base: PackInfo,
    recipe: Any,  # noqa: ANN401
    clips: Path,
    training: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And leave the published networks as they were."""
    given = {"clips": [clips], "run": tmp_path / "run", "minutes": 5, "device": "cpu"}
    result = training.train("small", **given)
    assert result.steps == {"align": 3, "finetune": 2}
    lines = [json.loads(line) for line in result.log.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 2]
    assert {"matching", "refined", "bpp"} <= lines[0].keys()
    assert training.train("small", **given).steps == result.steps  # done is done
    info, manifest = verify_pack(result.pack), read_manifest(result.pack)
    assert info.has_codec
    assert manifest.components["refiner"]["num_layers"] == wan_folder.TRANSFORMER["num_layers"]
    theirs = read_manifest(base.path).files
    assert {name: manifest.files[name] for name in theirs} == theirs
    adapter = load_file(result.pack / "adapter.safetensors")
    assert all(key.startswith("vace_") for key in adapter)
    assert float(adapter["vace_blocks.1.proj_out.weight"].abs().max()) > 0
    monkeypatch.setenv("GENCODEC_PACKS", str(result.pack))
    coded = tmp_path / "a.gnv"
    made = gencodec.encode(
        clips / "a.y4m", coded, target=gencodec.Target(quality=30), pack=result.pack, gop=5,
        defaults={"search_refinement": False},
    )  # fmt: skip
    assert (made.groups, made.frames) == (2, 9)
    assert gencodec.decode(coded, tmp_path / "a.y4m").steps == (1, 1)


@pytest.mark.parametrize("base", ["t2v"], indirect=True)
def test_a_new_adapter_copies_blocks_and_says_nothing(
    base: PackInfo,
    recipe: Any,  # noqa: ANN401
    training: ModuleType,
) -> None:
    components = training.base.based_components(base.path, recipe.components)
    refiner = training.base.based_networks(base.path, components)["refiner"]
    state = refiner.wan.state_dict()
    for index, layer in enumerate(SMALL["vace_layers"]):  # type: ignore[arg-type, var-annotated]
        for part in ("attn1.to_q.weight", "ffn.net.2.bias", "scale_shift_table"):
            assert torch.equal(
                state[f"vace_blocks.{index}.{part}"], state[f"blocks.{layer}.{part}"]
            )
    x, sigma = torch.randn(1, 4, 2, 4, 4), torch.tensor([0.4])
    condition = torch.randn(1, 4 + tiny.WIDTH, 2, 4, 4)
    with torch.no_grad():
        assert torch.allclose(refiner(x, sigma, condition), refiner(x, sigma, None), atol=1e-6)


@pytest.mark.parametrize("gradient", ["all", "last", "cut"])
def test_the_gradient_passes_as_many_steps_as_configured(
    gradient: str, training: ModuleType
) -> None:
    calls = []

    class Flow(torch.nn.Module):
        def forward(self, x: torch.Tensor, sigma: torch.Tensor, _: Any) -> torch.Tensor:  # noqa: ANN401
            calls.append((torch.is_grad_enabled(), round(float(sigma[0]), 3)))
            return scale * x

    scale = torch.ones((), requires_grad=True)
    start = torch.ones(1, 1, 1, 1, 1, requires_grad=True)
    settings = training.recipe.Refinement(steps=(4,), gradient=gradient)
    level = torch.full((1, 1, 1, 1, 1), 0.4)
    made = training.joint.sample(Flow(), start, level, None, settings)
    made.sum().backward()
    assert float(made.detach()) == pytest.approx(0.9**4)
    assert [sigma for _, sigma in calls] == [0.4, 0.3, 0.2, 0.1]
    passed = {"all": 4, "last": 1, "cut": 0}[gradient]
    assert [grad for grad, _ in calls] == [False] * (4 - passed) + [True] * passed
    assert (scale.grad is None) == (gradient == "cut")
    if gradient == "cut":
        assert start.grad is not None
        assert float(start.grad) == 1


def test_a_curriculum_grows_with_the_stage(training: ModuleType) -> None:
    align = training.RECIPES["wan2.1-vace-1.3b"].stages["align"]
    frames = [align.shape_at(share).frames for share in (0, 0.39, 0.4, 0.69, 0.7, 1)]
    assert frames == [5, 5, 9, 9, 13, 13]
    assert [shape.frames for shape in align.shapes] == [5, 9, 13]


@pytest.mark.parametrize("name", ["mini", "wan2.1-vace-1.3b"])
def test_every_stage_of_every_recipe_says_what_it_takes(name: str, training: ModuleType) -> None:
    module = importlib.import_module("gencodec.training.costs")
    recipe = training.RECIPES[name]
    found = module.estimate(recipe)
    assert [stage.stage for stage in found] == list(recipe.stages)
    for stage in found:
        assert stage.trained > 0


def test_a_recipe_says_what_it_takes(
    recipe: Any,  # noqa: ANN401
    training: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = importlib.import_module("gencodec.training.costs")
    published = dataclasses.replace(
        module.PUBLISHED["wan2.1-1.3b"], transformer=wan_folder.TRANSFORMER
    )
    monkeypatch.setattr(module, "PUBLISHED", {"small": published})
    monkeypatch.setattr(module, "VAE", {**wan_folder.VAE})
    one, two = (module.estimate(recipe, count) for count in (1, 2))
    assert [stage.stage for stage in one] == ["align", "finetune"]
    for stage, shared in zip(one, two, strict=True):
        assert stage.trained > 0
        assert stage.trained == one[0].trained
        assert stage.frozen > stage.trained / 4
        assert stage.hours is not None
        assert shared.hours == pytest.approx(stage.hours / 2)
        assert 0 < shared.memory_bytes < stage.memory_bytes
    kept = dataclasses.replace(recipe, checkpointing=False)
    assert module.estimate(kept)[0].memory_bytes > one[0].memory_bytes
