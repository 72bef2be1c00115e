"""GVC with packs of published networks: no codec, their authors' files, nothing trained."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny
from tests.packs import wan_folder

import gencodec
from gencodec import GvcSettings
from gencodec.container import Reader
from gencodec.decoding import Decoder
from gencodec.errors import PackError, UsageError
from gencodec.execution import Execution
from gencodec.packs import PackInfo, find_pack, read_manifest
from gencodec.packs.models import Models, load_generator
from gencodec.packs.prompt import packed_vectors, read_vectors
from gencodec.packs.text import embed
from gencodec.packs.wan import fetch_pack
from gencodec.tiles import TilePlan

FRAMES, SIZE = 9, (40, 48)
Command = Callable[..., tuple[int, bytes, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the Hugging Face layout; not to be changed."""
    return wan_folder.save(tmp_path_factory.mktemp("hub") / "small")


@pytest.fixture
def pack(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackInfo:
    """A pack of the small networks, installed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GENCODEC_PACKS", "")
    return fetch_pack("small", folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = tiny.clip(SIZE[1], SIZE[0], FRAMES)
    return tiny.write_clip(tmp_path_factory.mktemp("clips") / "clip.y4m", pictures)


def coded(
    clip: Path,
    variant: str = "t2v",
    prompt: str = "",
    pack: str | Path = "small",
    **changes: Any,  # noqa: ANN401
) -> bytes:
    stream = io.BytesIO()
    settings = GvcSettings(variant=variant, steps=5, codebook=512, atoms=16, prompt=prompt)
    gencodec.encode(clip, stream, gop=5, pack=pack, gvc=settings, **changes)
    return stream.getvalue()


def shown(data: bytes, **changes: Any) -> NDArray[np.uint8]:  # noqa: ANN401
    execution = replace(Execution.choose("cpu"), **changes)
    decoder = Decoder(io.BytesIO(data), execution)
    return np.stack([frame.rgb for frame in decoder.frames(decoder.records(None, None))])


def test_the_command_plans_encodes_and_decodes(
    command: Command, clip: Path, pack: PackInfo, tmp_path: Path
) -> None:
    output = tmp_path / "out.gnv"
    given = ["encode", clip, "-o", output, "--pack", "small", "--profile", "gvc-t2v"]
    given += ["--steps", "5", "--atoms", "16", "--gop", "9", "--progress", "off"]
    code, out, err = command(*given, "--dry-run", "--json")
    assert code == 0, err
    plan = json.loads(out)
    assert command(*given)[0] == 0
    assert plan["bytes"] == output.stat().st_size
    weights = sum(p.nbytes for p in wan_folder.transformer().parameters())
    assert (plan["transformer_bytes"], plan["offloaded"]) == (weights, False)
    assert plan["encode_seconds"] > plan["sampling_seconds"] > 0
    assert plan["decode_seconds"] > plan["sampling_seconds"]
    _, _, err = command(*given, "--dry-run")
    assert "transformer of" in err
    assert command("verify", output)[0] == 0
    code, out, _ = command("info", output)
    assert b"profile gvc-t2v" in out
    assert b"small" in out
    assert command("decode", output, "-o", tmp_path / "out.mkv", "--progress", "off")[0] == 0


@pytest.mark.parametrize("variant", ["i2v", "flf2v"])
def test_reference_pictures_are_coded_by_the_embedded_pack(
    variant: str, clip: Path, pack: PackInfo
) -> None:
    data = coded(clip, variant, target=gencodec.Target(bpp=1))
    header = Reader(io.BytesIO(data)).header
    assert header.main_pack.hex() == pack.sha256
    assert find_pack(header.reference_pack.hex()) == find_pack("mini")
    assert gencodec.verify(io.BytesIO(data)).complete
    assert shown(data).shape == (FRAMES, *SIZE, 3)


def test_a_device_short_of_memory_shows_the_same(clip: Path, pack: PackInfo) -> None:
    """Blocks of the transformer visit it one by one; the autoencoder's tiles are in the file."""
    data = coded(clip, defaults={"vae_tile": 6, "vae_overlap": 2})
    header = Reader(io.BytesIO(data)).header
    assert (header.vae_tile, header.vae_overlap) == (6, 2)
    generator = load_generator(pack.path, replace(Execution.choose("cpu"), room_bytes=1))
    assert generator.refiner is not None
    assert generator.refiner.offloaded
    assert np.array_equal(shown(data, room_bytes=1), shown(data))
    assert not np.array_equal(shown(data), shown(coded(clip)))


def test_authors_networks_see_known_frames_as_noisy_as_others(
    pack: PackInfo, tiny_models: Models
) -> None:
    generator = load_generator(pack.path, Execution.choose("cpu"))
    assert not generator.flow(TilePlan()).takes_clean
    assert tiny_models.flow(TilePlan()).takes_clean


def test_without_codec_the_other_coder_is_named(clip: Path, pack: PackInfo, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="take --profile gvc-t2v"):
        gencodec.encode(clip, tmp_path / "out.gnv", pack="small")


def test_a_folder_that_is_no_pack_yet_says_how_to_make_one(folder: Path) -> None:
    for given in (str(folder), folder):
        with pytest.raises(PackError, match=r"models fetch NAME --from .*small"):
            find_pack(given)


def test_bfloat16_is_what_a_gpu_runs_the_transformer_in(clip: Path, pack: PackInfo) -> None:
    data = coded(clip)
    exact, half = shown(data), shown(data, dtype=torch.bfloat16)
    assert not np.array_equal(exact, half)
    assert np.abs(exact.astype(float) - half).mean() < 2


# -- prompts ---------------------------------------------------------------------------------------


def test_a_prompt_is_in_the_file_and_steers_both_sides(
    command: Command, clip: Path, pack: PackInfo, tmp_path: Path
) -> None:
    output = tmp_path / "out.gnv"
    given = ["--pack", "small", "--profile", "gvc-t2v", "--steps", "5", "--atoms", "16"]
    given += ["--gop", "5", "--codebook", "512", "--progress", "off", "--prompt", "a red cat"]
    code, _, err = command("encode", clip, "-o", output, *given)
    assert code == 0, err
    assert b"prompt   a red cat" in command("info", output)[1]
    assert json.loads(command("info", output, "--json")[1])["prompt"] == "a red cat"
    data, without = output.read_bytes(), coded(clip)
    output.write_bytes(without)
    assert b"prompt" not in command("info", output)[1]
    header = Reader(io.BytesIO(data)).header
    assert len(header.to_bytes()) - len(Reader(io.BytesIO(without)).header.to_bytes()) == 10
    assert not np.array_equal(shown(data), shown(without))
    assert np.array_equal(shown(data), shown(data))


def test_the_text_encoder_is_asked_once(clip: Path, pack: PackInfo) -> None:
    data = coded(clip, prompt="a red cat")
    for part in ("text_encoder", "tokenizer"):
        (pack.path / part).unlink()
    assert gencodec.packs.verify_pack(pack.path).sha256 == pack.sha256
    assert shown(data).shape == (FRAMES, *SIZE, 3)
    with pytest.raises(PackError, match="no text encoder for the prompt 'a dog'; run `gencodec mo"):
        coded(clip, prompt="a dog")


def test_a_prompt_of_another_model_is_refused(clip: Path, pack: PackInfo) -> None:
    data = coded(clip, prompt="a red cat")
    (kept,) = (pack.path / "prompts").iterdir()
    vectors, meta = read_vectors(kept, read_manifest(pack.path))
    for wrong, words in (
        ({"pack": "0" * 64}, "for pack 000000000000, not 'a red cat' for small"),
        ({"text": "a dog"}, "is the prompt 'a dog'"),
    ):
        kept.write_bytes(packed_vectors(vectors, {**meta, **wrong}))
        with pytest.raises(PackError, match=words):
            shown(data)
    kept.write_bytes(packed_vectors(vectors[:, :5], meta))
    with pytest.raises(PackError, match="at most 512 vectors of 8"):
        shown(data)
    kept.write_bytes(kept.read_bytes()[:-3])
    with pytest.raises(PackError, match="cannot read"):
        shown(data)


def test_a_pack_that_reads_no_text_says_so(clip: Path, tiny_folder: Path) -> None:
    with pytest.raises(PackError, match=r"pack tiny reads no text.*such as wan2"):
        coded(clip, prompt="a red cat", pack=tiny_folder)


@pytest.mark.parametrize(
    ("text", "words", "kind"),
    [
        ("a " * 512, "has 513 tokens, must be at most 512", UsageError),
        ("broken", "holds no usable tokenizer.json", PackError),
    ],
)
def test_a_prompt_that_cannot_be_embedded(
    text: str, words: str, kind: type[Exception], pack: PackInfo, folder: Path, tmp_path: Path
) -> None:
    if text == "broken":
        (tmp_path / "tokenizer").mkdir()
        (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
        (pack.path / "tokenizer").unlink()
        (pack.path / "tokenizer").symlink_to(tmp_path / "tokenizer")
    with pytest.raises(kind, match=words):
        embed(pack.path, read_manifest(pack.path), text)
    assert not (pack.path / "prompts").exists()


def test_a_prompt_fits_the_header() -> None:
    with pytest.raises(UsageError, match="bytes of the prompt is 1001, must be 0 to 1000"):
        GvcSettings(prompt="é" * 500 + "a")
