"""The determinism boundary: no float of a pack, no thread count and no version reaches a symbol.

Design, line 1: a probability depends on integers only. So every float weight and float result of a
decoder may be garbage, and the decoded symbols stay the same, bit for bit.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tests import tiny

from gencodec import group_coder
from gencodec.container import GroupRecord, Reader
from gencodec.decoding import Decoder
from gencodec.errors import FormatError
from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.group_coder import GroupCoder
from gencodec.latents import AutoencoderStage
from gencodec.packs import read_manifest
from gencodec.packs.models import (
    AUTOENCODER,
    REFINER,
    TRANSFORM,
    Models,
    load_models,
    load_networks,
)
from gencodec.packs.prior import load_exact
from gencodec.refine import RefineStage
from gencodec.symbols import GroupDecoder, Prior, PriorConfig
from gencodec.transform import LatentCodec, LatentStage, MotionStage

if TYPE_CHECKING:
    from gencodec.training.prior import TrainablePrior

FLOATS = (AUTOENCODER, TRANSFORM, REFINER)
Change = Callable[[torch.Tensor], torch.Tensor]
Symbols = list[tuple[NDArray[np.int16], NDArray[np.int16]]]


def records(data: bytes) -> list[GroupRecord]:
    return list(Reader(BytesIO(data)).groups())


def nudge(tensor: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(tensor.shape, generator=generator) * 2e-3 - 1e-3
    return (tensor.float() + noise).to(tensor.dtype)


def garbage(tensor: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return (torch.rand(tensor.shape, generator=generator) * 8 - 4).to(tensor.dtype)


def zeros(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Symbols:
    """Every symbol that is decoded, whoever decodes it."""
    seen: Symbols = []

    class Watched(GroupDecoder):
        def decode_frame(self, quality: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
            frame = super().decode_frame(quality)
            seen.append(frame)
            return frame

    monkeypatch.setattr("gencodec.packs.prior.GroupDecoder", Watched)
    return seen


@dataclass(frozen=True)
class Case:
    """A pack on disk and loaded, and a file made with it."""

    folder: Path
    models: Models
    data: bytes


@pytest.fixture(params=["tiny", "motion"])
def case(request: pytest.FixtureRequest) -> Case:
    """One case a kind of transform."""
    data = {"tiny": "gnv_bytes", "motion": "motion_bytes"}[request.param]
    names = f"{request.param}_folder", f"{request.param}_models", data
    return Case(*map(request.getfixturevalue, names))


def decoded(data: bytes, models: Models) -> list[Any]:
    """Decode every group to refined latents; the digests in the file are checked on the way."""
    coder = GroupCoder(models)
    reader = Reader(BytesIO(data))
    latents = []
    for record in reader.groups():
        header = reader.header
        shape = latent_shape(record.frames, header.height, header.width, models.exact.stride)
        coded = coder.decode(record, shape)
        plan = models.defaults.tiles
        latents.append(coder.refine(coded, record, plan, seed=header.noise_seed, steps=None))
    return latents


def fingerprint(symbols: Symbols) -> str:
    digest = hashlib.sha256()
    for y, z in symbols:
        digest.update(z.astype("<i2").tobytes() + y.astype("<i2").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("change", [nudge, garbage, zeros])
def test_float_weights_do_not_reach_a_symbol(
    change: Change, case: Case, watched: Symbols, tmp_path: Path
) -> None:
    before = decoded(case.data, case.models)
    original = fingerprint(watched)
    watched.clear()
    folder = tmp_path / "other"
    shutil.copytree(case.folder, folder)
    for name in FLOATS:
        path = folder / f"{name}.safetensors"
        save_file({key: change(value) for key, value in load_file(path).items()}, path)
    networks = load_networks(folder)  # without its files being checked: they are another pack's
    assert set(networks) == set(FLOATS)
    execution = Execution.choose("cpu")
    autoencoder = AutoencoderStage(networks[AUTOENCODER], execution)
    stage = LatentStage if isinstance(networks[TRANSFORM], LatentCodec) else MotionStage
    models = replace(
        case.models,
        autoencoder=autoencoder,
        transform=stage(networks[TRANSFORM], execution, autoencoder.encode),
        refiner=RefineStage(networks[REFINER], execution),
    )
    after = decoded(case.data, models)
    assert fingerprint(watched) == original
    assert not np.array_equal(before[0], after[0])  # the floats did change


@pytest.mark.parametrize("error", [1.0, float("nan")])
def test_float_results_do_not_reach_a_symbol(
    error: float, case: Case, watched: Symbols, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded(case.data, case.models)
    original = fingerprint(watched)
    watched.clear()
    genuine = torch.nn.Module.__call__
    generator = torch.Generator().manual_seed(3)
    calls = 0

    def wrong(self: torch.nn.Module, *args: Any, **keywords: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        result = genuine(self, *args, **keywords)
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            calls += 1
            return result + error * torch.randn(result.shape, generator=generator)
        return result

    monkeypatch.setattr(torch.nn.Module, "__call__", wrong)
    shown = decoded(case.data, case.models)
    assert calls > 100
    assert {latents is None for latents in shown} == {math.isnan(error)}  # left out, or shown
    assert fingerprint(watched) == original


def test_the_exact_part_alone_decodes_the_same(case: Case, watched: Symbols) -> None:
    """As `verify` does, without torch and in any order of the groups."""
    decoded(case.data, case.models)
    expected = fingerprint(watched)
    exact = load_exact(case.folder)
    alone: dict[int, Symbols] = {}
    for record in reversed(records(case.data)):
        shape = latent_shape(record.frames, 48, 64, exact.stride)
        block = group_coder.read_block(record)
        alone[record.number] = exact.symbols(block, shape, record.payload, digest=record.digest)
    joined = [frame for number in sorted(alone) for frame in alone[number]]
    assert fingerprint(joined) == expected


def test_another_prior_is_noticed_not_shown(
    gnv_bytes: bytes, tiny_models: Models, tiny_folder: Path
) -> None:
    exact = load_exact(tiny_folder)
    prior = Prior(exact.prior.config, tiny.prior_arrays(exact.prior.config, seed="another"))
    models = replace(tiny_models, exact=replace(exact, prior=prior))
    with pytest.raises(FormatError):
        decoded(gnv_bytes, models)


_DECODE = """
import hashlib, sys
from gencodec.decoding import Decoder
from gencodec.execution import Execution
from gencodec.packs import prior
digest = hashlib.sha256()
class Watched(prior.GroupDecoder):
    def decode_frame(self, quality):
        y, z = super().decode_frame(quality)
        digest.update(z.astype("<i2").tobytes() + y.astype("<i2").tobytes())
        return y, z
