"""Training: every stage runs, resumes, logs, and leaves a pack that codes a video."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny

import gencodec
from gencodec.errors import PackError, SourceError
from gencodec.packs import read_manifest, verify_pack, write_manifest
from gencodec.progress import Progress
from gencodec.transform import dead_zone_round

STAGES = {
    "tiny": ("autoencoder", "codec", "flow", "adapter", "pixels"),
    "tiny-motion": ("autoencoder", "picture", "motion", "sequence", "flow", "adapter", "pixels"),
}
both = pytest.mark.parametrize("kind", STAGES, indirect=True)
Train = Callable[..., Any]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips and a photograph."""
    folder = tmp_path_factory.mktemp("material") / "clips"
    folder.mkdir()
    for k in range(2):
        pictures = [tiny.picture(80, 64, t, k) for t in range(9)]
        tiny.write_clip(folder / f"clip{k}.y4m", pictures)
    tiny.write_clip(folder / "still", [tiny.picture(64, 64, 0, 2)])
    (folder / "still" / "frame_000001.png").rename(folder / "still.png")
    (folder / "still").rmdir()
    return folder


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the tiny packs is trained."""
    return getattr(request, "param", "tiny")


@pytest.fixture
def recipe(
    kind: str,
    training: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """The recipe "mini" in the size of a tiny pack, and little counting."""
    module = training.recipe
    autoencoder = tiny.PACKS[kind]["autoencoder"]
    linear = {**autoencoder["linear"], "synthesis_kernel": 3}
    components = {**tiny.PACKS[kind], "autoencoder": {**autoencoder, "linear": linear}}
    shape = training.data.CropShape(frames=5, size=32)
    one = module.StageSettings(shape=shape, batch=2, learning_rate=1e-3)
    defaults = module.RECIPES["mini"].defaults
    if kind == "tiny":  # latents are not coded at half size
        defaults = dataclasses.replace(defaults, half_below=0, half_shift=0)
    small = dataclasses.replace(
        module.RECIPES["mini"],
        defaults=defaults,
        channels=tiny.CHANNELS,
        components=components,
        stages=dict.fromkeys(STAGES[kind], one),
        counted=shape,
    )
    monkeypatch.setattr(training.trainer, "RECIPES", {"mini": small})
    monkeypatch.setattr(training.trainer, "_FIT_BATCHES", 2)
    monkeypatch.setattr(training.trainer, "_FIT_BATCH", 8)
    monkeypatch.setattr(
        training.trainer, "_PICTURE_FIT", training.data.CropShape(frames=1, size=48)
    )
    if kind == "tiny-motion":  # its blocks have 12 times as many pixels: too many for a test
        request.getfixturevalue("fit_from_few")
        monkeypatch.setattr(training.trainer, "fit_linear_path", _linear_path)


def _linear_path(path: Any, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    tiny.set_linear_path(path)
    std = tiny.MOTION_COMPONENTS["autoencoder"]["wan"]["latents_std"]
    return torch.zeros(tiny.CHANNELS), torch.tensor(std)


@pytest.fixture
def train(training: ModuleType, recipe: None, clips: Path, tmp_path: Path) -> Train:
    """Return a function that trains two steps a stage in `tmp_path`/run."""

    def run(**options: Any) -> Any:  # noqa: ANN401
        torch.manual_seed(0)
        random.seed(0)
        given = {
            "clips": [clips], "run": tmp_path / "run", "minutes": 5, "max_steps": 2,
            "device": "cpu", "threads": 1, **options,
        }  # fmt: skip
        return training.train(given.pop("recipe", "mini"), **given)

    return run


def log_of(result: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [json.loads(line) for line in result.log.read_text().splitlines()]


@both
def test_all_stages_make_a_pack_that_codes(
    kind: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Progress] = []
    result = train(on_progress=told.append)
    assert result.steps == dict.fromkeys(STAGES[kind], 2)
    assert [p.frames for p in told] == [1, 2] * len(STAGES[kind])
    lines = log_of(result)
    assert [line["stage"] for line in lines] == list(STAGES[kind])
    assert all(np.isfinite(line["loss"]) and line["step"] == 2 for line in lines)
    info = verify_pack(result.pack)
    manifest = read_manifest(result.pack)
    assert (info.name, info.use) == ("mini", "research-only")
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode for path in (*result.pack.iterdir(), tmp_path / "plain")}
    assert len(modes) == 1  # as the umask says
    document = json.loads((result.pack / "pack.json").read_bytes())
    assert document["trained_on"] == ["clips"]
    std = manifest.components["autoencoder"]["wan"]["latents_std"]
    assert all(value > 0 for value in std)
    assert len(set(std)) > 1
    monkeypatch.setenv("GENCODEC_PACKS", str(result.pack))
    source = tiny.write_clip(tmp_path / "in.y4m", tiny.clip(48, 32, 7))
    coded = tmp_path / "a.gnv"
    made = gencodec.encode(
        source, coded, target=gencodec.Target(quality=63), pack=result.pack, gop=5
    )
    assert (made.groups, made.frames) == (2, 7)
    assert gencodec.verify(coded).complete
    with gencodec.open(coded) as video:
        shown = np.stack([rgb for rgb, _ in video])
    error = np.mean((shown.astype(np.float64) - np.stack(tiny.clip(48, 32, 7))) ** 2)
    assert 10 * np.log10(255**2 / error) > 15  # the linear path does it, before any training


def test_a_run_goes_on_from_its_checkpoint(train: Train) -> None:
    first = train(stages=["autoencoder", "codec"])
    assert first.steps == {"autoencoder": 2, "codec": 2}
    checkpoint = first.run / "codec.safetensors"
    before = checkpoint.read_bytes()
    second = train(stages=["codec"], max_steps=3)
    assert second.steps == {"codec": 5}
    assert checkpoint.read_bytes() != before
    assert [line["step"] for line in log_of(second)] == [2, 2, 5]
    assert not list(first.run.glob("*.partial*"))


def test_no_more_steps_change_nothing(train: Train) -> None:
    result = train(stages=["adapter"])
    start = (result.run / "start.safetensors").read_bytes()
    again = train(stages=["adapter"], max_steps=0)
    assert again.steps == {"adapter": 2}
    assert (result.run / "start.safetensors").read_bytes() == start


def test_the_minutes_are_an_end_too(train: Train) -> None:
    assert train(minutes=1e-9, max_steps=None, stages=["flow"]).steps == {"flow": 0}


@pytest.mark.parametrize(
    ("kind", "stage", "moves", "stays"),
    [
        ("tiny", "autoencoder", "autoencoder.wan.decoder", "autoencoder.linear.image_analysis"),
        ("tiny", "codec", "codec.log_steps", "autoencoder"),
        ("tiny-motion", "picture", "codec.picture.pixels", "codec.filter"),
        ("tiny-motion", "motion", "codec.filter.pixels", "codec.picture."),
        ("tiny-motion", "motion", "codec.residual_steps", "codec.picture_steps"),
        ("tiny-motion", "sequence", "codec.picture.pixels", "autoencoder"),
        ("tiny-motion", "sequence", "codec.filter.pixels", "refiner"),
        ("tiny", "flow", "refiner.wan.blocks", "refiner.wan.vace_blocks"),
        ("tiny", "adapter", "refiner.wan.vace_blocks", "refiner.wan.blocks"),
        ("tiny-motion", "adapter", "refiner.wan.vace_blocks", "codec"),
        ("tiny", "pixels", "autoencoder.wan.decoder", "codec"),
        ("tiny-motion", "pixels", "autoencoder.restorer", "autoencoder.wan"),
    ],
    indirect=["kind"],
)
def test_a_stage_trains_its_own_networks_only(
    stage: str, moves: str, stays: str, train: Train
) -> None:
    from safetensors.torch import load_file

    train(stages=[stage], max_steps=0)
    run = train(stages=[stage], max_steps=0).run
    before = load_file(run / "start.safetensors")
    after = load_file(train(stages=[stage]).run / "start.safetensors")
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert any(key.startswith(moves) for key in changed)
    assert not any(key.startswith(stays) for key in changed)
    assert all(torch.isfinite(value).all() for value in after.values())


@both
def test_a_new_run_starts_from_a_pack(kind: str, train: Train, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    stage = STAGES[kind][1]
    first = train(stages=[stage])
    second = train(stages=[stage], max_steps=0, start_from=str(first.pack), run=tmp_path / "other")
    for name in ("autoencoder", "transform", "refiner"):
        ours, theirs = (
            load_file(result.pack / f"{name}.safetensors") for result in (second, first)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name
    priors = [load_file(result.pack / "prior.safetensors") for result in (first, second)]
    for key in priors[0]:
        if not key.startswith(("tables", "hyper", "motion")):  # counted anew
            assert torch.equal(priors[0][key], priors[1][key]), key


def test_a_refiner_that_the_first_pack_lacks_is_made(
    train: Train, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(tiny_folder, folder)
    (folder / "refiner.safetensors").unlink()
    document = json.loads((folder / "pack.json").read_bytes())
    del document["files"], document["components"]["refiner"], document["pack_format"]
    write_manifest(folder, document)
    result = train(stages=["adapter"], start_from=str(folder))
    assert result.steps == {"adapter": 2}
    assert "refiner" in read_manifest(result.pack).components
    verify_pack(result.pack)


def test_wrong_wishes_are_named(train: Train, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no recipe 'maxi'; recipes are mini"):
        train(recipe="maxi")
    with pytest.raises(SourceError, match=r"unknown stage.*stages are autoencoder, codec"):
        train(stages=["codec", "cadec"])
    with pytest.raises(SourceError, match="no clips in"):
        train(clips=[tmp_path / "nothing"])
    with pytest.raises(PackError, match=r"cannot read the weights"):
        train(metrics_dir=tmp_path)


def test_clips_too_short_for_the_tables_are_refused_before_training(
    train: Train, training: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recipe = training.trainer.RECIPES["mini"]
    longer = dataclasses.replace(recipe, counted=training.data.CropShape(frames=33, size=32))
    monkeypatch.setattr(training.trainer, "RECIPES", {"mini": longer})
    with pytest.raises(SourceError, match="samples of 33 frames"):
        train(stages=["flow"])
    assert not (tmp_path / "run" / "flow.safetensors").exists()


@pytest.mark.parametrize(
    ("kind", "stage", "words"),
    [
        ("tiny", "picture", "has stage codec"),
        ("tiny", "motion", "has stage codec"),
        ("tiny", "sequence", "has stage codec"),
        ("tiny-motion", "codec", "has stages picture, motion, sequence"),
    ],
)
def test_a_stage_of_the_other_kind_of_codec_is_refused(
    kind: str, stage: str, words: str, training: ModuleType
) -> None:
    bench = training.trainer._workbench(tiny.PACKS[kind], None, None, torch.device("cpu"))
    with pytest.raises(PackError, match=words):
        training.trainer.STAGE_CLASSES[stage](bench)


def test_a_checkpoint_of_another_architecture_is_refused(train: Train) -> None:
    result = train(stages=["codec"], max_steps=0)
    shutil.copy(result.run / "codec.safetensors", result.run / "flow.safetensors")
    with pytest.raises(PackError, match=r"flow\.safetensors is of another architecture"):
        train(stages=["flow"])


def test_a_damaged_checkpoint_is_refused_in_words(train: Train) -> None:
    result = train(stages=["codec"], max_steps=0)
    (result.run / "codec.safetensors").write_bytes(b"damaged")
    with pytest.raises(PackError, match=r"codec\.safetensors"):
        train(stages=["codec"])


def test_a_step_that_is_not_finite_is_left_out(
    train: Train, training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = training.stages.LatentCodecTraining.loss
    calls = 0

    def loss(self: Any, frames: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        value, numbers = genuine(self, frames)
        return (value * float("nan") if calls == 1 else value), numbers

    monkeypatch.setattr(training.stages.LatentCodecTraining, "loss", loss)
    result = train(stages=["codec"])
    line = log_of(result)[0]
    assert line["skipped"] == 1.0
    assert np.isfinite(line["loss"])
    verify_pack(result.pack)


@pytest.mark.parametrize("frames", [1, 5, 9])
def test_a_clip_of_any_length_teaches_the_prior_something(
    frames: int, train: Train, training: ModuleType
) -> None:
    """Of the latents that are given clean, some must be left to learn."""
    result = train(stages=["flow"], max_steps=0)
    components = read_manifest(result.pack).components
    device = torch.device("cpu")
    bench = training.trainer._workbench(components, result.run, None, device)
    stage = training.stages.FlowTraining(bench)
    pixels = torch.zeros(1, 3, frames, 16, 16)
    losses = [float(stage.loss(pixels)[0].detach()) for _ in range(12)]
    assert np.isfinite(losses).all()


# -- material --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_samples(
    training: ModuleType, clips: Path, tmp_path: Path
) -> None:
    store = training.data.ClipStore([clips], tmp_path / "cache", stills_share=0.5)
    assert len(store) == 3
    shape = training.data.CropShape(frames=5, size=32)
    batches = [next(store.batches(6, shape, seed)) for seed in (1, 1, 2)]
    assert batches[0].shape == (6, 3, 5, 32, 32)
    assert batches[0].dtype == torch.uint8
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


def test_files_can_be_left_out_and_are_decoded_once(
    training: ModuleType, clips: Path, tmp_path: Path
) -> None:
    store = training.data.ClipStore([clips], tmp_path / "c", exclude=frozenset({"clip0.y4m"}))
    assert len(store) == 2
    stamp = {p: p.stat().st_mtime_ns for p in (tmp_path / "c").iterdir()}
    training.data.ClipStore([clips], tmp_path / "c", exclude=frozenset({"clip0.y4m"}))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "c").iterdir()} == stamp


def test_clips_of_the_same_name_in_two_folders_are_two_clips(
    training: ModuleType, tmp_path: Path
) -> None:
    for k in range(2):
        (tmp_path / f"{k}").mkdir()
        pictures = [tiny.picture(48, 48, t, k) for t in range(5)]
        tiny.write_clip(tmp_path / f"{k}" / "clip.y4m", pictures)
    store = training.data.ClipStore([tmp_path / "0", tmp_path / "1"], tmp_path / "cache")
    assert len(store) == 2
    assert not np.array_equal(store._clips[0], store._clips[1])


def test_material_that_is_too_small_is_refused(
    training: ModuleType, clips: Path, tmp_path: Path
) -> None:
    """Rather than searched for ever."""

    def too_long(*_: object) -> None:
        raise TimeoutError("still searching")

    store = training.data.ClipStore([clips], tmp_path / "cache")
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(2)
    try:
        with pytest.raises(SourceError, match=r"size|small|large"):
            next(store.batches(1, training.data.CropShape(frames=5, size=512), 1))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- parts -----------------------------------------------------------------------------------------


def test_rounding_in_training_is_that_of_the_encoder(training: ModuleType) -> None:
    from gencodec.transform import DEAD_ZONES
    from gencodec.transform.stage import _DEAD_ZONE, integers

    values = torch.linspace(-3, 3, 601).view(1, -1, 1, 1)
    rounded = dead_zone_round(values).symbols
    assert np.array_equal(rounded[0].numpy(), integers(values, _DEAD_ZONE))
    for zone in DEAD_ZONES:
        rounded = dead_zone_round(values, zone).symbols
        assert np.array_equal(rounded[0].numpy(), integers(values, zone))
    values.requires_grad_()
    (slope,) = torch.autograd.grad(dead_zone_round(values).symbols.sum(), values)
    assert torch.equal(slope, torch.ones_like(values))


def test_the_entropy_model_counts_about_what_the_coder_writes(
    training: ModuleType, tiny_folder: Path
) -> None:
    """On symbols as the prior expects them; the hyper symbols have tables of their own."""
    from gencodec.packs.prior import load_exact
    from gencodec.symbols import GroupEncoder

    exact = load_exact(tiny_folder)
    config = exact.prior.config
    torch.manual_seed(0)
    entropy = training.entropy.EntropyModel(config)
    entropy.prior.adopt({k: torch.from_numpy(v) for k, v in tiny.prior_arrays(config).items()})
    rng = np.random.default_rng(0)
    h, w = 12, 16
    y = np.round(rng.normal(0, 2, (config.channels, h, w))).astype(np.int64)
    z = np.zeros(config.hyper_shape((h, w)), np.int64)
    encoder = GroupEncoder(exact.prior, exact.tables, (h, w))
    encoder.encode_frame(y, z, 50)
    with torch.no_grad():
        memory = entropy.prior.start(1, h, w)
        symbols, hyper = (torch.from_numpy(each)[None].float() for each in (y, z))
        rounded = dead_zone_round(symbols)
        bits, _ = entropy.bits(memory, rounded, hyper, torch.tensor([50]), 0)
    assert float(bits) == pytest.approx(encoder.cost_bits, rel=0.05)


def test_the_slope_of_the_rate_is_what_the_next_symbol_costs(
    training: ModuleType, tiny_folder: Path
) -> None:
    from gencodec.packs.prior import load_exact

    config = load_exact(tiny_folder).prior.config
    torch.manual_seed(0)
    entropy = training.entropy.EntropyModel(config).eval()
    entropy.prior.adopt({k: torch.from_numpy(v) for k, v in tiny.prior_arrays(config).items()})
    memory = entropy.prior.start(1, 2, 2)
    hyper = torch.zeros(1, *config.hyper_shape((2, 2)))

    def bits(values: torch.Tensor) -> torch.Tensor:
        rounded = dead_zone_round(values)
        counted, _ = entropy.bits(memory, rounded, hyper, torch.tensor([50]), 0)
        return torch.sum(counted)

    at = (0, config.channels - 1, 1, 1)  # coded last: no other symbol depends on it
    for value, low, high in ((0.3, 0, 1), (0.8, 0, 1), (-0.3, -1, 0), (1.3, 1, 2), (-1.05, -1, 0)):
        values = torch.zeros(1, config.channels, 2, 2)
        values[at] = value
        values.requires_grad_()
        (slope,) = torch.autograd.grad(bits(values), values)
        below, above = torch.zeros_like(values), torch.zeros_like(values)
        below[at], above[at] = low, high
        expected = bits(above) - bits(below)
        assert float(slope[at]) == pytest.approx(float(expected.detach()), abs=1e-3)


def test_lpips_of_known_pictures(training: ModuleType) -> None:
    folder = os.environ.get("GENCODEC_METRICS_DIR")
    weights = Path(folder or "") / "squeezenet1_1_lpips.npz"
    if folder is None or not weights.exists():
        pytest.skip("no LPIPS weights: set GENCODEC_METRICS_DIR to the folder that holds them")
    lpips = training.perceptual.Lpips(weights)
    one = torch.from_numpy(tiny.picture(64, 64, 0)).permute(2, 0, 1)[None].float() / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(one, 5, 1, 2, count_include_pad=False)
    other = one.flip(3)
    with torch.no_grad():
        assert float(lpips(one, one)) == 0
        assert 0 < float(lpips(one, blurred)) < float(lpips(one, other)) < 1.5
        both = lpips(torch.cat([one, one]), torch.cat([blurred, other]))
    assert both.shape == (2,)


def test_lpips_weights_that_are_not_there(training: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"bad")
    for name in ("none.npz", "bad.npz"):
        with pytest.raises(PackError, match=r"cannot read the weights"):
            training.perceptual.Lpips(tmp_path / name)
