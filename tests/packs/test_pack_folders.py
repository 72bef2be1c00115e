"""Packs: written, found, checked, loaded; every fault is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from tests import tiny

from gencodec.errors import PackError
from gencodec.execution import Execution
from gencodec.packs import find_pack, list_packs, read_manifest, verify_pack, write_manifest
from gencodec.packs.defaults import Defaults
from gencodec.packs.manifest import MANIFEST, canonical
from gencodec.packs.models import load_models, load_networks
from gencodec.packs.prior import load_exact
from gencodec.tiles import TilePlan

FILES = {"autoencoder", "prior", "refiner", "transform"}
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def pack(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny pack that may be harmed."""
    shutil.copytree(tiny_folder, tmp_path / "pack")
    return tmp_path / "pack"


def edit(folder: Path, change: Edit) -> None:
    """Change the manifest and bring its hashes up to date."""
    document = json.loads((folder / MANIFEST).read_bytes())
    change(document)
    write_manifest(folder, document)


def cpu() -> Execution:
    return Execution.choose("cpu")


def test_a_pack_is_small_and_says_what_it_is(tiny_folder: Path) -> None:
    info = verify_pack(tiny_folder)
    assert (info.name, info.version, info.use) == ("tiny", "1", "any")
    assert info.bytes == sum(p.stat().st_size for p in tiny_folder.glob("*.safetensors")) < 300_000
    manifest = read_manifest(tiny_folder)
    assert set(manifest.files) == {f"{name}.safetensors" for name in FILES}
    assert manifest.latent_stride == tiny.STRIDE == load_exact(tiny_folder).stride


def test_the_identity_covers_files_and_architecture_not_layout(pack: Path) -> None:
    before = read_manifest(pack).sha256
    document = json.loads((pack / MANIFEST).read_bytes())
    (pack / MANIFEST).write_text(json.dumps(document, indent=7))
    assert read_manifest(pack).sha256 == before
    edit(pack, lambda d: d["components"]["defaults"].update(steps=3))
    assert read_manifest(pack).sha256 != before
    edit(pack, lambda d: d["components"]["defaults"].update(steps=1))
    assert read_manifest(pack).sha256 == before
    arrays = tiny.exact_arrays()
    arrays["state.bias"][0] += 1
    save_file(arrays, pack / "prior.safetensors")
    edit(pack, lambda d: None)
    assert read_manifest(pack).sha256 != before


