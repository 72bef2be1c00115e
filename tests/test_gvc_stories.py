"""GVC as somebody uses it: encode with a rate, decode, look inside, seek, lose a piece."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests import tiny

import gencodec
from gencodec import GvcSettings, Target
from gencodec.concealing import Conceal
from gencodec.container import GroupRecord, GvcBlock, Header, Reader, Writer
from gencodec.decoding import Decoder
from gencodec.errors import FormatError, PackError, UsageError
from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.gvc import Schedule, latent_frames, parse_pictures, read_gvc_block
from gencodec.gvc.atoms import Codebook
from gencodec.packs.models import load_models
from gencodec.progress import Progress
from gencodec.symbols import Choice, choices_bytes

VARIANTS = ("t2v", "i2v", "flf2v")
FRAMES = 18
Coded = Callable[..., bytes]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 48x40 with a cut before frame 11."""
    pictures = tiny.clip(48, 40, FRAMES, cuts=[11])
    return tiny.write_clip(tmp_path_factory.mktemp("clips") / "clip.y4m", pictures)


@pytest.fixture(scope="module")
def coded(
    clip: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., bytes]:
    """Return a function that codes the clip with the tiny pack; the same is not coded twice."""
    made: dict[str, bytes] = {}

    def run(
        variant: str,
        target: Target | None = None,
        *,
        gop: int = 5,
        **settings: Any,  # noqa: ANN401
    ) -> bytes:
        key = f"{variant} {target} {gop} {settings}"
        if key not in made:
            path = tmp_path_factory.mktemp("coded") / "out.gnv"
            given = {"steps": 6, "codebook": 512, **settings}
            if target is None:
                given.setdefault("atoms", 8)
            gencodec.encode(
                clip,
                path,
                target=target or Target(bpp=1),
                gop=gop,
                pack=tiny_folder,
                gvc=GvcSettings(variant=variant, **given),
            )
            made[key] = path.read_bytes()
        return made[key]

    return run


def records(data: bytes) -> list[GroupRecord]:
    return list(Reader(io.BytesIO(data)).groups())


def shown(data: bytes, start: Fraction | None = None) -> NDArray[np.uint8]:
    decoder = Decoder(io.BytesIO(data), Execution.choose("cpu"))
    return np.stack([f.rgb for f in decoder.frames(decoder.records(start, None), start)])


def rewritten(
    data: bytes,
    group: Callable[[GroupRecord], GroupRecord] = lambda r: r,
    header: Callable[[Header], Header] = lambda h: h,
) -> bytes:
    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    with Writer(out, header(reader.header)) as writer:
        for record in reader.groups():
            writer.write_group(group(record))
    return out.getvalue()


# -- round trip and rate ---------------------------------------------------------------------------


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize(("variant", "cache"), [("t2v", True), ("i2v", False), ("flf2v", False)])
def test_a_file_decodes_verifies_and_says_what_it_is(
    variant: str, cache: bool, coded: Coded, tmp_path: Path
) -> None:
    data = coded(variant, cache=True) if cache else coded(variant)
    info = gencodec.info(io.BytesIO(data))
    assert info.profile == f"gvc-{variant}"
    assert {(g.steps, g.codebook, g.atoms, g.variant) for g in info.groups} == {
        (6, 512, 8.0, variant)
    }
    assert {g.evaluations for g in info.groups} == {4 if cache else 6}
    checked = gencodec.verify(io.BytesIO(data))
    assert (checked.frames, checked.complete) == (FRAMES, True)
    result = gencodec.decode(io.BytesIO(data), tmp_path / "out.mkv")
    assert (result.frames, result.steps, result.warnings) == (FRAMES, (6, 6), ())
    assert np.array_equal(shown(data), shown(data))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rate_is_known_beforehand_to_the_byte(variant: str, coded: Coded) -> None:
    data = coded(variant)
    info = gencodec.info(io.BytesIO(data))
    for record, row in zip(records(data), info.groups, strict=True):
        block = read_gvc_block(record)
        latents = latent_shape(latent_frames(record), 40, 48, tiny.STRIDE)[0]
        pictures, _ = parse_pictures(record)
        atoms = choices_bytes(Schedule(block, latents).sizes, 512)
        assert row.payload_bytes == atoms + sum(picture.size for picture in pictures)
        if variant == "t2v":
            assert atoms == choices_bytes([8] * 3 * latents, 512)


