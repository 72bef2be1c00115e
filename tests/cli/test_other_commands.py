from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import gencodec.packs
from gencodec.cli.console import Console
from gencodec.errors import PackError

if TYPE_CHECKING:
    from tests.cli.conftest import Gencodec, Library


def test_decode_passes_every_option(
    gencodec: Gencodec, library: Library, coded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "seconds", 40.0)  # the library counts half of them
    options = (
        "--steps 4 --start 1:02.5 --end 70 --pack-dir a --pack-dir b "
        "--device cpu --threads 1 --max-pixels 8M"
    )

    outcome = gencodec("decode", "in.gnv", "-o", "out.mp4", "-y", *options.split())

    assert outcome.exit_code == 0
    args, keywords = library.only
    assert args == ("in.gnv", "out.mp4")
    keywords.pop("on_progress")
    assert keywords == {
        "base": False,
        "steps": 4,
        "start": Fraction(125, 2),
        "end": Fraction(70),
        "device": "cpu",
        "threads": 1,
        "overwrite": False,
        "max_pixels": 8_000_000,
        "pack_dirs": (Path("a"), Path("b")),
        "conceal": None,
        "pixel_format": None,
    }
    assert outcome.stderr.splitlines() == [
        "out.mp4: 300 frames, 640x360, 0:10.01",
        "40.0 s (7.5 frames/s), 2 refinement steps, cpu, float32: asked for",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "add -o OUT.mp4"),
        (["-o", "x.mp4", "--base", "--steps", "2"], "--base means no refinement"),
        (["-o", "x.mp4", "--start", "5", "--end", "5"], "is not after --start"),
        (["-o", "x.mp4", "--end", "0"], "is not after --start"),
        (["-o", "x.mp4", "--start", "1:99"], "is no time"),
    ],
)
def test_decode_refuses_contradictions(
    gencodec: Gencodec, library: Library, arguments: list[str], words: str
) -> None:
    outcome = gencodec("decode", "in.gnv", *arguments)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert library.calls == []


def test_decode_exits_with_7_when_the_end_is_missing(
    gencodec: Gencodec, library: Library, coded: str
) -> None:
    library.result = replace(library.result, complete=False, warnings=("the file is cut",))
    outcome = gencodec("decode", "in.gnv", "-o", "out.mp4")
    assert outcome.exit_code == 7
    assert outcome.stderr.startswith("warning: the file is cut\n")


def test_decode_asks_only_about_a_folder_that_holds_something(
    gencodec: Gencodec, library: Library, coded: str
) -> None:
    Path("frames").mkdir()
    assert gencodec("decode", "in.gnv", "-o", "frames/").exit_code == 0
    assert library.only[0] == ("in.gnv", "frames/")
    Path("frames/frame_000000.png").touch()
    assert gencodec("decode", "in.gnv", "-o", "frames/").exit_code == 4


def test_decode_writes_y4m_to_stdout_and_json_beside_it(
    gencodec: Gencodec, library: Library
) -> None:
    outcome = gencodec("decode", "-", "-o", "-", "--json", "--base", stdin=b"gnv")
    assert outcome.stdout == library.product
    assert outcome.events[0]["frames"] == 300


def test_info_json_is_the_record_of_the_library(gencodec: Gencodec, library: Library) -> None:
    outcome = gencodec("info", "in.gnv", "--json")
    assert outcome.exit_code == 0
    assert outcome.json == library.record
    assert library.only[0] == ("in.gnv",)


def test_info_shows_facts_and_one_row_a_group(gencodec: Gencodec, library: Library) -> None:
    outcome = gencodec("info", "in.gnv")

    lines = [" ".join(line.split()) for line in outcome.stdout.decode().splitlines()]
    assert "picture 640x360, 8 bit, pixel aspect 8:9, rotated by 90 degrees" in lines
    assert "colour primaries 1, matrix 1" in lines
    size = "size 38.2 kB (37.8 kB payload, 400 B container, 900 B sound, subtitles and tags)"
    assert size in lines
    assert "title: a walk" in lines
    assert "chapters 0:00.00 One; 0:01.50" in lines
    assert "light at most 1000 cd/m2, 400 on average" in lines
    assert "1 audio opus deu 48000 2 50 800 default" in lines
    assert "pack mini abababababab, installed" in lines
    assert lines[-3:] == [
        "group offset bytes frames start quality size steps level cut",
        "0 100 3800 33 0:00.00 20 half 2 0.3",
        "1 3900 3800 33 0:01.10 20 half 2 0.3 cut",
    ]
    assert outcome.stderr == ""