def test_the_canonical_form_is_the_documented_one() -> None:
    assert canonical({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'.encode()
    with pytest.raises(ValueError, match=r"nan|JSON"):
        canonical({"a": float("nan")})


def test_packs_are_found_by_name_folder_and_identity(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GENCODEC_PACKS", "")
    sha256 = read_manifest(tiny_folder).sha256
    assert find_pack(tiny_folder) == find_pack(str(tiny_folder)) == tiny_folder
    with pytest.raises(PackError, match="tiny is not installed"):
        find_pack("tiny")
    assert find_pack("tiny", [tiny_folder]) == tiny_folder
    assert find_pack(sha256, [tiny_folder.parent]) == tiny_folder
    home = tmp_path / "data" / "gencodec" / "packs" / "copy"
    shutil.copytree(tiny_folder, home)
    assert find_pack("tiny") == find_pack(sha256) == home
    monkeypatch.setenv("GENCODEC_PACKS", f"/no/such:{tiny_folder}")
    assert find_pack("tiny") == tiny_folder
    assert [info.path for info in list_packs() if info.name == "tiny"] == [tiny_folder]


def test_an_unreadable_pack_does_not_hide_the_others(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / MANIFEST).write_text("{")
    shutil.copytree(tiny_folder, tmp_path / "b")
    assert find_pack("tiny", [tmp_path]) == tmp_path / "b"


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_or_missing_file_is_named(name: str, pack: Path) -> None:
    path = pack / f"{name}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for work in (verify_pack, load_exact, lambda folder: load_models(folder, cpu())):
        with pytest.raises(PackError, match=rf"{name}\.safetensors is damaged"):
            work(pack)
    path.write_bytes(data[:-1])
    with pytest.raises(PackError, match="install it again"):
        verify_pack(pack)
    path.unlink()
    with pytest.raises(PackError, match="cannot read"):
        load_models(pack, cpu())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON|not a pack"),
        (b"[]", "not a pack manifest"),
        (b"{}", "not a pack manifest"),
        (b"\xff", "not JSON"),
        (b'{"pack_format": 2}', "pack format 2"),
        (b" " * (1 << 20) + b"{}", "larger than"),
    ],
)
def test_a_manifest_that_is_none(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(PackError, match=words):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["files"].update({"../x": d["files"]["prior.safetensors"]}), "plain name"),
        (lambda d: d["files"].update({"x": {"sha256": "ab", "bytes": 1}}), "SHA-256"),
        (lambda d: d["files"]["prior.safetensors"].update(bytes=0), "0 bytes"),
        (lambda d: d["files"]["prior.safetensors"].update(bytes="many"), "many"),
        (lambda d: d.pop("licence"), "licence"),
        (lambda d: d.update(components=3), "not a pack manifest"),
        (lambda d: d.update(files=[]), "not a pack manifest"),
    ],
)
def test_a_manifest_with_a_fault_is_refused(change: Edit, words: str, pack: Path) -> None:
    document = json.loads((pack / MANIFEST).read_bytes())
    change(document)
    (pack / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(PackError, match=words):
        read_manifest(pack)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["prior"].update(scales=25), "radii"),
        (lambda c: c["prior"].update(hidden=13), "prior array"),
        (lambda c: c["prior"].update(colour=1), "unusable prior"),
        (lambda c: c["prior"].update(channels="8"), "channels"),
        (lambda c: c["transform"].update(width=9), "does not fit"),
        (lambda c: c["transform"].update(colour=1), "unusable architecture"),
        (lambda c: c["transform"].update(kind="wavelet"), "unknown kind of transform 'wavelet'"),
        (lambda c: c["transform"].update(kind="motion"), "unusable architecture"),
        (lambda c: c["autoencoder"]["wan"].update(base_dim=8), "does not fit"),
        (lambda c: c["autoencoder"]["linear"].update(size=8), "unusable architecture"),
        (lambda c: c["autoencoder"].pop("wan"), "describes no autoencoder|unusable"),
        (lambda c: c["refiner"].update(num_layers=3), "does not fit"),
        (lambda c: c["defaults"].update(steps_=3), "unusable defaults"),
        (lambda c: c.pop("defaults"), "unusable defaults"),
        (lambda c: c.pop("prior"), "unusable prior"),
        (lambda c: c.pop("transform"), "unusable architecture"),
    ],
)
def test_an_architecture_that_does_not_fit_is_refused(change: Edit, words: str, pack: Path) -> None:
    edit(pack, lambda document: change(document["components"]))
    with pytest.raises(PackError, match=words):
        load_models(pack, cpu())


def test_parts_that_do_not_fit_one_another_are_refused(pack: Path) -> None:
    """A transform of other channels than the prior codes, or than the autoencoder makes."""
    from gencodec.packs.models import build_networks, save_network

    document = json.loads((pack / MANIFEST).read_bytes())
    components = document["components"]
    components["transform"]["channels"] = 6
    save_network(build_networks(components)["transform"], pack, "transform")
    edit(pack, lambda d: d.update(components=components))
    with pytest.raises(PackError, match="channels"):
        load_models(pack, cpu())


@pytest.mark.parametrize("linear", [None, tiny.COMPONENTS["autoencoder"]["linear"]])
def test_a_motion_codec_needs_a_linear_path_of_its_own_stride(
    linear: Any,  # noqa: ANN401
    motion_folder: Path,
    tmp_path: Path,
) -> None:
    """Of 16 pixels, as the autoencoder."""
    from gencodec.packs.models import build_networks, save_network

    folder = tmp_path / "pack"
    shutil.copytree(motion_folder, folder)
    wan = tiny.COMPONENTS["autoencoder"]["wan"]
    components = {**tiny.MOTION_COMPONENTS, "autoencoder": {"wan": wan, "linear": linear}}
    save_network(build_networks(components)["autoencoder"], folder, "autoencoder")
    edit(folder, lambda d: d["components"].update(components))
    with pytest.raises(PackError, match="stride of linear path and motion codec differ"):
        load_models(folder, cpu())