@pytest.mark.parametrize(
    ("variant", "target"),
    [("t2v", Target(bpp=1.2)), ("i2v", Target(size=3000)), ("flf2v", Target(bitrate=30_000))],
)
def test_a_target_is_hit_from_below(variant: str, target: Target, coded: Coded) -> None:
    pictures = {} if variant == "t2v" else {"reference_quality": 4}
    size = len(coded(variant, target, gop=9, codebook=4096, **pictures))
    wanted = target.file_bytes(48 * 40 * FRAMES, Fraction(FRAMES, 25))
    assert wanted is not None
    assert 0.98 * wanted < size <= wanted


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("variant", ["i2v", "flf2v"])
def test_reference_pictures_leave_room_for_atoms(variant: str, coded: Coded) -> None:
    least = len(coded(variant, gop=9, reference_quality=0, codebook=4096, atoms=1))
    most = len(coded(variant, gop=9, codebook=4096, atoms=1))
    wanted = (2 * least + most) // 3
    data = coded(variant, Target(size=wanted), gop=9, codebook=4096)
    assert 0.95 * wanted < len(data) <= wanted
    blocks = [read_gvc_block(record) for record in records(data)]
    assert blocks[0].atoms > 0
    assert max(block.quality for block in blocks) < 32
    result = gencodec.verify(io.BytesIO(data))
    assert result.complete


def test_a_pipe_is_steered_to_its_target(tiny_folder: Path, clip: Path) -> None:
    from gencodec.frames import open_source
    from gencodec.gvc_encoding import GvcEncoder

    execution = Execution.choose("cpu")
    told: list[Progress] = []
    with open_source(clip) as source:
        source.rewindable = False
        encoder = GvcEncoder(
            source,
            load_models(tiny_folder, execution),
            GvcSettings(steps=5),
            target=Target(bpp=0.3),
            group_frames=5,
            execution=execution,
            on_progress=told.append,
        )
        stream = io.BytesIO()
        encoded = encoder.run(stream)
    assert encoded.wanted_bytes == pytest.approx(0.3 * 48 * 40 * FRAMES / 8)
    assert len(stream.getvalue()) == pytest.approx(encoded.wanted_bytes, rel=0.03)
    assert {p.stage for p in told} == {"code"}
    assert "atoms" in told[-1].detail


def test_encoding_twice_gives_the_same_bytes(
    clip: Path, tiny_folder: Path, coded: Coded, tmp_path: Path
) -> None:
    settings = GvcSettings(variant="i2v", steps=6, codebook=512, atoms=8)
    again = tmp_path / "again.gnv"
    gencodec.encode(clip, again, gop=5, pack=tiny_folder, gvc=settings)
    assert again.read_bytes() == coded("i2v")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_plan_says_how_large_the_file_will_be(
    variant: str, coded: Coded, clip: Path, tiny_folder: Path
) -> None:
    from gencodec.gvc_plan import plan

    settings = GvcSettings(variant=variant, steps=6, codebook=512, atoms=8)
    planned = plan(clip, settings, gop=5, pack=tiny_folder)
    made = gencodec.info(io.BytesIO(coded(variant)))
    assert planned.bytes == pytest.approx(made.bytes, abs=0 if variant == "t2v" else 25)
    assert (planned.groups, planned.frames) == (len(made.groups), FRAMES)
    assert planned.evaluations == 6 * planned.groups
    assert planned.sampling_seconds > planned.evaluation_seconds > 0
    assert planned.peak_bytes > 1 << 20


