from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from tests.evaluation import videos

from gencodec.evaluation import METRICS, EvaluationOptions, Score, evaluate
from gencodec.evaluation.metrics import MetricError, Series, Setting, meters_for
from gencodec.evaluation.pairing import Pair
from gencodec.execution import Execution, define_torchvision_operators
from gencodec.frames import Pixels
from gencodec.perceptual import Lpips

OWN_FOLDER = os.environ.get("GENCODEC_METRICS_DIR", "")  # before tests hide it
BT601 = 6
NEUTRAL = {  # of a video that equals its source
    "psnr_y": 100,
    "psnr_rgb": 100,
    "xpsnr_y": 100,
    "tdiff": 0,
    "activity_ratio": 1,
    "warp_residual": 0,
    "band_ratio_0": 1,
    "band_ratio_1": 1,
    "band_ratio_2": 1,
}
SQUEEZE = "squeezenet1_1-b8a52dc0.pth"


def setting(pictures: Sequence[Pixels], *, download: bool = False) -> Setting:
    height, width, _ = pictures[0].shape
    return Setting(
        width=width,
        height=height,
        rate=Fraction(25),
        matrix=BT601,
        execution=Execution.choose("cpu", threads=1),
        download=download,
    )


def pairs(source: Sequence[Pixels], shown: Sequence[Pixels]) -> Iterator[Pair]:
    for number, both in enumerate(zip(source, shown, strict=True)):
        yield Pair(number, Fraction(number, 25), both, BT601)


def series(source: Sequence[Pixels], shown: Sequence[Pixels], *names: str) -> dict[str, Series]:
    """Return what the meters of some metrics note."""
    meters, missing = meters_for(names, setting(source))
    assert missing == {}
    for pair in pairs(source, shown):
        for meter in meters:
            meter.add(pair)
    found: dict[str, Series] = {}
    for meter in meters:
        meter.finish()
        found |= meter.series
        meter.close()
    return found


def missing(name: str, pictures: Sequence[Pixels], *, download: bool = False) -> str:
    """Return why a metric cannot be computed."""
    meters, why = meters_for([name], setting(pictures, download=download))
    assert meters == []
    return why[name]


def mean(source: Sequence[Pixels], shown: Sequence[Pixels], name: str) -> float:
    return series(source, shown, name)[name].average


