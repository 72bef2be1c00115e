"""Packs with a judge: loaded for encoders to ask, checked as any other part."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from gencodec.descent import Judge, JudgeConfig, PictureDescent
from gencodec.errors import PackError
from gencodec.execution import Execution
from gencodec.group_coder import GroupCoder
from gencodec.packs import read_manifest, verify_pack, write_manifest
from gencodec.packs.manifest import MANIFEST
from gencodec.packs.models import Models, load_models, load_networks, save_network

FILE = "judge.safetensors"


@pytest.fixture
def pack(judged_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed."""
    shutil.copytree(judged_folder, tmp_path / "pack")
    return tmp_path / "pack"


def edit(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change the components and bring the manifest's hashes up to date."""
    document = json.loads((folder / MANIFEST).read_bytes())
    change(document["components"])
    write_manifest(folder, document)


def loaded(folder: Path) -> Models:
    return load_models(folder, Execution.choose("cpu"))


def test_a_judge_is_a_part_of_its_pack(judged_folder: Path, motion_models: Models) -> None:
    manifest = read_manifest(judged_folder)
    assert FILE in manifest.files
    assert manifest.sha256 != motion_models.manifest.sha256
    verify_pack(judged_folder)
    models = loaded(judged_folder)
    assert isinstance(models.descent, PictureDescent)
    assert motion_models.descent is None
    judge = load_networks(judged_folder, parts=["judge"])
    assert list(judge) == ["judge"]
    assert isinstance(judge["judge"], Judge)
    assert "judge" not in load_networks(judged_folder, parts=["transform"])


def test_what_was_written_is_what_encoders_ask(judged_folder: Path) -> None:
    stored = load_networks(judged_folder, parts=["judge"])["judge"].state_dict()
    models = loaded(judged_folder)
    assert models.descent is not None
    asked = models.descent.judge
    assert not asked.training
    assert not any(p.requires_grad for p in asked.parameters())
    found = asked.state_dict()
    assert found.keys() == stored.keys()
    for key, value in found.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[key])
    written = Judge(JudgeConfig(squeezed=[2] * 7))
    tiny.fill(written, "judge")
    for key, value in written.state_dict().items():
        assert torch.equal(value.half().float(), found[key])


def test_an_encoder_descends_only_if_it_is_asked_to(judged_folder: Path) -> None:
    assert not GroupCoder(loaded(judged_folder)).descends(40)


@pytest.mark.parametrize("fresh", [False, True], ids=["old hashes", "new hashes"])
def test_a_judge_that_is_missing_is_named(fresh: bool, pack: Path) -> None:
    (pack / FILE).unlink()
    if fresh:
        edit(pack)
    with pytest.raises(PackError, match=r"cannot read .*judge\.safetensors"):
        loaded(pack)


@pytest.mark.parametrize("fresh", [False, True], ids=["old hashes", "new hashes"])
@pytest.mark.parametrize("length", [1, 7, 100, -1])
def test_a_judge_that_is_cut_off_is_named(length: int, fresh: bool, pack: Path) -> None:
    data = (pack / FILE).read_bytes()
    (pack / FILE).write_bytes(data[:length])
    if fresh:
        edit(pack)
    with pytest.raises(PackError, match=r"judge\.safetensors"):
        loaded(pack)


def test_a_judge_that_was_changed_is_named(pack: Path) -> None:
    data = bytearray((pack / FILE).read_bytes())
    data[-1] ^= 1
    (pack / FILE).write_bytes(data)
    with pytest.raises(PackError, match=r"judge\.safetensors is damaged"):
        loaded(pack)


@pytest.mark.parametrize("squeezed", [[3] * 7, [2, 2, 2, 2, 2, 2, 3]])
def test_a_judge_of_another_shape_is_named(squeezed: list[int], pack: Path) -> None:
    save_network(Judge(JudgeConfig(squeezed=squeezed)), pack, "judge")
    edit(pack)
    with pytest.raises(PackError, match=r"judge\.safetensors does not fit"):
        loaded(pack)
    edit(pack, lambda parts: parts["judge"].update(squeezed=squeezed))
    assert loaded(pack).descent is not None


@pytest.mark.parametrize("name", ["first.weight", "fires.6.around.bias", "worth.0"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_judge_that_is_not_finite_is_named(name: str, value: float, pack: Path) -> None:
    judge = load_networks(pack, parts=["judge"])["judge"]
    with torch.no_grad():
        judge.get_parameter(name).view(-1)[-1] = value
    save_network(judge, pack, "judge")
    edit(pack)
    with pytest.raises(PackError, match=r"judge\.safetensors holds weights that are not finite"):
        loaded(pack)


@pytest.mark.parametrize(
    "component", [{"squeezed": [2] * 6}, {"squeezed": 2}, {"width": 3}, {"squeezed": ["2"] * 7}]
)
def test_a_judge_that_cannot_be_built_is_refused(component: dict[str, Any], pack: Path) -> None:
    edit(pack, lambda parts: parts.update(judge=component))
    with pytest.raises(PackError, match="unusable architecture"):
        loaded(pack)


def test_a_file_that_no_component_names_is_no_judge(pack: Path) -> None:
    edit(pack, lambda parts: parts.pop("judge"))
    assert loaded(pack).descent is None


def test_a_latent_codec_has_no_use_for_a_judge(tiny_folder: Path, tmp_path: Path) -> None:
    """There is no picture to descend on."""
    folder = tmp_path / "pack"
    shutil.copytree(tiny_folder, folder)
    judge = Judge(JudgeConfig(squeezed=[2] * 7))
    save_network(judge, folder, "judge")
    edit(folder, lambda parts: parts.update(judge={"squeezed": [2] * 7}))
    with pytest.raises(PackError, match="judge"):
        loaded(folder)