prior.GroupDecoder = Watched
with open(sys.argv[1], "rb") as stream:
    decoder = Decoder(stream, Execution.choose("cpu", threads=int(sys.argv[2])))
    frames = list(decoder.frames(decoder.records(None, None)))
print(digest.hexdigest(), len(frames))
"""


def test_other_thread_counts_decode_the_same_symbols(
    gnv_file: Path, gnv_bytes: bytes, tiny_models: Models, watched: Symbols
) -> None:
    """This process has one thread, see conftest.py."""
    decoded(gnv_bytes, tiny_models)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", _DECODE, str(gnv_file), "2"],
        env=os.environ | dict.fromkeys(names, "2"),
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == [fingerprint(watched), "29"]


def test_decoding_twice_gives_the_same_pixels(gnv_file: Path) -> None:
    pixels = []
    for _ in range(2):
        with gnv_file.open("rb") as stream:
            decoder = Decoder(stream, Execution.choose("cpu"))
            pixels.append(np.stack([f.rgb for f in decoder.frames(decoder.records(None, None))]))
    assert np.array_equal(pixels[0], pixels[1])


def test_loading_a_pack_changes_nothing_of_it(tiny_folder: Path) -> None:
    before = read_manifest(tiny_folder)
    load_models(tiny_folder, Execution.choose("cpu"))
    assert read_manifest(tiny_folder) == before


# -- the trainable twin of the prior ---------------------------------------------------------------

CONFIGS = {
    "tiny": PriorConfig(**tiny.COMPONENTS["prior"]),
    "odd": PriorConfig(
        channels=5, hidden=7, hyper_channels=3, hyper_stride=3, split=2, qualities=5, scales=9,
        fractions=4,
    ),
}  # fmt: skip


def twin(training: ModuleType, config: PriorConfig, seed: int) -> TrainablePrior:
    """A prior as training leaves it: real numbers."""
    torch.manual_seed(seed)
    prior: TrainablePrior = training.prior.TrainablePrior(config).double()
    with torch.no_grad():
        for name, parameter in prior.arrays.items():
            parameter.add_(torch.randn_like(parameter) * (0.4 if "weight" in name else 0.2))
    return prior


@torch.no_grad()
def by_twin(
    prior: TrainablePrior, y: NDArray[np.int64], z: NDArray[np.int64], qualities: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return scale indices and means, in units of 1 / fractions, of a group."""
    state = prior.start(1, *y.shape[-2:])
    scales, means = [], []
    for t, quality in enumerate(qualities):
        symbols, hyper = (torch.from_numpy(x[t : t + 1]).double() for x in (y, z))
        scale, mean, state = prior(state, symbols, hyper, torch.tensor([quality]), min(t, 1))
        scales.append(scale[0])
        means.append(mean[0] * prior.config.fractions)
    found = torch.stack(scales), torch.stack(means)
    assert all(torch.equal(each, each.round()) for each in found)
    return found[0].long().numpy(), found[1].long().numpy()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_trainable_twin_gives_the_same_indices_after_export(
    name: str, seed: int, training: ModuleType
) -> None:
    config = CONFIGS[name]
    prior = twin(training, config, seed)
    rng = np.random.default_rng(seed)
    y = rng.integers(-40, 41, (3, config.channels, 5, 7)) // rng.integers(1, 30, (3, 1, 5, 7))
    z = rng.integers(-20, 21, (3, *config.hyper_shape((5, 7))))
    qualities = rng.integers(0, config.qualities, 3).tolist()
    scale, mean = Prior(config, prior.export()).indices(y, z, qualities)
    assert len(np.unique(scale)) > 4
    assert len(np.unique(mean)) > 4
    expected = by_twin(prior, y, z, qualities)
    assert np.array_equal(scale, expected[0])
    assert np.array_equal(mean, expected[1])


@pytest.mark.parametrize("name", [*CONFIGS, "pack"])
def test_export_and_adopt_are_inverse(name: str, training: ModuleType) -> None:
    config = CONFIGS.get(name, CONFIGS["tiny"])
    made = twin(training, config, 3).export() if name in CONFIGS else tiny.prior_arrays(config)
    again = training.prior.TrainablePrior(config)
    again.adopt({key: torch.from_numpy(value) for key, value in made.items()})
    repeated = again.export()
    assert made.keys() == repeated.keys()
    for key, value in made.items():
        assert value.dtype == repeated[key].dtype
        assert np.array_equal(value, repeated[key]), key
