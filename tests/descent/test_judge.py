"""The judge sees what LPIPS-squeeze sees: the same layers, and a distance of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor

from gencodec.descent import Judge, JudgeConfig
from gencodec.descent import judge as judge_module
from gencodec.descent.judge import SMALLEST
from gencodec.execution import define_torchvision_operators
from gencodec.perceptual import Lpips

SQUEEZENET = JudgeConfig(squeezed=(16, 16, 32, 32, 48, 48, 64))  # its own, of the fires in use
FIRES = (3, 4, 6, 7, 9, 10, 11)  # of torchvision's SqueezeNet 1.1, whose eighth no judge has
WIDTHS = (64, 128, 256, 384, 384, 512)
SIZES = [(SMALLEST, SMALLEST), (SMALLEST, 100), (33, 47), (48, 64), (97, 128)]
SHIFT = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
SCALE = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)


def made_up_weights(file: Path) -> dict[str, Tensor]:
    """Write weights of LPIPS-squeeze that no training made, and return them."""
    define_torchvision_operators()
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    stored = models.squeezenet1_1(weights=None).state_dict()
    weights = {key: value for key, value in stored.items() if "classifier" not in key}
    for layer, width in enumerate((*WIDTHS, 512)):
        weights[f"lpips.lin{layer}"] = torch.rand(width)
    np.savez(file, **{key: value.numpy() for key, value in weights.items()})
    return weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "squeezenet1_1_lpips.npz"
    made_up_weights(file)
    return file


@pytest.fixture(scope="module")
def lpips(weights_file: Path) -> Lpips:
    return Lpips(weights_file)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Weights that no training made; each channel counts something else."""
    torch.manual_seed(1)
    network = Judge(JudgeConfig()).eval()
    with torch.no_grad():
        for worth in network.worth:
            worth.normal_()
    return network


def picture(width: int, height: int, scene: int = 0) -> Tensor:
    """A picture [1, 3, H, W] in -1..1."""
    rgb = torch.from_numpy(tiny.picture(width, height, 0, scene))
    return rgb.permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_equal_pictures_have_no_distance_and_others_have(
    size: tuple[int, int], judge: Judge
) -> None:
    height, width = size
    scenes = [picture(width, height, scene) for scene in range(3)]
    one, other = torch.cat(scenes), torch.cat([*scenes[1:], scenes[0]])
    assert judge(one, one).tolist() == [0, 0, 0]
    apart = judge(one, other)
    assert apart.shape == (3,)
    assert (apart > 1e-3).all()
    assert torch.equal(apart, judge(other, one))
    alone = [float(judge(one[k : k + 1], other[k : k + 1])) for k in range(3)]
    assert apart.tolist() == pytest.approx(alone, rel=1e-4)  # no picture sees another


@torch.no_grad()
def test_the_more_it_changes_the_farther_it_is(judge: Judge) -> None:
    true, other = picture(64, 48), picture(64, 48, 1)
    apart = [float(judge(torch.lerp(true, other, share), true)) for share in (0.05, 0.2, 1)]
    assert 0 < apart[0] < apart[1] < apart[2]


def test_of_videos_it_sees_every_fourth_frame(judge: Judge) -> None:
    true = np.stack(tiny.clip(40, 36, 9))
    assert judge.between(true, true.copy()) == 0
    shown = true.copy()
    shown[[1, 2, 3, 5, 6, 7]] = 0
    assert judge.between(shown, true) == 0
    shown[4] = 255 - shown[4]
    with torch.no_grad():
        pair = (torch.from_numpy(x[4]).permute(2, 0, 1)[None] / 127.5 - 1 for x in (shown, true))
        apart = float(judge(*pair))
    assert judge.between(shown, true) == pytest.approx(apart / 3, rel=1e-4)
    assert judge.between(true[::-1], true) > 0  # a view of an array


