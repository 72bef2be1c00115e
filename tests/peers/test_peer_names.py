from __future__ import annotations

import shutil
from dataclasses import fields

import pytest

from gencodec import GvcSettings
from gencodec.errors import UsageError
from gencodec.peers import DEFAULT_PEERS, available_peers, codecs, find_peer, find_row


@pytest.mark.parametrize("name", [*DEFAULT_PEERS, "vvenc", "vp9-half", "ffmpeg-libaom-av1-half"])
def test_a_peer_is_found_by_its_name(name: str) -> None:
    peer = find_peer(name)
    assert peer.name == name
    assert peer.half == name.endswith("-half")


@pytest.mark.parametrize("name", ["", "x266", "ffmpeg-nvenc", "libx264", "half", "-half", "x264-"])
def test_an_unknown_peer_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match="x264, x265, svtav1"):
        find_peer(name)


def test_vvenc_is_compared_with_where_its_program_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert available_peers() == (*DEFAULT_PEERS, "vvenc")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert available_peers() == DEFAULT_PEERS


def test_the_dial_joins_the_other_parameters() -> None:
    svt = find_peer("svtav1").encoder.settings(58.25, threads=3)
    assert svt["svtav1-params"] == "tune=0:lp=3:crf=58.25"
    assert "crf" not in svt
    assert find_peer("x264").encoder.settings(30, threads=3)["crf"] == "30"


def test_a_dial_goes_on_with_another_option_where_it_ends() -> None:
    vp9 = find_peer("vp9").encoder
    assert vp9.dial.options(63) == {"crf": "63"}
    assert vp9.dial.options(64) == {"crf": "63", "qmin": "47"}
    lowest = vp9.settings(vp9.dial.worst, threads=1)
    assert (lowest["crf"], lowest["qmin"]) == ("63", "63")


def test_every_peer_codes_one_key_frame_by_its_settings() -> None:
    for name in DEFAULT_PEERS:
        options = " ".join(
            f"{key}={value}" for key, value in find_peer(name).encoder.options.items()
        )
        assert any(part in options for part in ("g=100000", "g=-1", "keyint=-1"))


def test_a_row_says_what_differs_from_gencodec_alone() -> None:
    assert find_row("gencodec").defaults == {}
    row = find_row("gencodec:steps=4:noise:gop=33:effort=0:pack=mine")
    assert (row.base, row.gop, row.effort, row.pack) == (False, 33, 0, "mine")
    assert row.defaults == {"steps": 4, "noise": True}
    assert find_row("gencodec:base").base
    assert not find_row("gencodec:noise=0").defaults["noise"]


def test_a_row_may_be_of_the_other_coder() -> None:
    row = find_row("gencodec:gvc-i2v:steps=10:cache:gop=17:pack=mine")
    assert (row.gop, row.pack, row.label) == (
        17,
        "mine",
        "gencodec, gvc-i2v steps=10 cache gop=17 pack=mine",
    )
    assert row.gvc == {"variant": "i2v", "steps": 10, "cache": True}
    assert row.defaults == {}
    assert find_row("gencodec:steps=2").gvc is None
    known = {field.name for field in fields(GvcSettings)}
    assert known.issuperset((*codecs._GVC_NUMBERS, *codecs._GVC_SWITCHES))


@pytest.mark.parametrize(
    "name",
    [
        "x264:steps=2", "gencodec:", "gencodec:steps", "gencodec:steps=two", "gencodec:steps=-1",
        "gencodec:speed=2", "gencodec:base=2", "gencodec:steps=1:steps=2", "gencodec:gop",
        "gencodec:gvc-v2v", "gencodec:gvc", "gencodec:steps=5:gvc-t2v", "gencodec:gvc-t2v:base",
        "gencodec:gvc-t2v:tile_size=4", "gencodec:codebook=5", "gencodec:gvc-t2v:gvc-i2v",
    ],
)  # fmt: skip
def test_a_row_that_is_not_understood_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"gencodec|x264"):
        find_row(name)


def test_the_settings_of_rows_are_defaults_of_packs() -> None:
    from gencodec.packs.defaults import Defaults

    known = {field.name for field in fields(Defaults)}
    assert {*codecs._SWITCHES, *codecs._NUMBERS} <= known