@pytest.fixture(scope="module")
def source() -> Sequence[Pixels]:
    return videos.pan(96, 64, 6)


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No weights and no ffmpeg but those a test puts there; the result is an empty hub folder."""
    monkeypatch.delenv("GENCODEC_METRICS_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    before = torch.hub.get_dir()
    folder = tmp_path / "hub"
    (folder / "checkpoints").mkdir(parents=True)
    torch.hub.set_dir(folder)
    yield folder
    assert Path(torch.hub.get_dir()) == folder
    torch.hub.set_dir(before)


@pytest.mark.parametrize("name", NEUTRAL)
def test_equal_videos_have_the_neutral_value(source: Sequence[Pixels], name: str) -> None:
    found = series(source, source, name)[name]
    assert found.average == pytest.approx(NEUTRAL[name], abs=1e-6)
    assert found.values == pytest.approx([NEUTRAL[name]] * len(found.values), abs=1e-6)


def test_psnr_of_a_known_error(source: Sequence[Pixels]) -> None:
    darker = [each - np.uint8(4) for each in source]
    found = series(source, darker, "psnr_y", "psnr_rgb")
    assert found["psnr_rgb"].average == pytest.approx(20 * math.log10(255 / 4), abs=1e-3)
    step = 4 * 219 / 255  # in samples of limited range
    assert found["psnr_y"].average == pytest.approx(20 * math.log10(255 / step), abs=1e-3)


def test_ms_ssim_is_that_of_the_reference_implementation() -> None:
    ms_ssim = pytest.importorskip("pytorch_msssim").ms_ssim
    source, shown = [videos.texture(176, 163)], [videos.noisy(videos.texture(176, 163), 1)]
    planes = [torch.from_numpy(each[0]).permute(2, 0, 1)[None].float() for each in (source, shown)]
    expected = float(ms_ssim(*planes, data_range=255))
    assert 0.5 < expected < 0.999
    assert mean(source, shown, "ms_ssim") == pytest.approx(expected, abs=1e-3)


def test_flicker_on_a_still_source() -> None:
    still = [videos.texture(96, 64)] * 4
    flicker = [each + np.uint8(5 * (number % 2)) for number, each in enumerate(still)]
    found = series(still, flicker, "tdiff", "activity_ratio")
    assert found["tdiff"].average == pytest.approx(5 * 219 / 255, abs=1e-3)
    assert found["tdiff"].frames == [1, 2, 3]
    assert found["activity_ratio"].values == []  # a share of nothing


def test_a_frozen_video_has_no_activity(source: Sequence[Pixels]) -> None:
    found = series(source, [source[0]] * len(source), "tdiff", "activity_ratio")
    assert found["activity_ratio"].average == 0
    moves = series([source[0]] * len(source), source, "tdiff")
    assert found["tdiff"].average == pytest.approx(moves["tdiff"].average)


def test_what_follows_the_motion_has_little_warped_error(source: Sequence[Pixels]) -> None:
    softer = [videos.blur(each, 2) for each in source]
    boiling = [videos.noisy(each, seed) for seed, each in enumerate(source)]
    stuck = [videos.noisy(each, 0) for each in source]  # a pattern that stays on the screen
    names = ("warp_error", "warp_residual")
    found = [series(source, each, *names) for each in (source, softer, boiling, stuck)]
    error = [each["warp_error"].average for each in found]
    residual = [each["warp_residual"].average for each in found]
    assert error[0] < 1.5 < 3 < error[2]
    assert error[1] < error[0]  # blur lowers it, so it is no quality by itself
    assert residual[0] == 0
    assert residual[1] < 2 < 3 < min(residual[2:])


def test_blur_cannot_hide(source: Sequence[Pixels]) -> None:
    names = ("band_ratio_0", "band_ratio_1", "band_ratio_2")

    def ratios(shown: Sequence[Pixels]) -> list[float]:
        found = series(source, shown, *names)
        return [found[name].average for name in names]

    soft = ratios([videos.blur(each, 4) for each in source])
    assert soft[0] < 0.25
    assert soft[0] < soft[1] < soft[2] < 1.05
    grain = ratios([videos.noisy(each, seed) for seed, each in enumerate(source)])
    assert grain[0] > 1.2
    assert grain[0] > grain[1] > grain[2] > 0.98
    strong = ratios([np.rint(128 + 1.5 * (each - 128.0)).astype(np.uint8) for each in source])
    assert strong == pytest.approx([2.25] * 3, rel=1e-2)  # it is energy that is compared


def test_xpsnr_falls_with_noise_and_forgives_it_in_texture() -> None:
    flat = np.full((96, 128, 3), 120, np.uint8)
    rough = videos.noisy(flat, 9, 40)
    little, much = ([videos.noisy(flat, k, sigma) for k in range(4)] for sigma in (3, 9))
    assert mean([flat] * 4, little, "xpsnr_y") > mean([flat] * 4, much, "xpsnr_y") + 6
    hidden = [videos.noisy(rough, k, 9) for k in range(4)]
    assert mean([rough] * 4, hidden, "xpsnr_y") > mean([flat] * 4, much, "xpsnr_y") + 3


def test_the_worst_frame_is_found(tmp_path: Path) -> None:
    source = videos.pan(96, 64, 6)
    shown = [videos.noisy(each, 1, 30 if number == 4 else 2) for number, each in enumerate(source)]
    one, other = videos.write(tmp_path / "a", source), videos.write(tmp_path / "b", shown)
    names = ("psnr_y", "activity_ratio", "band_ratio_0", "tdiff")
    options = EvaluationOptions(metrics=names, device="cpu", threads=1)
    scores = evaluate(one, other, options).scores
    assert [scores[name].worst_frame for name in ("psnr_y", "band_ratio_0")] == [4, 4]
    assert scores["tdiff"].worst_frame in (4, 5)
    assert scores["psnr_y"].worst < scores["psnr_y"].mean
    assert scores["band_ratio_0"].worst > scores["band_ratio_0"].mean > 1
    assert isinstance(scores["psnr_y"], Score)
    assert scores["psnr_y"].worst_time == pytest.approx(0.16)
    assert list(scores) == [name for name in METRICS if name in names]


def test_which_way_is_worse() -> None:
    assert METRICS["psnr_y"].badness(30) > METRICS["psnr_y"].badness(40)
    assert METRICS["tdiff"].badness(2) > METRICS["tdiff"].badness(1)
    ratio = METRICS["activity_ratio"]
    assert ratio.badness(0.5) == ratio.badness(1.5) > ratio.badness(1.1)


# Networks, with weights made up here: what is tested is the wiring, not the taste.


@pytest.fixture
def squeezenet(nothing_at_hand: Path) -> dict[str, torch.Tensor]:
    """Weights of torchvision's SqueezeNet 1.1 that no training made, in torch's hub folder."""
    define_torchvision_operators()
    models = pytest.importorskip("torchvision").models
    torch.manual_seed(0)
    weights: dict[str, torch.Tensor] = models.squeezenet1_1(weights=None).state_dict()
    torch.save(weights, nothing_at_hand / "checkpoints" / SQUEEZE)
    return weights


def linear_weights() -> dict[str, torch.Tensor]:
    lpips = pytest.importorskip("torchmetrics.functional.image.lpips")
    path = Path(lpips.__file__).parent / "lpips_models" / "squeeze.pth"
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return {f"lpips.lin{k}": stored[f"lin{k}.model.1.weight"].flatten() for k in range(7)}


def test_both_sources_of_lpips_are_the_same_metric(
    squeezenet: dict[str, torch.Tensor],
    source: Sequence[Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = [videos.noisy(each, seed) for seed, each in enumerate(source)]
    names = ("lpips_squeeze", "tlpips_squeeze")
    torchs = series(source[:3], shown[:3], *names)
    arrays = {**squeezenet, **linear_weights()}
    np.savez(
        tmp_path / "squeezenet1_1_lpips.npz",
        **{key: value.numpy() for key, value in arrays.items() if "classifier" not in key},
    )
    monkeypatch.setenv("GENCODEC_METRICS_DIR", str(tmp_path))
    ours = series(source[:3], shown[:3], *names)
    assert ours["lpips_squeeze"].average > 0.01
    assert ours["tlpips_squeeze"].frames == [1, 2]
    for name in names:
        assert ours[name].values == pytest.approx(torchs[name].values, rel=1e-3, abs=1e-6)
    same = series(source[:3], source[:3], *names)
    assert [same[name].average for name in names] == [0, 0]


@pytest.fixture
def vgg(nothing_at_hand: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of VGG16 that no training made, as if they were in torch's hub folder."""
    define_torchvision_operators()
    torchvision = pytest.importorskip("torchvision")
    (nothing_at_hand / "checkpoints" / "vgg16-397923af.pth").touch()
    torch.manual_seed(0)
    weights = torchvision.models.vgg16(weights=None).state_dict()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: weights
    )