def test_the_command_plans_encodes_and_explains(
    command: Callable[..., tuple[int, bytes, str]], clip: Path, tiny_pack: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gnv"
    given = ["encode", clip, "-o", output, "--pack", tiny_pack, "--gop", "9", "--progress", "off"]
    steered = [
        *given,
        "--profile",
        "gvc-flf2v",
        "--steps",
        "5",
        "--codebook",
        "300",
        "--atoms",
        "4",
    ]
    code, out, err = command(*steered, "--dry-run", "--json")
    assert (code, output.exists()) == (0, False), err
    planned = json.loads(out)
    code, _, err = command(*steered)
    assert code == 0
    assert "4 atoms" in err
    assert planned["bytes"] == pytest.approx(output.stat().st_size, abs=12)
    code, out, _ = command("info", output)
    assert code == 0
    assert b"profile gvc-flf2v" in out
    assert b"needs" in out
    for wrong, words in (
        ([*given, "--atoms", "3"], "need --profile gvc"),
        ([*given, "--dry-run"], "needs a --profile"),
        ([*steered, "--bpp", "0.1"], "exclude each other"),
    ):
        code, _, err = command(*wrong)
        assert code == 2
        assert words in err


# -- groups that need others -----------------------------------------------------------------------


def test_groups_name_the_groups_they_need(coded: Coded) -> None:
    needs = {v: [g.needs for g in gencodec.info(io.BytesIO(coded(v))).groups] for v in VARIANTS}
    assert set(needs["t2v"]) == {()}
    assert needs["flf2v"] == needs["i2v"] == [(), (0,), (1,), (), (3,)]  # a cut at frame 11
    segments = [g.needs for g in gencodec.info(io.BytesIO(coded("i2v", atoms=2, segment=2))).groups]
    assert segments == [(), (0,), (), (), ()]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.usefixtures("tiny_pack")
def test_a_part_is_decoded_as_it_is_in_the_whole(variant: str, coded: Coded) -> None:
    data = coded(variant)
    whole = shown(data)
    for first in (6, 15):
        assert np.array_equal(shown(data, Fraction(first, 25)), whole[first:])

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    decoder = Decoder(Pipe(data), Execution.choose("cpu"))
    start = Fraction(9, 25)
    piped = [f.rgb for f in decoder.frames(decoder.records(start, None), start)]
    assert np.array_equal(np.stack(piped), whole[9:])


def flip(data: bytes, group: int) -> bytes:
    """Damage the last byte of a group's payload."""
    found = records(data)[group]
    at = found.offset + found.container_bytes + len(found.payload) - 5
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.usefixtures("tiny_pack")
def test_a_lost_boundary_loses_its_two_groups_only(coded: Coded) -> None:
    data = coded("flf2v")
    whole, starts = shown(data), [records(data)[n].ticks[0] for n in (0, 1, 2)]
    damaged = flip(data, 0)
    for lost in starts[:2]:
        with pytest.raises(FormatError):
            shown(damaged, Fraction(lost, 25))
    assert np.array_equal(shown(damaged, Fraction(starts[2], 25)), whole[starts[2] :])


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("conceal", ["freeze", "base"])
def test_what_needs_a_lost_group_is_concealed_with_it(
    conceal: Conceal, coded: Coded, tmp_path: Path
) -> None:
    data = coded("i2v")
    lost = gencodec.info(io.BytesIO(data)).groups[:3]  # of one chain, the first is damaged
    damaged = io.BytesIO(flip(data, 0))
    result = gencodec.decode(damaged, tmp_path / "out.mkv", conceal=conceal)
    assert result.lost_groups == ((0, 0), (0, 1), (0, 2))
    assert (result.frames, result.concealed_frames) == (FRAMES, sum(g.frames for g in lost))


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("variant", ["i2v", "flf2v"])
def test_a_group_whose_boundary_is_gone_says_so(variant: str, coded: Coded) -> None:
    data = coded(variant)
    decoder = Decoder(io.BytesIO(data), Execution.choose("cpu"))
    with pytest.raises(FormatError, match=r"group 1 needs group 0.*next group on with --start"):
        list(decoder.frames([records(data)[1]]))


def test_the_file_says_how_far_the_flow_model_looks(
    tiny_folder: Path, clip: Path, tmp_path: Path
) -> None:
    windows = []
    for gvc in (GvcSettings(variant="t2v", steps=6, codebook=512, atoms=8), None):
        stream = tmp_path / f"{gvc is None}.gnv"
        defaults = {"prior_frames": 2, "tile_frames": 4}
        gencodec.encode(clip, stream, gop=5, pack=tiny_folder, gvc=gvc, defaults=defaults)
        windows.append(Reader(io.BytesIO(stream.read_bytes())).header.refine_window)
    assert windows == [2, 4]


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_video_of_one_frame_is_a_group(variant: str, tiny_folder: Path, tmp_path: Path) -> None:
    clip = tiny.write_clip(tmp_path / "one.y4m", tiny.clip(48, 40, 1))
    stream = io.BytesIO()
    settings = GvcSettings(variant=variant, steps=4, codebook=64, atoms=4)
    gencodec.encode(clip, stream, gop=5, pack=tiny_folder, gvc=settings)
    assert shown(stream.getvalue()).shape == (1, 40, 48, 3)


# -- what steering is worth ------------------------------------------------------------------------


def latents_error(data: bytes, clip: Path, folder: Path) -> float:
    """Mean squared error of the latents of a t2v file."""
    from gencodec.frames import open_source
    from gencodec.gvc_coder import GvcCoder

    models = load_models(folder, Execution.choose("cpu"))
    with open_source(clip) as source:
        frames = np.stack([frame.rgb for frame in source.frames()])
    header = Reader(io.BytesIO(data)).header
    coder = GvcCoder(
        models,
        None,
        Execution.choose("cpu"),
        plan=models.defaults.prior_tiles,
        tiles=models.defaults.vae_tiles,
        seed=header.noise_seed,
    )
    errors = []
    for record in records(data):
        made, _ = coder.decode(record, (40, 48), None)
        first, last = record.ticks[0], record.ticks[-1] + 1
        errors.append(np.mean((made - models.autoencoder.encode(frames[first:last])) ** 2))
    return float(np.mean(errors))


def test_more_atoms_come_closer(coded: Coded, clip: Path, tiny_folder: Path) -> None:
    """The flow model is random: what comes closer is the sum of the atoms."""
    errors = [latents_error(coded("t2v", atoms=n), clip, tiny_folder) for n in (0, 8, 32)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize("variant", ["i2v", "flf2v"])
def test_without_atoms_pictures_are_followed_to_the_end(
    variant: str, coded: Coded, clip: Path
) -> None:
    from gencodec.frames import open_source

    data = coded(variant, atoms=0)
    levels = [read_gvc_block(each) for each in records(data)]
    assert {(block.start_level, block.end_level) for block in levels} == {(0, 0)}
    with open_source(clip) as source:
        first = next(source.frames()).rgb.astype(float)
    free = shown(coded("t2v", atoms=0))[0]
    held = shown(data)[0]
    assert np.mean((held - first) ** 2) < np.mean((free - first) ** 2) / 4


def test_steering_beats_atoms_chosen_by_chance(
    clip: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same bytes, by a wide margin."""

    def made() -> tuple[int, float]:
        stream = io.BytesIO()
        settings = GvcSettings(steps=6, codebook=512, atoms=32)
        gencodec.encode(clip, stream, gop=5, pack=tiny_folder, gvc=settings)
        data = stream.getvalue()
        return len(data), latents_error(data, clip, tiny_folder)

    steered = made()
    chance = np.random.default_rng(1)

    def choose(book: Codebook, _residual: object, atoms: int, _device: object) -> Choice:
        chosen = np.sort(chance.choice(book.count, atoms, replace=False)).astype(np.int32) + 1
        return np.asarray(chosen * chance.choice(np.array([-1, 1], np.int32), atoms))

    monkeypatch.setattr(Codebook, "choose", choose)
    random = made()
    assert random[0] == steered[0]
    assert random[1] > 2 * steered[1]


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize(("variant", "lost"), [("i2v", "0 to 2"), ("flf2v", "0 to 1")])
def test_verify_names_the_groups_that_need_a_damaged_one(
    variant: str, lost: str, coded: Coded
) -> None:
    data = bytearray(coded(variant))
    first = records(bytes(data))[0]
    data[first.offset + first.container_bytes + len(first.payload) - 6] ^= 4
    with pytest.raises(FormatError, match=f"groups {lost} cannot be decoded"):
        gencodec.verify(io.BytesIO(data))


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variant": "v2v"}, "no variant gvc-v2v"),
        ({"codebook": 1}, "codebook is 1, must be 2 to"),
        ({"atoms": 20_000}, "atoms is 20000, must be 0 to"),
        ({"steps": 3}, "take at least 4"),
        ({"g_scale": float("nan")}, "g scale is nan"),
        ({"shift": 0.5}, "shift is 0.5"),
        ({"variant": "i2v", "reference_quality": 64}, "reference quality is 64"),
        ({"reference_quality": 20}, "gvc-t2v has no reference pictures"),
    ],
)
def test_impossible_settings_say_what_is_possible(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        GvcSettings(**settings)


def test_what_does_not_fit_together_is_refused(
    clip: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.gnv"

    def encode(settings: GvcSettings, target: Target = Target(bpp=1), gop: int = 5) -> None:  # noqa: B008
        gencodec.encode(clip, output, target=target, gop=gop, pack=tiny_folder, gvc=settings)

    with pytest.raises(UsageError, match="no quality index"):
        encode(GvcSettings(), Target(quality=3))
    for variant in ("i2v", "flf2v"):
        with pytest.raises(UsageError, match=r"5 frames at least.*gvc-t2v for single frames"):
            encode(GvcSettings(variant=variant), gop=1)
    with pytest.raises(UsageError, match="at most"):
        encode(GvcSettings(atoms=13_000), gop=33)
    assert not output.exists()


@pytest.mark.parametrize("parts", [["refiner"], ["refiner", "transform", "prior"]])
def test_a_pack_without_a_flow_model_is_named(parts: list[str], clip: Path, tmp_path: Path) -> None:
    from gencodec.packs import write_manifest

    folder = tmp_path / "without"
    tiny.write_pack(folder)
    document = json.loads((folder / "pack.json").read_text())
    for part in parts:
        del document["components"][part]
        (folder / f"{part}.safetensors").unlink()
    write_manifest(folder, {k: v for k, v in document.items() if k not in ("files", "pack_format")})
    with pytest.raises(PackError, match=r"pack tiny has no .*choose another"):
        gencodec.encode(clip, tmp_path / "out.gnv", pack=folder, gvc=GvcSettings(), gop=5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--codebook", "1"], "1 is not in the range"),
        (["--codebook", "1048577"], "codebook is 1048577, must be 2 to 1048576"),
        (["--codebook", "99", "--atoms", "100"], "atoms is 100, must be 0 to 99"),
        (["--steps", "3"], "take at least 4"),
        (["--g-scale", "9"], "g scale is 9.0, must be 0 to 7.96"),
        (["--prompt", "a cat"], "reads no text"),
    ],
)
def test_the_command_refuses_what_is_out_of_range(
    given: list[str],
    words: str,
    command: Callable[..., tuple[int, bytes, str]],
    clip: Path,
    tiny_pack: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out.gnv"
    coding = ["encode", clip, "-o", output, "--pack", tiny_pack, "--profile", "gvc-t2v"]
    code, _, err = command(*coding, *given)
    assert code == (5 if "text" in words else 2)
    assert words in " ".join(err.split())
    assert not output.exists()


@pytest.mark.usefixtures("tiny_pack")
def test_steps_and_base_belong_to_the_other_coder(coded: Coded, tmp_path: Path) -> None:
    for options in ({"steps": 2}, {"base": True}):
        with pytest.raises(UsageError, match="leave out --steps and --base"):
            gencodec.decode(io.BytesIO(coded("t2v")), tmp_path / "out.mkv", **options)


@pytest.mark.usefixtures("tiny_pack")
@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("t2v", {"payload": b""}),
        ("t2v", {"payload": b"\xff" * 200}),
        ("t2v", {"digest": 7}),
        ("t2v", {"coder_block": b""}),
        ("t2v", {"dependencies": (1,)}),
        ("flf2v", {"dependencies": ()}),
        ("flf2v", {"payload": b"\xff" * 8}),
        ("flf2v", {"payload": b"\x05abc"}),
        ("i2v", {"coder_block": GvcBlock(
            variant=1, plain_steps=3, steps=6, g_scale=9, shift=16, codebook=99, atoms=9,
        ).to_bytes()}),
    ],
)  # fmt: skip
def test_a_group_whose_content_is_wrong_is_refused(
    variant: str, changes: dict[str, Any], coded: Coded, tmp_path: Path
) -> None:
    data = rewritten(coded(variant), lambda r: replace(r, **changes) if r.number == 1 else r)
    with pytest.raises(FormatError):
        gencodec.verify(io.BytesIO(data))
    with pytest.raises(FormatError):
        gencodec.decode(io.BytesIO(data), tmp_path / "out.mkv")


@pytest.mark.usefixtures("tiny_pack")
def test_a_file_of_pictures_must_name_their_pack(coded: Coded, tmp_path: Path) -> None:
    data = rewritten(coded("i2v"), header=lambda h: replace(h, packs=h.packs[:1]))
    for work in (
        lambda: gencodec.verify(io.BytesIO(data)),
        lambda: gencodec.decode(io.BytesIO(data), tmp_path / "out.mkv"),
    ):
        with pytest.raises(FormatError, match="reference pictures"):
            work()
