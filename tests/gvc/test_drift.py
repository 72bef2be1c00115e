"""Another machine: the same atoms to the bit, and a picture that drifts only so far."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests import tiny

import gencodec
from gencodec import GvcSettings
from gencodec.decoding import Decoder
from gencodec.execution import Execution
from gencodec.gvc.atoms import Codebook, Values
from gencodec.refine import VelocityModel
from gencodec.symbols import Choice

GENEROUS = 40.0  # dB; decoders that hear other atoms differ by less than 20
Shown = Callable[..., tuple[NDArray[np.uint8], str]]


@pytest.fixture(scope="module", params=["t2v", "i2v", "flf2v"])
def data(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """A clip of 48x40 in two groups; of i2v and flf2v the second one needs the first."""
    clip = tmp_path_factory.mktemp("clips") / "clip.y4m"
    tiny.write_clip(clip, tiny.clip(48, 40, 17))
    stream = io.BytesIO()
    settings = GvcSettings(variant=request.param, steps=6, codebook=256, atoms=16)
    gencodec.encode(clip, stream, gop=9, pack=tiny_folder, gvc=settings)
    return stream.getvalue()


@pytest.fixture
def shown(tiny_pack: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Return a function that decodes elsewhere: the frames, and a digest of all sums of atoms."""
    heard = hashlib.sha256()
    genuine = Codebook.sum

    def listened(book: Codebook, choice: Choice) -> Values:
        made = genuine(book, choice)
        heard.update(made.tobytes())
        return made

    monkeypatch.setattr(Codebook, "sum", listened)
    threads = torch.get_num_threads()

    def decode(data: bytes, count: int = 1, **changes: Any) -> tuple[NDArray[np.uint8], str]:  # noqa: ANN401
        nonlocal heard
        heard = hashlib.sha256()
        execution = replace(Execution.choose("cpu", threads=count), **changes)
        decoder = Decoder(io.BytesIO(data), execution)
        frames = [frame.rgb for frame in decoder.frames(decoder.records(None, None))]
        return np.stack(frames), heard.hexdigest()

    yield decode
    torch.set_num_threads(threads)


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


@pytest.mark.parametrize("data", ["t2v"], indirect=True)
def test_other_threads_hear_the_same_atoms_and_differ_by_a_grey_level(
    data: bytes, shown: Shown
) -> None:
    pictures, atoms = shown(data)
    others, heard = shown(data, 2)
    assert heard == atoms
    assert int(np.abs(pictures.astype(int) - others).max()) <= 1


def test_bfloat16_hears_the_same_atoms_and_stays_close(data: bytes, shown: Shown) -> None:
    pictures, atoms = shown(data)
    others, heard = shown(data, dtype=torch.bfloat16)
    assert heard == atoms
    assert GENEROUS < psnr(pictures, others) < float("inf")


def test_what_a_velocity_errs_at_random_does_not_add_up(
    data: bytes, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of a hundredth of the velocity at every step, as no machine makes them."""
    pictures, atoms = shown(data)
    genuine, chance = VelocityModel.forward, torch.Generator().manual_seed(1)

    def erring(model: VelocityModel, *inputs: Any) -> torch.Tensor:  # noqa: ANN401
        velocity = genuine(model, *inputs)
        size = velocity.square().mean().sqrt() / 100
        return velocity + size * torch.randn(velocity.shape, generator=chance)

    monkeypatch.setattr(VelocityModel, "forward", erring)
    others, heard = shown(data)
    assert heard == atoms
    assert psnr(pictures, others) > GENEROUS - 5


def test_other_atoms_show_something_else(
    data: bytes, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the bounds above say something."""
    pictures, atoms = shown(data)
    heard_now = Codebook.sum
    monkeypatch.setattr(Codebook, "sum", lambda book, choice: heard_now(book, -choice))
    others, heard = shown(data)
    assert heard != atoms
    assert psnr(pictures, others) < GENEROUS - 15