@pytest.mark.usefixtures("vgg")
def test_what_vgg_sees_is_what_torchmetrics_says(
    source: Sequence[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gencodec.evaluation.metrics.vgg._AT_ONCE", 1 << 12)
    from torchmetrics.functional.image.dists import DISTSNetwork
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    shown = videos.noisy(source[0], 0)
    pair = torch.from_numpy(np.stack([source[0], shown])).permute(0, 3, 1, 2) / 255
    both = pair[:1], pair[1:]
    with torch.inference_mode():
        network = LearnedPerceptualImagePatchSimilarity(net_type="vgg").net
        lpips, dists = network(*both, normalize=True), DISTSNetwork()(*both)
    assert float(lpips) > 0.01
    for fast, within in ((False, 1e-5), (True, 1e-3)):
        precision = torch.autocast("cpu", torch.bfloat16, enabled=fast)
        monkeypatch.setattr(Setting, "fast", lambda _, chosen=precision: chosen)
        ours = series([source[0], shown], [shown, shown], "lpips_vgg", "dists")
        assert ours["lpips_vgg"].values == pytest.approx([float(lpips), 0], abs=within)
        assert ours["dists"].values == pytest.approx([float(dists), 0], abs=within)
        assert ours["lpips_vgg"].values[1] == 0


def test_lpips_of_the_documented_example() -> None:
    """Values: torchmetrics 1.9, LearnedPerceptualImagePatchSimilarity."""
    weights = Path(OWN_FOLDER) / "squeezenet1_1_lpips.npz"
    if not weights.exists():
        pytest.skip("no LPIPS weights: set GENCODEC_METRICS_DIR to the folder that holds them")
    generator = torch.Generator().manual_seed(42)
    one, other = (torch.rand(2, 3, 100, 100, generator=generator) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert Lpips(weights)(one, other).tolist() == pytest.approx([0.1024, 0.0938], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lpips_squeeze", "squeezenet1_1_lpips.npz, and its weights squeezenet1_1-b8a52dc0.pth"),
        ("lpips_alex", "alexnet-owt-7be5be79.pth (233 MB) are not in"),
        ("lpips_vgg", "vgg16-397923af.pth (528 MB) are not in"),
        ("dists", "vgg16-397923af.pth (528 MB) are not in"),
        ("squeeze10", "GENCODEC_METRICS_DIR names no folder with squeezenet1_0_caffe.npz"),
        ("vmaf", "no ffmpeg is on the PATH"),
    ],
)
def test_a_metric_whose_weights_are_missing_says_so(
    source: Sequence[Pixels], name: str, words: str
) -> None:
    assert words in missing(name, source)


def test_what_is_missing_is_listed_and_replaced_by_nothing(tmp_path: Path) -> None:
    clip = videos.write(tmp_path / "a.mkv", videos.pan(96, 64, 2))
    names = ("psnr_y", "lpips_alex", "dists", "ms_ssim")
    found = evaluate(clip, clip, EvaluationOptions(metrics=names, device="cpu", threads=1))
    assert list(found.scores) == ["psnr_y"]
    assert list(found.missing) == ["ms_ssim", "lpips_alex", "dists"]
    assert "96x64 are too small" in found.missing["ms_ssim"]
    assert json.loads(json.dumps(found.to_json()))["missing"] == found.missing


def test_damaged_weights_are_told_from_missing_ones(
    source: Sequence[Pixels],
    nothing_at_hand: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torchmetrics")
    (nothing_at_hand / "checkpoints" / SQUEEZE).write_bytes(b"no weights")
    assert "cannot be used" in missing("lpips_squeeze", source)
    monkeypatch.setenv("GENCODEC_METRICS_DIR", str(tmp_path))
    (tmp_path / "squeezenet1_0_caffe.npz").write_bytes(b"no weights")
    assert "cannot read the weights" in missing("squeeze10", source)
    np.savez(tmp_path / "squeezenet1_0_caffe.npz", something=np.zeros(3))
    assert "does not hold" in missing("squeeze10", source)


def test_weights_are_downloaded_on_request_only(
    squeezenet: dict[str, torch.Tensor],
    source: Sequence[Pixels],
    nothing_at_hand: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = nothing_at_hand / "checkpoints" / SQUEEZE
    assert squeezenet
    content = stored.read_bytes()
    stored.unlink()
    asked: list[str] = []

    def fetch(url: str, path: str, digits: str, *, progress: bool) -> None:
        asked.append(url)
        assert (digits, progress) == ("b8a52dc0", False)
        Path(path).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    missing("lpips_squeeze", source)
    assert asked == []
    meters, why = meters_for(["lpips_squeeze"], setting(source, download=True))
    assert (len(meters), why) == (1, {})
    assert asked == [f"https://download.pytorch.org/models/{SQUEEZE}"]


def test_a_download_that_fails_is_no_error(
    source: Sequence[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_keywords: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    assert "cannot be downloaded: <urlopen error no route to host>" in missing(
        "lpips_alex", source, download=True
    )


@pytest.mark.parametrize(
    ("name", "module"),
    [("warp_error", "cv2"), ("band_ratio_0", "cv2"), ("ms_ssim", "pytorch_msssim")],
)
def test_packages_that_are_not_installed_are_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    reason = missing(name, [videos.texture(200, 200)])
    assert reason == f"{module} is not installed: pip install 'gencodec[eval]'"


@pytest.mark.parametrize("side", [16, 32, 45])
def test_small_frames_crash_nothing(side: int) -> None:
    pictures = [videos.texture(side, side, seed) for seed in range(3)]
    meters, why = meters_for(METRICS, setting(pictures))
    for pair in pairs(pictures, pictures):
        for meter in meters:
            meter.add(pair)
    for meter in meters:
        meter.finish()
    assert "too small" in why["ms_ssim"]
    assert ("xpsnr_y" in why) == (side < 45)


# VMAF, by a program that stands for ffmpeg: the value is the mean difference of the two halves.

_FFMPEG = f"""#!{sys.executable} -IS
import json, sys
if "-filters" in sys.argv:
    print(" .. libvmaf VV->V")
    sys.exit()
width, height = map(int, sys.argv[sys.argv.index("-video_size") + 1].split("x"))
frames = []
while data := sys.stdin.buffer.read(3 * width * height):
    half = len(data) // 2
    error = sum(abs(a - b) for a, b in zip(data[:half], data[half:])) / half
    frames.append({{"frameNum": len(frames), "metrics": {{"vmaf": 100 - error}}}})
json.dump({{"frames": frames}}, open("vmaf.json", "w"))
"""


def program(folder: Path, text: str) -> None:
    path = folder / "ffmpeg"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.mark.skipif(os.name != "posix", reason="needs scripts that can be run")
def test_vmaf_comes_from_the_ffmpeg_on_the_path(source: Sequence[Pixels], tmp_path: Path) -> None:
    program(tmp_path, _FFMPEG)
    darker = [each - np.uint8(number) for number, each in enumerate(source)]
    found = series(source, darker, "vmaf")["vmaf"]
    assert found.values == pytest.approx([100 - number for number in range(len(source))])
    assert list(tmp_path.glob("**/vmaf.json")) == []


@pytest.mark.skipif(os.name != "posix", reason="needs scripts that can be run")
def test_an_ffmpeg_without_vmaf_or_with_a_fault_is_named(
    source: Sequence[Pixels], tmp_path: Path
) -> None:
    program(tmp_path, "#!/bin/sh\necho ' .. ssim VV->V'\n")
    assert "has no libvmaf" in missing("vmaf", source)
    program(
        tmp_path,
        '#!/bin/sh\ncase "$*" in *-filters*) echo libvmaf;; '
        "*) echo 'no such model' >&2; exit 1;; esac\n",
    )
    meters, _ = meters_for(["vmaf"], setting(source))
    for pair in pairs(source, source):
        meters[0].add(pair)
    with pytest.raises(MetricError, match="ffmpeg failed: no such model"):
        meters[0].finish()
    meters[0].close()


@pytest.mark.skipif(os.name != "posix", reason="needs scripts that can be run")
def test_an_evaluation_that_stops_leaves_no_ffmpeg_behind(
    source: Sequence[Pixels], tmp_path: Path
) -> None:
    program(tmp_path, _FFMPEG)
    meters, _ = meters_for(["vmaf"], setting(source))
    meters[0].add(next(pairs(source, source)))
    meters[0].close()
    meters[0].close()
    assert meters[0]._process.poll() is not None  # type: ignore[attr-defined]