def test_info_never_lets_a_file_steer_the_terminal(gencodec: Gencodec, library: Library) -> None:
    library.record["pack"]["name"] = "evil\x1b]0;title\x07\n[red]x[/]"
    shown = gencodec("info", "in.gnv").stdout.decode()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"evil\x1b]0;title\x07\n[red]x[/]" in shown


def test_info_says_when_the_file_is_incomplete(gencodec: Gencodec, library: Library) -> None:
    library.record["complete"] = False
    library.record["groups"] = []
    outcome = gencodec("info", "in.gnv")
    assert outcome.exit_code == 0
    assert "has no end" in outcome.stderr


def test_info_of_a_damaged_file_shows_what_is_whole(gencodec: Gencodec, library: Library) -> None:
    library.record |= {"complete": False, "damages": [{"offset": 9, "bytes": 1, "reason": "x"}]}
    outcome = gencodec("info", "in.gnv")
    assert outcome.exit_code == 6
    assert b"picture" in outcome.stdout
    assert outcome.stderr == "error: in.gnv: x; copy it again from where it came\n"
    outcome = gencodec("info", "in.gnv", "--json")
    assert (outcome.exit_code, outcome.json) == (6, library.record)


def test_info_shows_groups_of_an_unknown_coder(gencodec: Gencodec, library: Library) -> None:
    library.record["groups"][1] |= dict.fromkeys(("half_size", "quality", "steps", "start_level"))
    library.record["pack"] |= {"name": None, "installed": False}
    library.record["sample_aspect"] = "1:1"
    lines = gencodec("info", "in.gnv").stdout.decode().splitlines()
    assert "aspect" not in "".join(lines)
    assert lines[-1].split() == ["1", "3900", "3800", "33", "0:01.10", "-", "-", "-", "cut"]
    assert "unknown abababababab, not installed" in " ".join(lines)


def test_info_reads_stdin(gencodec: Gencodec, library: Library) -> None:
    assert gencodec("info", "-", "--json", stdin=b"gnv").exit_code == 0
    assert library.only[0] == ("-",)


def test_verify_tells_what_was_checked(gencodec: Gencodec, library: Library) -> None:
    outcome = gencodec("verify", "in.gnv")
    assert outcome.exit_code == 0
    assert outcome.stderr == ("in.gnv: 10 groups, 300 frames, 12345 symbols, 38.2 kB: no damage\n")
    assert gencodec("verify", "in.gnv", "--json").json["symbols"] == 12345


def test_verify_exits_with_7_when_the_end_is_missing(gencodec: Gencodec, library: Library) -> None:
    library.result = replace(library.result, complete=False)
    outcome = gencodec("verify", "in.gnv")
    assert outcome.exit_code == 7
    assert "warning: in.gnv has no end; 10 groups could be checked" in outcome.stderr
    assert outcome.stderr.endswith("no damage so far, but the rest is missing\n")


@dataclass
class Pack:
    name: str
    version: str = "1"
    sha256: str = "cd" * 32
    path: Path = Path("packs/mini")
    bytes: int = 30_000_000
    licence: str = "Apache-2.0"
    use: str = "research-only"
    has_codec: bool = True


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
    installed = [Pack("mini"), Pack("broken", path=Path("packs/broken"))]

    def find(name: str) -> Path:
        for pack in installed:
            if pack.name == name:
                return pack.path
        raise PackError(f"model pack {name} is not installed")

    def check(folder: Path) -> Pack:
        if folder.name == "broken":
            raise PackError("vae.safetensors is damaged")
        return next(pack for pack in installed if pack.path == folder)

    monkeypatch.setattr(gencodec.packs, "list_packs", lambda: installed)
    monkeypatch.setattr(gencodec.packs, "find_pack", find)
    monkeypatch.setattr(gencodec.packs, "verify_pack", check)
    for pack in installed:
        pack.path.mkdir(parents=True)
    return installed