def test_large_frames_are_halved_before_they_are_compared(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    features = Judge.features

    def counting(self: Judge, x: torch.Tensor) -> list[torch.Tensor]:
        seen.append(tuple(x.shape[2:]))
        return features(self, x)

    monkeypatch.setattr(Judge, "features", counting)
    monkeypatch.setattr(judge_module, "_MOST_PIXELS", 64 * 48)
    for size in ((48, 64), (50, 64), (192, 256)):
        judge.between(np.zeros((1, *size, 3), np.uint8), np.ones((1, *size, 3), np.uint8))
    assert seen[::2] == [(48, 64), (25, 32), (48, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_reaches_the_picture(size: tuple[int, int], judge: Judge) -> None:
    height, width = size
    made = picture(width, height, 1).requires_grad_()
    judge(made, picture(width, height)).sum().backward()
    assert made.grad is not None
    assert torch.isfinite(made.grad).all()
    for channel in made.grad[0]:
        assert (channel[: height - 1, : width - 1] != 0).float().mean() > 0.9


def test_equal_pictures_are_as_near_as_it_gets(judge: Judge) -> None:
    """Flat ones, too, whose features may all be 0."""
    for true in (picture(48, 48), torch.zeros(1, 3, 48, 48)):
        made = true.clone().requires_grad_()
        judge(made, true).sum().backward()
        assert made.grad is not None
        assert not made.grad.any()


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_the_layers_are_the_first_six_of_lpips(
    size: tuple[int, int], judge: Judge, lpips: Lpips
) -> None:
    pictures = torch.cat([picture(size[1], size[0], scene) for scene in range(2)])
    ours, theirs = judge.features(pictures), lpips.features(pictures)[:6]
    assert [x.shape for x in ours] == [x.shape for x in theirs]
    assert tuple(x.shape[1] for x in ours) == WIDTHS
    assert [len(worth) for worth in judge.worth] == [len(w) for w in lpips.layer_weights()[:6]]
    for x in ours:
        lengths = x.square().sum(1)
        assert ((lengths - 1).abs() < 1e-3).float().mean() > 0.9  # nowhere else but where all is 0
        assert float(lengths.max()) < 1 + 1e-3


@torch.no_grad()
def test_with_the_weights_of_squeezenet_it_is_lpips(lpips: Lpips, tmp_path: Path) -> None:
    """But for the last layer, and what is subtracted from pictures."""
    weights = made_up_weights(tmp_path / "weights.npz")
    state = {f"first.{kind}": weights[f"features.0.{kind}"] for kind in ("weight", "bias")}
    parts = {"squeeze": "squeeze", "pixel": "expand1x1", "around": "expand3x3"}
    for at, fire in enumerate(FIRES):
        for ours, theirs in parts.items():
            for kind in ("weight", "bias"):
                name = f"features.{fire}.{theirs}.{kind}"
                state[f"fires.{at}.{ours}.{kind}"] = weights[name]
    for layer in range(6):
        state[f"worth.{layer}"] = torch.expm1(weights[f"lpips.lin{layer}"]).log()
    judge = Judge(SQUEEZENET)
    judge.load_state_dict(state)
    pair = picture(97, 64), picture(97, 64, 1)
    seen = [[x[:6] for x in (judge.features((p - SHIFT) / SCALE), lpips.features(p))] for p in pair]
    for both in seen:
        for x, y in zip(*both, strict=True):
            assert torch.allclose(x, y, atol=1e-5)
    apart = judge.distance(seen[0][0], seen[1][0])
    counted = zip(seen[0][1], seen[1][1], lpips.layer_weights()[:6], strict=True)
    wanted = [((x - y) ** 2 * w.view(1, -1, 1, 1)).sum(1).mean() for x, y, w in counted]
    assert float(apart) == pytest.approx(float(sum(wanted)), rel=1e-3)


def test_a_judge_of_other_sizes_is_narrower_within_alone() -> None:
    narrow = Judge(JudgeConfig(squeezed=[2] * 7))
    wide = Judge(JudgeConfig())
    pictures = picture(SMALLEST, SMALLEST)
    shapes = [[x.shape for x in network.features(pictures)] for network in (narrow, wide)]
    assert shapes[0] == shapes[1]
    assert sum(p.numel() for p in narrow.parameters()) < sum(p.numel() for p in wide.parameters())
    with pytest.raises(ValueError, match="shorter"):
        Judge(JudgeConfig(squeezed=[2] * 6))
