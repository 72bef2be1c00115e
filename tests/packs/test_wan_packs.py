"""Packs of published networks: made of a folder, found, loaded, checked against diffusers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import tiny
from tests.packs import wan_folder

import gencodec
from gencodec.errors import PackError
from gencodec.execution import Execution, without_weights
from gencodec.packs import PUBLISHED, PackInfo, find_pack, list_packs, read_manifest, verify_pack
from gencodec.packs.manifest import MANIFEST, PROMPT
from gencodec.packs.models import (
    Models,
    build_networks,
    load_generator,
    load_models,
    save_network,
)
from gencodec.packs.prompt import LENGTH, read_prompt, write_prompt
from gencodec.packs.published import TRANSFORMER_1_3B, VACE_LAYERS_1_3B
from gencodec.packs.text_encoder import embed_prompt
from gencodec.packs.wan import fetch_pack
from gencodec.refine import RefineStage

Edit = Callable[[Path], object]
X = torch.randn(2, 4, 2, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders in the Hugging Face layout; not to be changed."""
    folder = tmp_path_factory.mktemp("hub")
    return {
        "t2v": wan_folder.save(folder / "t2v", shard="20KB"),
        "vace": wan_folder.save(folder / "vace", vace=True),
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's packs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GENCODEC_PACKS", "")
    return tmp_path / "data"


@pytest.fixture
def pack(home: Path, sources: dict[str, Path]) -> PackInfo:
    """A pack of the small text-to-video networks, installed."""
    return fetch_pack("small", sources["t2v"])


def cpu(**changes: Any) -> Execution:  # noqa: ANN401
    return replace(Execution.choose("cpu"), **changes)


def refiner(folder: Path, **changes: Any) -> RefineStage:  # noqa: ANN401
    """The transformer of a pack."""
    found = load_generator(folder, cpu(**changes)).refiner
    assert found is not None
    return found


def expected(network: Any, info: PackInfo, sigma: float) -> torch.Tensor:  # noqa: ANN401
    """The velocity of diffusers' own network at X."""
    text = torch.zeros(2, LENGTH, wan_folder.TEXT_DIM)
    text[:, :1] = torch.from_numpy(read_prompt(info.path, read_manifest(info.path)))
    inputs: dict[str, Any] = {"encoder_hidden_states": text, "return_dict": False}
    if hasattr(network, "vace_blocks"):
        inputs["control_hidden_states"] = X.new_zeros(2, 6, *X.shape[2:])
        inputs["control_hidden_states_scale"] = torch.zeros(2)
    with torch.no_grad():
        result: torch.Tensor = network.eval()(X, torch.full((2,), 1000 * sigma), **inputs)[0]
    return result


def test_a_pack_links_to_the_weights_and_is_found(
    pack: PackInfo, home: Path, sources: dict[str, Path]
) -> None:
    assert pack.path == home / "gencodec" / "packs" / "small"
    assert not pack.has_codec
    assert find_pack("small") == find_pack(pack.sha256) == pack.path
    assert verify_pack(pack.path) == pack
    assert pack in list_packs()
    linked = [path for path in pack.path.glob("*/*") if path.is_symlink()]
    assert len(linked) == len(read_manifest(pack.path).files) > 3
    assert all(link.resolve().is_relative_to(sources["t2v"]) for link in linked)
    assert {path.name for path in pack.path.parent.iterdir()} == {"small"}


def test_the_identity_is_that_of_the_networks_not_of_the_embedding(
    pack: PackInfo, sources: dict[str, Path], tmp_path: Path
) -> None:
    vectors = read_prompt(pack.path, read_manifest(pack.path))
    write_prompt(pack.path, vectors + 1e-6)
    assert verify_pack(pack.path).sha256 == pack.sha256
    assert fetch_pack("small", sources["t2v"]).sha256 == pack.sha256
    shutil.copytree(sources["t2v"], tmp_path / "other")
    file = tmp_path / "other" / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["quant_conv.bias"] += 1
    save_file(weights, file)
    assert fetch_pack("small", tmp_path / "other").sha256 != pack.sha256


@pytest.mark.parametrize("kind", ["t2v", "vace"])
def test_the_velocity_is_that_of_diffusers(kind: str, home: Path, sources: dict[str, Path]) -> None:
    info = fetch_pack("small", sources[kind])
    wanted = expected(wan_folder.transformer(vace=kind == "vace"), info, 0.4)
    whole = refiner(info.path).velocity(X, 0.4)
    assert torch.allclose(whole, wanted, atol=1e-5)
    moved = refiner(info.path, room_bytes=1).velocity(X, 0.4)
    assert torch.equal(moved, whole)


def test_the_transformer_may_run_in_bfloat16(pack: PackInfo) -> None:
    halved = refiner(pack.path, dtype=torch.bfloat16)
    weights = dict(halved._model.named_parameters())
    formats = {parameter.dtype for parameter in weights.values()}
    assert formats == {torch.bfloat16, torch.float32}
    assert weights["wan.blocks.0.ffn.net.2.weight"].dtype == torch.bfloat16
    assert weights["wan.condition_embedder.time_embedder.linear_1.weight"].dtype == torch.float32
    exact = refiner(pack.path).velocity(X, 0.4)
    half = halved.velocity(X, 0.4)
    assert half.dtype == torch.float32
    error = float((half - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    assert 0 < error < 0.02


def test_odd_sizes_are_continued_by_their_edge(pack: PackInfo) -> None:
    stage = refiner(pack.path)
    odd = X[..., :5, :7]
    even = torch.nn.functional.pad(odd, (0, 1, 0, 1, 0, 0), mode="replicate")
    assert torch.equal(stage.velocity(odd, 0.4), stage.velocity(even, 0.4)[..., :5, :7])


def test_latents_are_normalised_with_the_stored_statistics(pack: PackInfo) -> None:
    rgb = np.stack(tiny.clip(24, 16, 5))
    frames = torch.from_numpy(rgb).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    with torch.no_grad():
        raw = wan_folder.autoencoder().eval().encode(frames).latent_dist.mode()[0]
    mean, std = (
        torch.tensor(wan_folder.VAE[f"latents_{name}"]).view(-1, 1, 1, 1)
        for name in ("mean", "std")
    )
    autoencoder = load_generator(pack.path, cpu()).autoencoder
    assert autoencoder.stride == 4
    assert np.allclose(autoencoder.encode(rgb), (raw - mean) / std, atol=1e-4)


def test_any_pack_lends_its_velocity(tiny_folder: Path) -> None:
    """Also one with a codec, and without what its adapter adds."""
    assert isinstance(load_generator(tiny_folder, cpu()), Models)
    stage = refiner(tiny_folder)
    x = torch.randn(1, tiny.CHANNELS, 2, 3, 4, generator=torch.Generator().manual_seed(2))
    velocity = stage.velocity(x, 0.7)
    network = stage._model
    with torch.no_grad():
        for parameter in network.adapter_parameters():
            parameter.add_(1)
    assert torch.equal(stage.velocity(x, 0.7), velocity)
    assert float(velocity.abs().max()) > 0


def test_without_codec_there_is_no_coding(
    pack: PackInfo, clip_file: Path, tmp_path: Path, gnv_bytes: bytes
) -> None:
    words = "pack small holds a generator and no codec, so gnvc-vd cannot use it"
    with pytest.raises(PackError, match=words):
        load_models(pack.path, cpu())
    with pytest.raises(PackError, match=words):
        gencodec.encode(clip_file, tmp_path / "out.gnv", pack="small")
    assert not (tmp_path / "out.gnv").exists()


def test_a_codec_learned_beside_the_networks_makes_a_pack_that_codes(
    pack: PackInfo, clip_file: Path, tmp_path: Path
) -> None:
    """With an adapter in place of the authors', tiles, and steps of refinement."""
    document = json.loads((pack.path / MANIFEST).read_bytes())
    components = document["components"]
    components["transform"] = {**tiny.COMPONENTS["transform"], "channels": 4}
    components["prior"] = {**tiny.COMPONENTS["prior"], "channels": 4}
    components["refiner"] |= {"vace_layers": [0, 2], "vace_in_channels": 4 + tiny.WIDTH}
    components["defaults"] |= {"steps": 1, "vae_tile": 6, "vae_overlap": 2, "group_frames": 9}
    networks = build_networks(components)
    for name, network in networks.items():
        tiny.fill(network, name)
    tiny.set_codec(networks["transform"])
    adapter = {
        key: value for key, value in networks["refiner"].wan.state_dict().items() if "vace" in key
    }
    save_file(adapter, pack.path / "adapter.safetensors")
    save_network(networks["transform"], pack.path, "transform")
    save_file(
        {k: torch.from_numpy(np.asarray(v)) for k, v in tiny.exact_arrays(components).items()},
        pack.path / "prior.safetensors",
    )
    manifest = gencodec.packs.write_manifest(pack.path, document)
    models = load_models(pack.path, cpu())
    assert models.refiner is not None
    weights = dict(models.refiner._model.wan.named_parameters())
    authors = wan_folder.transformer().state_dict()
    assert torch.equal(weights["blocks.1.ffn.net.2.weight"], authors["blocks.1.ffn.net.2.weight"])
    assert torch.equal(
        weights["vace_blocks.0.proj_in.weight"], adapter["vace_blocks.0.proj_in.weight"]
    )
    path = tmp_path / "out.gnv"
    gencodec.encode(clip_file, path, target=gencodec.Target(quality=30), pack="small")
    with gencodec.open(path) as video:
        header = video._decoder.reader.header
        assert header.main_pack.hex() == manifest.sha256
        assert (header.vae_tile, header.vae_overlap) == (6, 2)
        assert sum(rgb.shape == (48, 64, 3) for rgb, _ in video) == 29
    assert gencodec.decode(path, tmp_path / "out.y4m").steps == (1, 1)


# -- faults ----------------------------------------------------------------------------------------


def _retype(part: str, kind: str) -> Edit:
    def change(folder: Path) -> None:
        path = folder / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "_class_name": kind}))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: shutil.rmtree(f / "vae"), "holds no vae in the Hugging Face layout"),
        (lambda f: shutil.rmtree(f / "transformer"), "holds no transformer"),
        (lambda f: shutil.rmtree(f / "text_encoder"), "empty prompt cannot be embedded"),
        (_retype("vae", "AutoencoderKL"), "is of AutoencoderKL; a pack needs AutoencoderKLWan"),
        (_retype("transformer", "FluxTransformer2DModel"), "needs WanTransformer3DModel or"),
        (lambda f: (f / "vae" / "config.json").write_text("{"), "not the configuration"),
        (lambda f: next((f / "vae").glob("*.safetensors")).unlink(), "only weights in safetensors"),
        (lambda f: next((f / "transformer").glob("*2-of*")).unlink(), "00002.* is missing"),
        (lambda f: (f / "text_encoder" / "model.safetensors").write_bytes(b"x"), "not a UMT5"),
        (
            lambda f: (f / "text_encoder" / "config.json").write_text(
                json.dumps({**wan_folder.UMT5, "feed_forward_proj": "relu"})
            ),
            "feed_forward_proj is relu",
        ),
    ],
)
def test_a_folder_of_something_else_is_refused(
    change: Edit, words: str, home: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(sources["t2v"], folder)
    change(folder)
    with pytest.raises(PackError, match=words):
        fetch_pack("small", folder)
    assert not list((home / "gencodec" / "packs").glob("*"))


def test_a_published_name_is_kept_for_the_published_sizes(
    home: Path, sources: dict[str, Path]
) -> None:
    with pytest.raises(PackError, match=r"base_dim = 4, that of wan2\.1-1\.3b has 96"):
        fetch_pack("wan2.1-1.3b", sources["t2v"])
    with pytest.raises(PackError, match=r"no published pack 'small'; there are wan2\.1-1\.3b"):
        fetch_pack("small")
    with pytest.raises(PackError, match=r"run `gencodec models fetch wan2\.1-14b`"):
        find_pack("wan2.1-14b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.unlink(), "no embedding of the empty prompt.*models fetch small"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1]), "cannot read"),
        (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\0"), r"damaged \(SHA-256 differs\)"),
        (
            lambda p: write_prompt(p.parent, np.zeros((1, 9), np.float32)),
            "at most 512 vectors of 8",
        ),
        (lambda p: write_prompt(p.parent, np.zeros((513, 8), np.float32)), "at most 512 vectors"),
        (
            lambda p: write_prompt(p.parent, np.full((1, 8), np.nan, np.float32)),
            "damaged",
        ),
    ],
)
def test_an_embedding_that_is_missing_or_wrong_is_named(
    change: Edit, words: str, pack: PackInfo
) -> None:
    change(pack.path / PROMPT)
    for work in (verify_pack, lambda folder: load_generator(folder, cpu())):
        with pytest.raises(PackError, match=words):
            work(pack.path)


def test_the_embedding_is_computed_once(
    pack: PackInfo, sources: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(sources["t2v"], tmp_path / "less")
    shutil.rmtree(tmp_path / "less" / "text_encoder")
    before = (pack.path / PROMPT).read_bytes()
    assert fetch_pack("small", tmp_path / "less").sha256 == pack.sha256
    assert (pack.path / PROMPT).read_bytes() == before


def test_a_failed_fetch_leaves_the_installed_pack(pack: PackInfo, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no vae"):
        fetch_pack("small", tmp_path)
    assert verify_pack(pack.path) == pack


# -- the published networks ------------------------------------------------------------------------


def test_the_published_sizes_have_the_published_parameters() -> None:
    def count(sizes: dict[str, Any], kind: str) -> int:
        with without_weights():
            network = build_networks({"refiner": sizes}, ("refiner",))["refiner"]
        return sum(p.numel() for n, p in network.named_parameters() if ("vace" in n) == bool(kind))

    vace = dict(PUBLISHED["wan2.1-vace-1.3b"].transformer)
    assert vace == {**TRANSFORMER_1_3B, "vace_layers": VACE_LAYERS_1_3B, "vace_in_channels": 96}
    assert round(count(dict(TRANSFORMER_1_3B), "") / 1e9, 3) == 1.419
    assert round(count(vace, "") / 1e9, 3) == 1.419
    assert round(count(vace, "vace") / 1e9, 3) == 0.735
    assert round(count(dict(PUBLISHED["wan2.1-14b"].transformer), "") / 1e9, 1) == 14.3


def test_the_empty_prompt_is_what_transformers_makes_of_it(sources: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sources["t2v"] / "text_encoder"
    encoder = transformers.UMT5EncoderModel.from_pretrained(folder)
    with torch.no_grad():
        wanted = encoder.eval()(torch.tensor([[1]])).last_hidden_state[0]
    assert np.allclose(embed_prompt(sources["t2v"]), wanted, atol=1e-5)


def test_the_empty_prompt_has_known_numbers(sources: dict[str, Path]) -> None:
    """Those of the library, from a run of the test above."""
    found = embed_prompt(sources["t2v"])
    assert found.shape == (1, wan_folder.TEXT_DIM)
    assert np.allclose(found[0], KNOWN, atol=1e-4)


KNOWN = [0.68756, 0.38173, -0.0264, 0.43128, -0.40406, 0.2179, -2.49823, -0.52328]


def test_a_prompt_has_known_numbers(sources: dict[str, Path]) -> None:
    """Those of transformers' UMT5EncoderModel; far tokens share their bias of distance."""
    found = embed_prompt(sources["t2v"], "a red  cat sleeping " * 30)
    assert found.shape == (121, wan_folder.TEXT_DIM)
    assert np.allclose(found[[7, 120]], KNOWN_OF_TEXT, atol=1e-4)


KNOWN_OF_TEXT = [
    [-1.29025, -0.60466, 0.03055, -0.75266, -0.20333, -0.1793, 1.25426, -1.12803],
    [1.15829, 1.20167, -0.02021, 0.18072, -0.73316, 0.0483, -1.96113, 1.16603],
]
