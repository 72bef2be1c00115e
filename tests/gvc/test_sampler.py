"""The sampler on a flow that is known exactly: Gaussian data with a falling spectrum."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gencodec.container import FLF2V, I2V, T2V, GvcBlock
from gencodec.errors import FormatError
from gencodec.gvc import Place, Schedule
from gencodec.gvc.atoms import Codebook
from gencodec.gvc.sampler import Latents, sample
from gencodec.refine import noise_for
from gencodec.symbols import choices_bytes

CPU = torch.device("cpu")
SHAPE = (4, 3, 16, 16)


class GaussianFlow:
    """The exact velocity of Gaussian latents whose spectrum falls with frequency."""

    takes_clean = False

    def __init__(self) -> None:
        across = np.fft.fftfreq(SHAPE[2])[:, None] ** 2 + np.fft.fftfreq(SHAPE[3]) ** 2
        self.power = 1 / (0.003 + across)
        self.power /= self.power.mean()
        self.seen: list[Latents] = []

    def draw(self, seed: int) -> Latents:
        drawn = np.fft.fft2(np.random.default_rng(seed).normal(size=SHAPE))
        return np.fft.ifft2(drawn * np.sqrt(self.power)).real.astype(np.float32)

    def velocity(self, x: Latents, sigma: float) -> Latents:
        self.seen.append(x)
        power = self.power * (1 - sigma) ** 2
        gain = (1 - sigma) * self.power / (power + sigma**2)
        data = np.fft.ifft2(np.fft.fft2(x) * gain).real
        return ((x - data) / sigma).astype(np.float32)


def block(**fields: Any) -> GvcBlock:  # noqa: ANN401
    given: dict[str, Any] = {
        "variant": T2V,
        "plain_steps": 3,
        "steps": 20,
        "g_scale": 96,
        "shift": 48,
    }
    return GvcBlock(**{"codebook": 4096, "atoms": 17 * 32, **given, **fields})


def steered(
    settings: GvcBlock, target: Latents, *, chance: bool = False, held: dict[int, Latents]
) -> Latents:
    """Sample towards a target, or with atoms drawn by lot."""
    lots = np.random.default_rng(9)

    def steer(place: Place, estimate: Latents) -> Latents:
        codebook = Codebook(
            3, 0, (place.step, place.frame), values=estimate.size, count=settings.codebook
        )
        residual = (target[:, place.frame] - estimate).ravel()
        if chance:
            residual = lots.normal(size=residual.shape).astype(np.float32)
        return codebook.sum(codebook.choose(residual, place.atoms, CPU)).reshape(estimate.shape)

    noise = noise_for(3, 0, SHAPE)
    return sample(GaussianFlow(), Schedule(settings, SHAPE[1]), noise, held, steer)


def error(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.mean((one - other) ** 2))


def test_levels_fall_from_noise_to_nothing_with_the_published_shift() -> None:
    levels = Schedule(block(), 1).levels
    assert (levels[0], levels[-1], len(levels)) == (1, 0, 21)
    assert levels[10] == pytest.approx(3 * 0.5 / (1 + 2 * 0.5))
    assert Schedule(block(), 1).strength(10) == pytest.approx(3 * 0.75**2)
    assert all(b < a for a, b in pairwise(levels))


def test_without_atoms_the_flow_leads_to_its_own_data() -> None:
    target = GaussianFlow().draw(0)
    settings = block(atoms=0, steps=60, shift=16)
    assert Schedule(settings, 3).places == ()
    made = steered(settings, target, held={})
    spectrum = np.abs(np.fft.fft2(made)) ** 2 / SHAPE[2] / SHAPE[3]
    power = GaussianFlow().power
    for low, high in ((0, 0.01), (0.01, 0.1), (0.1, 1)):
        where = (power >= low * power.max()) & (power <= high * power.max())
        assert spectrum[..., where].mean() == pytest.approx(power[where].mean(), rel=0.35)


def test_more_atoms_come_closer_and_beat_atoms_by_lot() -> None:
    target = GaussianFlow().draw(1)
    errors = [
        error(steered(block(atoms=17 * atoms), target, held={}), target)
        for atoms in (4, 8, 16, 32, 64, 128)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.4 * errors[0]
    lots = error(steered(block(), target, chance=True, held={}), target)
    assert lots > 1.2
    assert errors[3] < 0.4 * lots


def test_a_used_up_estimate_costs_little_and_halves_the_evaluations() -> None:
    target = GaussianFlow().draw(2)
    cached = Schedule(block(cache=True), 3)
    assert cached.evaluations == 11
    assert cached.computed(0)
    assert cached.computed(19)
    pairs = zip(range(19), range(1, 20), strict=True)
    assert all(cached.computed(a) or cached.computed(b) for a, b in pairs)
    plain = error(steered(block(), target, held={}), target)
    assert error(steered(block(cache=True), target, held={}), target) < 1.5 * plain


def test_a_held_frame_is_what_the_picture_says_down_to_its_level() -> None:
    flow = GaussianFlow()
    target, said = flow.draw(3), flow.draw(4)[:, 0]
    settings = block(variant=I2V)
    made = steered(settings, target, held={0: said})
    assert np.allclose(made[:, 0], said, atol=1e-4)
    assert all(place.frame for place in Schedule(settings, 3).places)
    free = block(variant=FLF2V, start_level=0, end_level=700)
    schedule = Schedule(free, 3)
    assert schedule.held == {0: 0, 2: 700}
    steps = [place.step for place in schedule.places if place.frame == 2]
    assert steps
    assert steps[0] > 0
    assert schedule.levels[steps[0]] <= 0.7 < schedule.levels[steps[0] - 1]
    near = target[:, 2] + 0.3 * flow.draw(5)[:, 2]
    errors = {}
    for level in (200, 1000):
        settings = block(variant=FLF2V, atoms=17 * 3, end_level=level)
        made = steered(settings, target, held={0: target[:, 0], 2: near})
        errors[level] = error(made[:, 2], target[:, 2])
    assert errors[200] < 1.5 * error(near, target[:, 2]) < 0.5 * errors[1000]


def test_a_flow_that_learned_it_sees_held_frames_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = GaussianFlow()
    said = flow.draw(6)[:, 0]
    schedule = Schedule(block(variant=I2V, atoms=0), 3)
    noise = noise_for(3, 0, SHAPE)
    for clean in (False, True):
        monkeypatch.setattr(GaussianFlow, "takes_clean", clean)
        flow.seen.clear()
        sample(flow, schedule, noise, {0: said}, lambda _place, estimate: estimate)
        assert all(np.array_equal(x[:, 0], said) for x in flow.seen) is clean


def test_atoms_are_spread_over_steps_and_more_of_them_given_to_the_tail() -> None:
    settings = block(variant=I2V, atoms=17 * 10 + 5, tail_frames=2, tail_share=16)
    places = Schedule(settings, 4).places
    assert [p.atoms for p in places if p.frame == 1] == [11] * 5 + [10] * 12
    assert sum(p.atoms for p in places if p.frame == 3) == 2 * (17 * 10 + 5)
    assert {p.frame for p in places} == {1, 2, 3}
    assert choices_bytes([p.atoms for p in places], 4096) > 0


def test_a_group_of_too_many_atoms_is_refused() -> None:
    with pytest.raises(FormatError, match="at most"):
        _ = Schedule(block(atoms=17 * 4096), 9).places
    with pytest.raises(ValueError, match="codebook of 4096"):
        block(atoms=17 * 4096 + 1)
    with pytest.raises(ValueError, match="none to steer"):
        block(plain_steps=20)
