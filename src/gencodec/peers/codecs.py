"""What there is to compare, by name: "x265-half", "gencodec:steps=2", "gencodec:gvc-t2v".

Peers get settings of somebody who wants few bytes and has time: slow presets, one key frame, tuned
for the eye where that is a choice and never for a metric. Their rate is set by constant quality,
the way all of them code best in one pass; the dial says how.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from gencodec.container import VARIANTS
from gencodec.errors import UsageError

Stream = Literal["h264", "hevc", "av1", "vp9", "vvc"]
Runner = Literal["library", "ffmpeg", "vvencapp"]  # where the encoder is: in PyAV, on the PATH

DEFAULT_PEERS = ("x264", "x265", "svtav1", "vp9", "x265-half", "svtav1-half")

_HALF = "-half"
_FFMPEG = "ffmpeg-"
_ROW = "gencodec"
_ENDLESS = "100000"  # frames between key frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """What sets the rate of an encoder: a number that costs fewer bytes the larger it is.

    Attributes:
        option: its name.
        first: where a search begins.
        best, worst: its ends, by quality.
        step: the smallest difference it knows.
        parameters: the option that holds it among others, "key=value:..."; empty for none.
        floor: an option that goes on where this one ends, and ends at the same number; empty for
            none. What it does lies before that.
        ends: where this one ends, if there is a floor.
    """

    option: str
    first: float
    best: float
    worst: float
    step: float
    parameters: str = ""
    floor: str = ""
    ends: float = math.inf

    def options(self, setting: float) -> dict[str, str]:
        """Return the options, by name, that a setting stands for."""
        found = {self.option: f"{min(setting, self.ends):g}"}
        if setting > self.ends:
            found[self.floor] = f"{setting - (self.worst - self.ends):g}"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """An encoder as FFmpeg knows it, and how we use it.

    Attributes:
        name: FFmpeg's name.
        label: for people.
        stream: what it writes.
        depths: bits of a sample it takes, of 8 and 10.
        options: FFmpeg's; "{threads}" stands for the number of threads.
        dial: sets the rate.
    """

    name: str
    label: str
    stream: Stream
    depths: tuple[int, ...]
    options: Mapping[str, str]
    dial: Dial

    def settings(self, setting: float, threads: int) -> dict[str, str]:
        """Return the options for one setting of the dial."""
        options = {name: value.format(threads=threads) for name, value in self.options.items()}
        dialled = self.dial.options(setting)
        if not self.dial.parameters:
            return {**options, **dialled}
        pairs = ":".join(f"{name}={value}" for name, value in dialled.items())
        others = options.get(self.dial.parameters)
        return {**options, self.dial.parameters: f"{others}:{pairs}" if others else pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An encoder, where it is found, and whether it codes at half the width and height.

    What is coded at half size is made smaller and, after decoding, larger again by Lanczos; at
    equal bytes that gave better pictures than making it smaller by area.
    """

    name: str
    encoder: Encoder
    half: bool = False
    runner: Runner = "library"

    @property
    def label(self) -> str:
        """Name for people."""
        place = {"library": "", "ffmpeg": ", ffmpeg on the PATH", "vvencapp": ""}[self.runner]
        return f"{self.encoder.label}{', half size' if self.half else ''}{place}"

    def command(self, threads: int) -> str:
        """Return the settings as one would give them to FFmpeg."""
        dial = self.encoder.dial
        named = self.encoder.settings(dial.first, threads).items()
        shown = " ".join(f"-{name} {value}" for name, value in named)
        return f"{self.encoder.name} {shown} ({dial.option} is searched)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """gencodec with settings.

    Attributes:
        name: "gencodec", then ":setting" for each that differs.
        base: decode without refinement.
        gop: frames of a group; None leaves it to the encoder.
        effort: of the encoder; None is the usual one.
        pack: model pack; None takes that of the benchmark.
        defaults: what replaces the pack's own defaults, see `gencodec.packs.defaults.Defaults`.
        gvc: settings of the coder gvc, see `gencodec.GvcSettings`; None is gnvc-vd.
    """

    name: str
    base: bool = False
    gop: int | None = None
    effort: int | None = None
    pack: str | None = None
    defaults: Mapping[str, int | bool] = field(default_factory=dict)
    gvc: Mapping[str, str | int | bool] | None = None

    @property
    def label(self) -> str:
        """Name for people."""
        return self.name.replace(":", ", ", 1).replace(":", " ")


Codec = Peer | Row

# threads=1: frame threads cost x264 8 % of the bytes of a clip of 64 frames.
_X264 = Encoder(
    name="libx264",
    label="x264 veryslow",
    stream="h264",
    depths=(8, 10),
    options={"preset": "veryslow", "g": _ENDLESS, "x264-params": "threads=1"},
    dial=Dial(option="crf", first=37, best=0, worst=51, step=0.25),
)
_X265 = Encoder(
    name="libx265",
    label="x265 veryslow",
    stream="hevc",
    depths=(8, 10),
    options={
        "preset": "veryslow",
        "x265-params": "keyint=-1:info=0:frame-threads=1:pools={threads}:log-level=none",
    },
    dial=Dial(option="crf", first=37, best=0, worst=51, step=0.25),
)
_SVTAV1 = Encoder(
    name="libsvtav1",
    label="SVT-AV1 preset 4",
    stream="av1",
    depths=(8, 10),
    options={"preset": "4", "g": "-1", "svtav1-params": "tune=0:lp={threads}"},
    dial=Dial(
        option="crf", first=58, best=1, worst=70, step=0.25, parameters="svtav1-params"
    ),  # FFmpeg's own crf ends at 63 and has no fractions
)
_VP9 = Encoder(
    name="libvpx-vp9",
    label="VP9 cpu-used 0",
    stream="vp9",
    depths=(8,),
    options={
        "deadline": "good",
        "cpu-used": "0",
        "b": "0",
        "g": _ENDLESS,
        "lag-in-frames": "25",
        "auto-alt-ref": "6",
        "row-mt": "1",
        "threads": "{threads}",
    },
    # Some frames are better than crf says; a quantizer that is not to be undercut ends that.
    dial=Dial(option="crf", first=50, best=0, worst=80, step=1, floor="qmin", ends=63),
)
_AOM = Encoder(
    name="libaom-av1",
    label="libaom cpu-used 2",
    stream="av1",
    depths=(8, 10),
    options={
        "cpu-used": "2",
        "b": "0",
        "g": _ENDLESS,
        "lag-in-frames": "35",
        "row-mt": "1",
        "threads": "{threads}",
    },
    dial=Dial(option="crf", first=50, best=0, worst=63, step=1),
)
# VVenC counts its key frames in groups of 32 pictures; it codes 10 bits inside whatever it gets.
_VVENC = Encoder(
    name="libvvenc",
    label="VVenC slow",
    stream="vvc",
    depths=(10,),
    options={"preset": "slow", "vvenc-params": "intraperiod=8192:threads={threads}"},
    dial=Dial(option="qp", first=38, best=0, worst=63, step=1),
)

_SHORT = MappingProxyType({"x264": _X264, "x265": _X265, "svtav1": _SVTAV1, "vp9": _VP9})
_FOREIGN = {each.name: each for each in (*_SHORT.values(), _AOM, _VVENC)}

_GVC = "gvc-"
_GVC_SWITCHES = ("cache",)
_GVC_NUMBERS = ("steps", "codebook", "reference_quality", "segment")
_OWN_NUMBERS = ("gop", "effort")  # of the encoder; the others are of the pack's defaults
_SWITCHES = ("noise",)
_NUMBERS = (
    "steps",
    "refine_below",
    "anchor_offset",
    "anchor_doubling",
    "half_below",
    "half_shift",
    "half_tried_below",
    "tile_frames",
    "tile_size",
    "tile_overlap",
)
_SETTING = re.compile(r"([a-z_]+)(?:=(.+))?")


def available_peers() -> tuple[str, ...]:
    """Return the peers worth comparing with: those in PyAV, and VVenC if it is on the PATH."""
    return (*DEFAULT_PEERS, *(["vvenc"] if shutil.which("vvencapp") else []))


def find_peer(name: str) -> Peer:
    """Return a peer by name.

    Raises:
        UsageError: there is none of this name.
    """
    half = name.endswith(_HALF)
    plain = name.removesuffix(_HALF)
    if plain in _SHORT:
        return Peer(name=name, encoder=_SHORT[plain], half=half)
    if plain == "vvenc":
        return Peer(name=name, encoder=_VVENC, half=half, runner="vvencapp")
    encoder = _FOREIGN.get(plain.removeprefix(_FFMPEG))
    if encoder is not None and plain.startswith(_FFMPEG):
        return Peer(name=name, encoder=encoder, half=half, runner="ffmpeg")
    known = [*_SHORT, "vvenc", *(f"{_FFMPEG}{each}" for each in _FOREIGN)]
    raise UsageError(f"{name}: no such peer; there are {', '.join(known)}, each also with {_HALF}")


def find_row(name: str) -> Row:
    """Return a row of gencodec by name, such as "gencodec:steps=2:noise" or "gencodec:gvc-i2v".

    Raises:
        UsageError: it is not understood.
    """
    head, *settings = name.split(":")
    if head != _ROW:
        raise UsageError(
            f"{name}: rows are called {_ROW}, or {_ROW}:base, {_ROW}:steps=2, {_ROW}:{_GVC}t2v"
        )
    variant = settings.pop(0).removeprefix(_GVC) if _is_gvc(settings) else None
    given: dict[str, str | None] = {}
    for setting in settings:
        found = _SETTING.fullmatch(setting)
        if found is None or found[1] in given:
            raise UsageError(f"{name}: {setting!r} is no setting, or there twice")
        given[found[1]] = found[2]
    numbers = {key: _number(name, key, given.pop(key)) for key in _OWN_NUMBERS if key in given}
    row = Row(
        name=name,
        gop=numbers.get("gop"),
        effort=numbers.get("effort"),
        pack=given.pop("pack", None),
    )
    if variant is not None:
        return replace(row, gvc=_gvc_settings(name, variant, given))
    base = "base" in given and _switch(name, "base", given.pop("base"))
    known = ("base", *_OWN_NUMBERS, "pack", *_SWITCHES, *_NUMBERS)
    return replace(row, base=base, defaults=_values(name, given, known))


def _is_gvc(settings: list[str]) -> bool:
    return bool(settings) and settings[0].startswith(_GVC)


def _gvc_settings(
    name: str, variant: str, given: Mapping[str, str | None]
) -> dict[str, str | int | bool]:
    if variant not in VARIANTS:
        there = ", ".join(f"{_GVC}{each}" for each in VARIANTS)
        raise UsageError(f"{name}: there is no {_GVC}{variant}; there are {there}")
    known = (*_OWN_NUMBERS, "pack", *_GVC_SWITCHES, *_GVC_NUMBERS)
    return {"variant": variant, **_values(name, given, known)}


def _values(
    name: str, given: Mapping[str, str | None], known: Sequence[str]
) -> dict[str, int | bool]:
    """Return settings as what they mean; only those known."""
    values: dict[str, int | bool] = {}
    for setting, value in given.items():
        if setting not in known:
            there = ", ".join(known)
            raise UsageError(f"{name}: there is no setting {setting}; there are {there}")
        is_switch = setting in (*_SWITCHES, *_GVC_SWITCHES)
        values[setting] = (_switch if is_switch else _number)(name, setting, value)
    return values


def _switch(name: str, setting: str, value: str | None) -> bool:
    if value not in (None, "0", "1"):
        raise UsageError(f"{name}: {setting} is {value!r}, must be 0 or 1")
    return value != "0"


def _number(name: str, setting: str, value: str | None) -> int:
    if value is None or not value.isdecimal():
        raise UsageError(f"{name}: {setting} needs a whole number, as in {setting}=2")
    return int(value)