@pytest.mark.parametrize(("kind", "motion"), [("pack", True), ("motion", False)])
def test_motion_is_for_a_motion_codec_and_its_prior_together(
    kind: str, motion: bool, pack: Path, motion_folder: Path, tmp_path: Path
) -> None:
    folder = pack
    if kind == "motion":
        folder = tmp_path / "motion"
        shutil.copytree(motion_folder, folder)
    edit(folder, lambda d: d["components"]["prior"].update(motion=motion))
    with pytest.raises(PackError, match="motion"):
        load_models(folder, cpu())


def test_weights_that_are_not_finite_are_refused(pack: Path) -> None:
    from gencodec.packs.models import save_network

    network = load_networks(pack)["transform"]
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    save_network(network, pack, "transform")
    edit(pack, lambda d: None)
    with pytest.raises(PackError, match="not finite"):
        load_models(pack, cpu())


@torch.no_grad()
def test_weights_without_effect_are_not_stored(pack: Path, tmp_path: Path) -> None:
    """What asks for one text vector gets it, whatever it asks; of two it makes a difference."""
    from gencodec.packs.models import save_network
    from gencodec.refine import VelocityModel

    torch.manual_seed(0)
    network = VelocityModel(tiny.COMPONENTS["refiner"]).eval()
    latents, sigma = torch.randn(1, tiny.CHANNELS, 1, 4, 4), torch.tensor([0.5])
    save_network(network, pack, "refiner")
    edit(pack, lambda d: None)
    stored = load_file(pack / "refiner.safetensors")
    assert not [key for key in stored if "attn2.to_q" in key or "attn2.norm_k" in key]
    loaded = load_networks(pack)["refiner"]
    assert torch.allclose(loaded(latents, sigma, None), network(latents, sigma, None), atol=1e-2)
    asked = VelocityModel(tiny.COMPONENTS["refiner"], prompt_length=2)
    save_network(asked, tmp_path, "all")
    assert len(load_file(tmp_path / "all.safetensors")) == len(asked.state_dict())


def test_a_pack_without_a_refiner_codes_without_steps(pack: Path) -> None:
    from gencodec.group_coder import GroupCoder

    (pack / "refiner.safetensors").unlink()
    edit(pack, lambda d: d["components"].pop("refiner"))
    models = load_models(pack, cpu())
    assert models.refiner is None
    latents = np.zeros((tiny.CHANNELS, 2, 3, 4), np.float32)
    assert GroupCoder(models).encode(latents, 30).block.steps == 0


def test_weights_are_stored_in_half_precision_and_load_in_single(tiny_folder: Path) -> None:
    from safetensors.torch import load_file

    stored = load_file(tiny_folder / "transform.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    loaded = load_networks(tiny_folder)["transform"].state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    assert all(torch.equal(value.half(), stored[key]) for key, value in loaded.items())


def test_the_same_pack_is_written_every_time(tiny_folder: Path, tmp_path: Path) -> None:
    assert tiny.write_pack(tmp_path / "again").sha256 == read_manifest(tiny_folder).sha256


def test_defaults_become_windows() -> None:
    defaults = Defaults(tile_frames=3, tile_size=40, tile_overlap=5)
    plan = defaults.tiles
    assert (plan.frames, plan.size, plan.overlap) == (3, 40, 5)
    assert defaults.prior_tiles == plan
    defaults = replace(defaults, prior_frames=9)
    assert defaults.prior_tiles == TilePlan(frames=9, size=40, overlap=5)
    assert Defaults(**asdict(defaults)) == defaults


@pytest.mark.parametrize(
    ("latents", "pairs"), [(1, -2), (2, -1), (4, 1), (16, 6), (33, 8), (2**20, 13)]
)
def test_the_longer_a_group_the_better_its_anchor(latents: int, pairs: int) -> None:
    """Within what a file can say, -2 to 13."""
    assert Defaults(anchor_offset=-7, anchor_doubling=4.5).anchor_pairs(latents) == pairs


def test_a_pack_may_leave_the_anchor_as_it_is() -> None:
    assert {Defaults().anchor_pairs(latents) for latents in (1, 5, 33)} == {0}