@pytest.fixture(autouse=True)
def _in_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_models_list_shows_every_pack(gencodec: Gencodec, packs: list[Pack]) -> None:
    packs[0].licence = "Apache-2.0 for the code; the weights are for research only " * 2
    lines = [line.rstrip() for line in gencodec("models", "list").stdout.decode().splitlines()]
    assert lines[0] == "pack     mini 1, 30.00 MB"
    assert lines[1] == "sha256   cdcdcdcdcdcd"
    assert lines[2] == "codes    gnvc-vd, gvc"
    assert lines[4] == f"licence  {packs[0].licence}".rstrip()
    assert lines[6:8] == ["", "pack     broken 1, 30.00 MB"]

    listed = gencodec("models", "list", "--json").json["packs"]
    assert [pack["name"] for pack in listed] == ["mini", "broken"]
    assert listed[0]["sha256"] == "cd" * 32
    assert listed[0]["path"] == "packs/mini"


def test_models_list_without_packs_says_so(gencodec: Gencodec, packs: list[Pack]) -> None:
    packs.clear()
    outcome = gencodec("models", "list")
    assert (outcome.exit_code, outcome.stdout) == (0, b"")
    assert "no model pack is installed" in outcome.stderr
    record = gencodec("models", "list", "--json").json
    assert record["packs"] == []
    published = ["wan2.1-1.3b", "wan2.1-14b", "wan2.1-vace-1.3b"]
    assert [pack["name"] for pack in record["available"]] == published
    for name in published:
        assert f"not installed: {name} (gencodec models fetch {name} loads" in outcome.stderr


def test_models_list_tells_a_generator_from_a_codec(gencodec: Gencodec, packs: list[Pack]) -> None:
    packs[:] = [Pack("wan2.1-14b", has_codec=False)]
    outcome = gencodec("models", "list")
    assert b"codes    gvc; it has no codec for gnvc-vd" in outcome.stdout
    assert "wan2.1-14b" not in outcome.stderr
    assert "wan2.1-1.3b" in outcome.stderr


