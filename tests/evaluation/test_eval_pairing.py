from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests import tiny
from tests.evaluation import videos

from gencodec.errors import FormatError, SourceError
from gencodec.evaluation import Evaluation, EvaluationOptions, evaluate, open_frames
from gencodec.frames import Pixels

LOSSLESS = 100.0


def measured(reference: Path, distorted: Path, **options: object) -> Evaluation:
    """Compare by PSNR alone, on one thread."""
    given = {"metrics": ("psnr_rgb",), "device": "cpu", "threads": 1, **options}
    return evaluate(reference, distorted, EvaluationOptions(**given))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pictures() -> Sequence[Pixels]:
    return videos.pan(64, 48, 8)


@pytest.fixture(scope="module")
def reference(pictures: Sequence[Pixels], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.write(tmp_path_factory.mktemp("reference") / "ref.mkv", pictures)


def test_a_video_is_like_itself(reference: Path) -> None:
    found = measured(reference, reference)
    assert found.scores["psnr_rgb"].mean == found.scores["psnr_rgb"].worst == LOSSLESS
    assert (found.width, found.height, found.frames) == (64, 48, 8)
    assert found.duration == pytest.approx(8 / 25)
    assert found.bytes == reference.stat().st_size
    assert found.bpp == pytest.approx(8 * found.bytes / (64 * 48 * 8))
    assert found.missing == {}
    assert found.warnings == ()


def test_frames_are_compared_that_are_shown_at_the_same_time(
    reference: Path, pictures: Sequence[Pixels], tmp_path: Path
) -> None:
    without = [0, 1, 2, 4, 5, 6, 7]
    dropped = videos.write(
        tmp_path / "dropped.mkv", [pictures[k] for k in without], [40 * k for k in without]
    )
    with pytest.raises(SourceError, match=r"frame 3 is shown at 0\.120 s in .*ref\.mkv") as error:
        measured(reference, dropped)
    assert "0.160 s in" in str(error.value)
    assert "--align" in str(error.value)

    found = measured(reference, dropped, align=True)
    assert found.scores["psnr_rgb"].worst == LOSSLESS  # by position it would be some 20 dB
    assert found.frames == 7
    assert any("1 frames of the reference and 0" in warning for warning in found.warnings)


def test_an_extra_frame_has_no_partner(
    reference: Path, pictures: Sequence[Pixels], tmp_path: Path
) -> None:
    doubled = [*pictures[:3], *pictures[2:]]
    times = [0, 40, 80, 100, 120, 160, 200, 240, 280]
    extra = videos.write(tmp_path / "extra.mkv", doubled, times)
    with pytest.raises(SourceError, match="frame 3 is shown at"):
        measured(reference, extra)
    found = measured(reference, extra, align=True)
    assert (found.frames, found.scores["psnr_rgb"].worst) == (8, LOSSLESS)
    assert any("0 frames of the reference and 1" in warning for warning in found.warnings)
    assert found.bpp is None  # the size is that of nine frames


def test_rounded_times_are_the_same_moment(pictures: Sequence[Pixels], tmp_path: Path) -> None:
    exact = tiny.write_clip(
        tmp_path / "30.y4m",
        pictures,
        frame_rate=Fraction(30000, 1001),
        time_base=Fraction(1001, 30000),
    )
    with open_frames(exact) as frames:
        shown = [(rgb, round(1000 * seconds)) for seconds, rgb in frames]
    late = [time + 83 for _, time in shown]  # times count from the first frame
    rounded = videos.write(tmp_path / "r.mkv", [rgb for rgb, _ in shown], late)
    assert measured(exact, rounded).scores["psnr_rgb"].worst == LOSSLESS


def test_a_shorter_video_is_named(
    reference: Path, pictures: Sequence[Pixels], tmp_path: Path
) -> None:
    short = videos.write(tmp_path / "short.mkv", pictures[:5])
    with pytest.raises(SourceError, match=r"short\.mkv has 5 frames and .*ref\.mkv more"):
        measured(reference, short)
    with pytest.raises(SourceError, match=r"short\.mkv has 5 frames and .*ref\.mkv more"):
        measured(short, reference)
    assert measured(reference, short, frames=5).frames == 5
    assert measured(reference, short, align=True).frames == 5


def test_another_rate_is_named(reference: Path, pictures: Sequence[Pixels], tmp_path: Path) -> None:
    fast = tiny.write_clip(
        tmp_path / "fast.y4m", pictures, frame_rate=Fraction(50), time_base=Fraction(1, 50)
    )
    with pytest.raises(SourceError, match=r"25 frames/s.*50 frames/s"):
        measured(reference, fast)
    assert measured(reference, fast, align=True).frames == 4


def test_another_size_is_named_and_scaled_on_request(tmp_path: Path) -> None:
    large = [videos.blur(each, 8) for each in videos.pan(96, 64, 3)]
    small = [each[::2, ::2] for each in large]
    paths = [videos.write(tmp_path / f"{each[0].shape[1]}.mkv", each) for each in (large, small)]
    with pytest.raises(SourceError, match=r"96\.mkv is 96x64 and .*48\.mkv 48x32; pass --align"):
        measured(*paths)
    found = measured(*paths, align=True)
    assert (found.width, found.height) == (96, 64)
    assert found.scores["psnr_rgb"].mean > 25
    assert found.warnings == ("aligned: scaled from 48x32 to 96x64",)
    assert found.bpp == pytest.approx(8 * found.bytes / (48 * 32 * 3))


def test_videos_are_compared_upright(pictures: Sequence[Pixels], tmp_path: Path) -> None:
    tagged = tiny.write_clip(tmp_path / "tagged.mp4", pictures, rotation=90)
    with open_frames(tagged) as frames:
        assert (frames.width, frames.height) == (48, 64)
        turned = [rgb for _, rgb in frames]
    assert turned[0].shape == (64, 48, 3)
    clockwise = np.rot90(pictures[0], -1)
    assert np.abs(turned[0].astype(np.float64) - clockwise).mean() < 12
    upright = videos.write(tmp_path / "upright.mkv", turned)
    assert measured(tagged, upright).scores["psnr_rgb"].worst == LOSSLESS


def test_a_gnv_is_decoded_first(clip_file: Path, gnv_file: Path, tmp_path: Path) -> None:
    found = measured(clip_file, gnv_file, frames=9)
    assert 10 < found.scores["psnr_rgb"].mean < 60
    assert found.bpp is None
    assert found.warnings == ()
    unnamed = tmp_path / "without-suffix"
    unnamed.write_bytes(gnv_file.read_bytes())
    assert measured(clip_file, unnamed, frames=9).scores == found.scores
    base = measured(clip_file, gnv_file, frames=9, base=True)
    assert base.scores != found.scores
    assert measured(clip_file, gnv_file, frames=9, steps=0).scores == base.scores


def test_files_that_cannot_be_read_are_named(
    reference: Path, gnv_bytes: bytes, tiny_pack: Path, tmp_path: Path
) -> None:
    assert tiny_pack.exists()
    with pytest.raises(SourceError, match=r"none\.mp4"):
        measured(reference, tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"text\.mp4"):
        measured(tmp_path / "text.mp4", reference)
    damaged = bytearray(gnv_bytes)
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.gnv").write_bytes(damaged)
    with pytest.raises(FormatError):
        measured(tmp_path / "damaged.gnv", tmp_path / "damaged.gnv")


def test_a_metric_that_does_not_exist_is_refused(reference: Path) -> None:
    with pytest.raises(ValueError, match="psnr_z: no such metric; there are psnr_y"):
        measured(reference, reference, metrics=("psnr_y", "psnr_z"))
