"""Descent on first pictures: what it asks of the judge and of the prior, and what it finds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor

from gencodec.descent import PictureDescent, picture
from gencodec.descent.judge import SMALLEST
from gencodec.descent.picture import _bits, _bits_slope, _Expected, _view, _windows
from gencodec.execution import Execution
from gencodec.packs.models import Models, load_models
from gencodec.symbols import GroupEncoder
from gencodec.transform import (
    ANCHOR,
    DEAD_ZONES,
    MotionCodec,
    MotionState,
    Rounded,
    dead_zone_round,
    integers,
)

ZONE = DEAD_ZONES[ANCHOR]
LEAST = 16 * math.ceil(SMALLEST / min(picture._SCALES) / 16)  # pixels a side
LUMA = (0.299, 0.587, 0.114)


@pytest.fixture(scope="module")
def models(judged_folder: Path) -> Models:
    """The tiny pack with a judge; not to be changed."""
    return load_models(judged_folder, Execution.choose("cpu"))


@pytest.fixture(scope="module")
def descent(models: Models) -> PictureDescent:
    assert models.descent is not None
    return models.descent


def picture_of(width: int, height: int, scene: int = 0) -> Tensor:
    """A picture [1, 3, H, W] in -1..1."""
    rgb = torch.from_numpy(tiny.picture(width, height, 0, scene))
    return rgb.permute(2, 0, 1)[None].float() / 127.5 - 1


@torch.no_grad()
def analysed(codec: MotionCodec, true: Tensor, quality: Tensor) -> Tensor:
    """Return the coefficients of a first picture, in symbols."""
    return codec.analyse(true[:, :, None], None, MotionState(), quality)


def expected(deviation: float, mean: float, count: int = 1) -> _Expected:
    return _Expected(deviation=torch.full((count,), deviation), mean=torch.full((count,), mean))


# -- what the judge sees ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"),
    [(32, 32), (33, 47), (16, 512), (512, 513), (1, 1025), (1080, 1920), (2160, 4096), (1537, 700)],
)
def test_windows_cover_every_pixel_once(height: int, width: int) -> None:
    seen = np.zeros((1, 3, height, width), np.uint8)
    sides = []
    for part in _windows(height, width):
        seen[part] += 1
        sides += [seen[part].shape[2:]]
    assert (seen == 1).all()
    rows, columns = ({side[axis] for side in sides} for axis in (0, 1))
    for found, length in ((rows, height), (columns, width)):
        assert max(found) <= picture._WINDOW
        assert max(found) - min(found) <= 1
        assert min(found) >= min(length, picture._WINDOW // 2)  # none too small for the judge
    assert len(sides) == math.ceil(height / picture._WINDOW) * math.ceil(width / picture._WINDOW)


def test_what_is_seen_of_a_picture_in_each_step_has_all_its_pixels() -> None:
    numbered = torch.arange(3 * 40 * 56, dtype=torch.float32).view(1, 3, 40, 56)
    whole = 0
    for step in range(24):
        seen, scale = _view(numbered, step), picture._SCALES[step % len(picture._SCALES)]
        sides = sorted(seen.shape[2:])
        assert sides == [math.floor(40 * scale), math.floor(56 * scale)]
        if scale == 1:
            whole += 1
            for ours, channel in zip(seen[0], numbered[0], strict=True):
                assert torch.equal(ours.flatten().sort().values, channel.flatten())
        else:
            assert seen.mean((2, 3))[0].tolist() == pytest.approx(
                numbered.mean((2, 3))[0].tolist(), rel=0.02
            )
    assert whole


def test_pictures_are_seen_every_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "_SCALES", (1.0,))
    numbered = torch.arange(9.0).view(1, 1, 3, 3)
    assert torch.equal(_view(numbered, 0), numbered)
    assert len({tuple(_view(numbered, step).flatten().tolist()) for step in range(8)}) == 8


@torch.no_grad()
def test_equal_pictures_are_seen_as_equal_in_every_step(descent: PictureDescent) -> None:
    true, other = picture_of(64, 49), picture_of(64, 49, 1)
    for step in range(24):
        assert torch.equal(_view(true, step), _view(true.clone(), step))
        assert float(descent.judge(_view(true, step), _view(true.clone(), step))) == 0
        assert float(descent.judge(_view(other, step), _view(true, step))) > 0


def whole_distortion(
    descent: PictureDescent, made: Tensor, true: Tensor, quality: Tensor, step: int | None
) -> Tensor:
    """Return the bits that a picture's distortion is worth, seen whole, as in a step or as is."""
    worth = descent._codec.worth(quality, ANCHOR)
    error = made - true
    grey = sum(error[:, k : k + 1] * LUMA[k] for k in range(3))
    squared = (error**2).sum() + picture._COLOUR * ((error - grey) ** 2).sum()
    seen = [x if step is None else _view(x, step) for x in (made.clamp(-1, 1), true)]
    distance = descent.judge(*seen).sum() * made.shape[2] * made.shape[3]
    total: Tensor = (squared / worth + picture._PERCEIVED * distance / worth**0.5).sum()
    return total