def test_models_fetch_installs_a_pack(
    gencodec: Gencodec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gencodec.packs import wan

    asked: list[tuple[str, Path | None]] = []

    def fetch(name: str, source: Path | None) -> Pack:
        asked.append((name, source))
        return Pack(name, has_codec=False)

    monkeypatch.setattr(wan, "fetch_pack", fetch)
    outcome = gencodec("models", "fetch", "wan2.1-1.3b")
    assert "wan2.1-1.3b 1, 30.00 MB, installed in packs/mini" in outcome.stderr
    outcome = gencodec("models", "fetch", "small", "--from", str(tmp_path), "--json")
    assert outcome.json["has_codec"] is False
    assert asked == [("wan2.1-1.3b", None), ("small", tmp_path)]
    assert gencodec("models", "fetch", "small", "--from", "nowhere").exit_code == 2


def test_models_fetch_says_why_a_download_failed(
    gencodec: Gencodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def fail(*_: object, **__: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    outcome = gencodec("models", "fetch", "wan2.1-14b")
    assert outcome.exit_code == 5
    assert "cannot download Wan-AI/Wan2.1-T2V-14B-Diffusers: no route to host" in outcome.stderr
    assert "--from FOLDER" in outcome.stderr


def test_models_verify_checks_all_packs_and_exits_with_5(
    gencodec: Gencodec, packs: list[Pack]
) -> None:
    outcome = gencodec("models", "verify")
    assert outcome.exit_code == 5
    assert outcome.stderr.splitlines() == [
        "mini: as published",
        "packs/broken: vae.safetensors is damaged",
    ]
    record = gencodec("models", "verify", "--json").json
    assert [pack["ok"] for pack in record["packs"]] == [True, False]


@pytest.mark.parametrize(
    ("name", "exit_code"), [("mini", 0), ("packs/mini", 0), ("broken", 5), ("unknown", 5)]
)
def test_models_verify_checks_one_pack(
    gencodec: Gencodec, packs: list[Pack], name: str, exit_code: int
) -> None:
    assert gencodec("models", "verify", name).exit_code == exit_code


@dataclass
class Trained:
    steps: Mapping[str, int]
    seconds: float = 3600.0
    run: Path = Path("runs/mini")
    pack: Path = Path("runs/mini/pack")
    log: Path = Path("runs/mini/log.jsonl")


def test_train_passes_every_option(gencodec: Gencodec, library: Library) -> None:
    library.result = Trained({"prior": 10, "codec": 20})
    arguments = (
        "train mini --clips a b --run r --minutes 5 --stage prior codec --clips c --from packs/x "
        "--device cuda --threads 2 --metrics-dir m"
    )

    outcome = gencodec(*arguments.split())

    assert outcome.exit_code == 0
    args, keywords = library.only
    assert args == ("mini",)
    keywords.pop("on_progress")
    assert keywords == {
        "clips": (Path("a"), Path("b"), Path("c")),
        "run": Path("r"),
        "minutes": 5.0,
        "stages": ("prior", "codec"),
        "start_from": "packs/x",
        "device": "cuda",
        "threads": 2,
        "metrics_dir": Path("m"),
    }
    assert outcome.stderr.splitlines() == [
        "steps: prior 10, codec 20; 1:00:00.00; pack in runs/mini/pack",
        "log in runs/mini/log.jsonl",
    ]
    assert gencodec("train", "mini", "--clips", "a", "--json").json["steps"]["codec"] == 20


def test_train_has_defaults_for_all_but_the_clips(gencodec: Gencodec, library: Library) -> None:
    library.result = Trained({})
    assert gencodec("train", "mini").exit_code == 2
    assert gencodec("train", "mini", "--clips", "a").exit_code == 0
    keywords = library.only[1]
    assert keywords["run"] == Path("runs/mini")
    assert keywords["stages"] is None
    assert keywords["minutes"] == 30


def test_train_without_its_extra_says_what_to_install(gencodec: Gencodec, library: Library) -> None:
    library.error = ModuleNotFoundError("No module named 'compressai'", name="compressai")
    outcome = gencodec("train", "mini", "--clips", "a")
    assert outcome.exit_code == 1
    assert outcome.stderr == (
        "error: training needs compressai; run: pip install 'gencodec[train]'\n"
    )


def test_completions_print_a_script_and_answer_the_shell(
    gencodec: Gencodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"_GENCODEC_COMPLETE" in gencodec("completions", "zsh").stdout
    assert gencodec("completions", "tcsh").exit_code == 2
    monkeypatch.setenv("_GENCODEC_COMPLETE", "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", "gencodec dec")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert b"decode" in gencodec().stdout


def test_train_tells_what_it_takes(
    gencodec: Gencodec,
    training: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    asked: list[tuple[str, int]] = []

    def estimate(recipe: Any, processes: int) -> list[Any]:  # noqa: ANN401
        asked.append((recipe.name, processes))
        known: dict[str, Any] = {
            "trained": 800_000_000,
            "frozen": 1_500_000_000,
            "batch": 8,
            "flops": 1e15,
        }
        return [
            training.StageEstimate(
                stage=stage, steps=steps, hours=hours, processes=processes,
                memory_bytes=42_000_000_000, **known,
            )
            for stage, steps, hours in (("align", 100_000, 250.0), ("motion", None, None))
        ]  # fmt: skip

    monkeypatch.setattr(training, "estimate", estimate)
    outcome = gencodec("train", "wan2.1-vace-1.3b", "--dry-run", "--processes", "2")
    assert outcome.stderr.splitlines() == [
        "align: 800.0 M parameters trained, 1,500.0 M frozen; batch 8; 42.0 GB a GPU; "
        "100,000 steps, 250 hours",
        "motion: 800.0 M parameters trained, 1,500.0 M frozen; batch 8; 42.0 GB a GPU; "
        "as long as --minutes",
        "assumed: 2 GPU at 35% of 312 TFLOP/s",
    ]
    assert asked == [("gnvc-wan2.1-vace-1.3b", 2)]
    assert gencodec("train", "mini").exit_code == 2
    assert gencodec("train", "maxi", "--dry-run").exit_code == 5