def noisy(true: Tensor) -> Tensor:
    torch.manual_seed(0)
    return true + 0.1 * torch.randn_like(true)


@pytest.mark.parametrize("step", range(8))
@pytest.mark.parametrize("quality", [5, 50])
def test_one_window_has_the_slope_of_the_whole_picture(
    quality: int, step: int, descent: PictureDescent
) -> None:
    true, at = picture_of(80, 64), torch.tensor([quality])
    made = noisy(true).requires_grad_()
    (wanted,) = torch.autograd.grad(whole_distortion(descent, made, true, at, step), made)
    found = descent._distortion_slope(made.detach(), true, at, step)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("step", range(6))
def test_several_windows_have_nearly_the_slope_of_the_whole_picture(
    step: int, descent: PictureDescent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of squared error exactly; of what is perceived less so where windows meet.

    Still less where they are scaled down: other pixels fall together.
    """
    true, at = picture_of(192, 144), torch.tensor([20])
    made = noisy(true)
    alike = 0.95 if picture._SCALES[step % len(picture._SCALES)] >= 1 else 0.6
    for colour, perceived, least in ((picture._COLOUR, 0.0, 1 - 1e-5), (-1 / 3, 1e6, alike)):
        monkeypatch.setattr(picture, "_COLOUR", colour)
        monkeypatch.setattr(picture, "_PERCEIVED", perceived)
        slopes = []
        for window in (512, 96):
            monkeypatch.setattr(picture, "_WINDOW", window)
            slopes.append(descent._distortion_slope(made, true, at, step))
        whole, parts = slopes
        cosine = torch.cosine_similarity(whole.flatten(), parts.flatten(), 0)
        assert least < float(cosine) <= 1 + 1e-5
        assert float(parts.norm() / whole.norm()) == pytest.approx(1, abs=0.1)


# -- what the prior says ---------------------------------------------------------------------------


def test_bits_are_those_of_the_tables(models: Models, descent: PictureDescent) -> None:
    """Within three deviations; tables have longer tails."""
    config, bank = models.exact.prior.config, models.exact.tables.symbols
    for scale in range(1, config.scales):
        deviation = float(descent._deviations[scale])
        for fraction in range(config.fractions):
            table = (scale - 1) * config.fractions + fraction
            radius, start = int(bank.radii[table]), bank.offsets[table]
            mean = fraction / config.fractions
            symbols = np.arange(-radius, radius + 1)
            near = np.flatnonzero(np.abs(symbols - mean) <= 3 * deviation)
            ours = _bits(
                torch.from_numpy(symbols[near]).float(), expected(deviation, mean, len(near))
            )
            assert ours.numpy() == pytest.approx(bank.bits[start + near], abs=0.05)


def test_unlikely_symbols_cost_many_bits_and_no_infinity() -> None:
    symbols = torch.tensor([-1000.0, -20.0, 0.0, 20.0, 1000.0])
    for deviation in (0.0, 0.1, 1.0):
        bits = _bits(symbols, expected(deviation, 0.0, 5))
        assert torch.isfinite(bits).all()
        assert bits.tolist() == pytest.approx(bits.flip(0).tolist())
        assert float(bits[0]) >= float(bits[1]) > 15 > 2 > float(bits[2]) >= 0


@pytest.mark.parametrize("quality", [30, 50])
def test_the_slope_of_bits_is_what_the_coder_writes(
    quality: int, models: Models, descent: PictureDescent
) -> None:
    """Of symbols that are coded last, so that no others depend on them."""
    codec, exact = descent._codec, models.exact
    at = torch.tensor([quality])
    raw = analysed(codec, picture_of(96, 64), at)
    symbols = integers(raw, ZONE)
    with torch.no_grad():
        hyper = integers(codec.hyper_analyse(raw, ANCHOR), 0.0)

    def cost(changed: Any) -> float:  # noqa: ANN401 - symbols
        encoder = GroupEncoder(exact.prior, exact.tables, (4, 6))
        encoder.encode_frame(changed, hyper, quality)
        return encoder.cost_bits

    known, rounded = descent._expect(raw, at), dead_zone_round(raw, ZONE)
    slope = _bits_slope(rounded, known)[0]
    offs = (rounded.others - rounded.symbols)[0]
    near = [
        (x - known.mean[0]).abs() <= 3 * known.deviation[0]
        for x in (rounded.symbols[0], rounded.others[0])
    ]
    last = torch.zeros_like(near[0])
    last[exact.prior.config.split :, 1::2, ::2] = True  # in rows and columns of an odd sum
    places = (near[0] & near[1] & last).nonzero().tolist()
    assert len(places) >= 10
    for place in map(tuple, places[::3]):
        changed, change = symbols.copy(), int(offs[place])
        changed[place] += change
        wanted = (cost(changed) - cost(symbols)) / change
        assert float(slope[place]) == pytest.approx(wanted, abs=0.1)


def test_bits_have_no_slope_where_there_is_no_choice() -> None:
    rounded = Rounded(symbols=torch.tensor([1.0, 1.0, -1.0]), others=torch.tensor([0.0, 2.0, 0.0]))
    for deviation in (0.0, 1.0):
        slope = _bits_slope(rounded, expected(deviation, 0.0, 3))
        assert torch.isfinite(slope).all()
        assert torch.sign(slope).tolist() == ([1, 1, -1] if deviation else [0, 0, 0])


# -- what is found ---------------------------------------------------------------------------------


@torch.no_grad()
def objective(
    descent: PictureDescent, values: Tensor, raw: Tensor, true: Tensor, quality: Tensor
) -> tuple[float, float]:
    """Return bits, and the distortion in bits, of coefficients as an encoder rounds them."""
    known = descent._expect(raw, quality)
    symbols = torch.from_numpy(integers(values, ZONE)).float()[None]
    chosen = known.deviation > 0
    symbols = torch.where(chosen, symbols, (known.mean + 0.5).floor())
    spread = (known.deviation.double() * 2**0.5).clamp(min=1e-6)
    upper, lower = (torch.erf((symbols + side - known.mean) / spread) for side in (0.5, -0.5))
    share = (upper - lower) / 2
    bits = -share.clamp(min=1e-9).log2()[chosen].sum()
    made = descent._codec.synthesise(symbols, MotionState(), quality)[0][:, :, 0]
    return float(bits), float(whole_distortion(descent, made, true, quality, None))


@pytest.mark.parametrize("quality", [0, 10, 30, 50])
@pytest.mark.parametrize("scene", [0, 1])
def test_it_gets_better_by_what_it_descends(
    scene: int, quality: int, descent: PictureDescent
) -> None:
    true, at = picture_of(96, 64, scene), torch.tensor([quality])
    raw = analysed(descent._codec, true, at)
    found = [descent.improve(raw, true, at, steps) for steps in (12, 40)]
    before, some, more = (sum(objective(descent, x, raw, true, at)) for x in (raw, *found))
    assert more < some < before


@pytest.mark.parametrize("quality", [10, 30, 50])
def test_it_saves_bits_or_shows_more_where_only_one_counts(
    quality: int, descent: PictureDescent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where there is something to gain in both."""
    true, at = picture_of(96, 64), torch.tensor([quality])
    torch.manual_seed(0)
    raw = analysed(descent._codec, true, at)
    raw += 3 * torch.rand_like(raw) - 1.5
    before = objective(descent, raw, raw, true, at)
    with monkeypatch.context() as patch:
        patch.setattr(picture, "_bits_slope", lambda rounded, _: torch.zeros_like(rounded.others))
        shown = objective(descent, descent.improve(raw, true, at, 40), raw, true, at)
    with monkeypatch.context() as patch:
        patch.setattr(descent, "_distortion_slope", lambda made, *_: torch.zeros_like(made))
        saved = objective(descent, descent.improve(raw, true, at, 40), raw, true, at)
    assert saved[0] < before[0]
    assert shown[1] < before[1]
    assert saved[1] > shown[1]
    assert saved[0] < shown[0]


def test_the_judge_has_a_say(descent: PictureDescent, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is perceived gets nearer by it than by squared error."""
    true, at = picture_of(96, 64), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    apart = []
    for perceived in (0.0, 30.0):
        monkeypatch.setattr(picture, "_PERCEIVED", perceived)
        values = descent.improve(raw, true, at, 24)
        symbols = torch.from_numpy(integers(values, ZONE)).float()[None]
        with torch.no_grad():
            made = descent._codec.synthesise(symbols, MotionState(), at)[0][:, :, 0]
            apart.append(float(descent.judge(made.clamp(-1, 1), true)))
    assert apart[1] < apart[0]


def test_it_finds_the_same_again_and_changes_nothing_else(descent: PictureDescent) -> None:
    true, at = picture_of(96, 64), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    given = raw.clone(), true.clone()
    chance = torch.get_rng_state()
    found = [descent.improve(raw, true, at, 6) for _ in range(2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], raw)
    assert found[0].shape == raw.shape
    assert not found[0].requires_grad
    assert torch.equal(raw, given[0])
    assert torch.equal(true, given[1])
    assert torch.equal(torch.get_rng_state(), chance)
    assert not any(p.grad is not None for p in descent._codec.parameters())


def test_it_finds_the_same_in_inference_mode(descent: PictureDescent) -> None:
    true, at = picture_of(64, 64), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    found = descent.improve(raw, true, at, 3)
    with torch.inference_mode():
        inner = descent._codec.analyse(true[:, :, None].clone(), None, MotionState(), at.clone())
        again = descent.improve(inner, true.clone(), at.clone(), 3)
        descent._codec.synthesise(again.round(), MotionState(), at)
    assert torch.equal(again, found)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("width", "height", "steps"),
    [(96, 64, 0), (LEAST - 16, LEAST, 9), (LEAST, LEAST - 16, 9), (16, 512, 9)],
)
def test_nothing_is_descended_without_steps_or_on_small_pictures(
    width: int, height: int, steps: int, descent: PictureDescent
) -> None:
    true, at = picture_of(width, height), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    assert descent.improve(raw, true, at, steps) is raw


def test_the_smallest_pictures_are_large_enough_for_the_judge(descent: PictureDescent) -> None:
    true, at = picture_of(LEAST, LEAST), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    found = descent.improve(raw, true, at, len(picture._SCALES))
    assert torch.isfinite(found).all()
    assert not torch.equal(found, raw)


def test_a_judge_that_fails_changes_nothing(
    descent: PictureDescent, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, at = picture_of(64, 64), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    monkeypatch.setattr(descent.judge, "forward", lambda a, _: a.sum((1, 2, 3)) * torch.nan)
    found = descent.improve(raw, true, at, 4)
    assert torch.equal(found, raw)
    assert torch.isfinite(found).all()


def test_what_the_prior_skips_stays(
    descent: PictureDescent, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, at = picture_of(96, 64), torch.tensor([20])
    raw = analysed(descent._codec, true, at)
    known = descent._expect(raw, at)
    deviation = known.deviation.clone()
    deviation[:, -2:] = 0
    monkeypatch.setattr(descent, "_expect", lambda *_: replace(known, deviation=deviation))
    found = descent.improve(raw, true, at, 8)
    assert torch.equal(found[:, -2:], raw[:, -2:])
    assert not torch.equal(found[:, :-2], raw[:, :-2])


def test_the_prior_says_the_same_as_it_codes_with(models: Models, descent: PictureDescent) -> None:
    config = models.exact.prior.config
    at = torch.tensor([20])
    raw = analysed(descent._codec, picture_of(96, 64), at)
    known = descent._expect(raw, at)
    with torch.no_grad():
        hyper = integers(descent._codec.hyper_analyse(raw, ANCHOR), 0.0)
    scale, mean = models.exact.prior.indices(integers(raw, ZONE)[None], hyper[None], [20])
    assert known.deviation.shape == known.mean.shape == raw.shape
    assert torch.equal(known.deviation > 0, torch.from_numpy(scale > 0))
    ratios = known.deviation.numpy()[scale > 0] / 0.1
    assert ratios == pytest.approx(
        400.0 ** ((scale[scale > 0] - 1) / (config.scales - 2)), rel=1e-4
    )
    assert known.mean.numpy() * config.fractions == pytest.approx(mean)
