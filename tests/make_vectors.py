"""Write `formats/vectors/1` anew: packs, files made with them, and what every decoder finds there.

    python -m tests.make_vectors

valid/    what the encoder writes            decodes; symbols exactly, pixels within the tolerance
unusual/  allowed, but the encoder does not  the same
faulty/   broken in one place each           the named error and exit code; a picture if only cut

Review the difference like code: a change of symbols in an existing file is a change of the format.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from tests import tiny

from gencodec.container import (
    CODER_GVC,
    HALF_SIZE,
    META,
    GnvcVdBlock,
    GroupRecord,
    GvcBlock,
    Header,
    Pack,
    Reader,
    Writer,
)
from gencodec.container.framing import pack_unit
from gencodec.container.layout import HEAD, INDX, SIGNATURE
from gencodec.decoding import Decoder
from gencodec.encoding import Encoder
from gencodec.execution import Execution
from gencodec.frames import Frame, GroupLength, VideoInfo
from gencodec.geometry import latent_shape
from gencodec.gvc import GvcSettings, Schedule, latent_frames, parse_payload, read_gvc_block
from gencodec.gvc_encoding import GvcEncoder
from gencodec.packs.models import Models, load_models
from gencodec.packs.prior import ExactPack
from gencodec.rate import Target

FOLDER = Path(__file__).parents[1] / "formats" / "vectors" / "1"
PACKS = {name: FOLDER / f"{name}-pack" for name in tiny.PACKS}
MANIFEST = FOLDER / "manifest.json"
MEAN_TOLERANCE = 0.5  # of a frame's mean, in grey levels
POINT_TOLERANCE = 4  # of a single pixel
_POINTS = 4  # pixels kept of each frame
Json = dict[str, Any]


class Pictures:
    """A source of drawn frames; stands for a `FrameSource`."""

    rewindable = True
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        pictures: Sequence[tiny.Pixels],
        ticks: Sequence[int] | None,
        **info: Any,  # noqa: ANN401
    ) -> None:
        height, width, _ = pictures[0].shape
        self.info: VideoInfo = tiny.video_info(width, height, **info)
        self._pictures, self._ticks = pictures, ticks

    def frames(self) -> Iterator[Frame]:
        return tiny.frames(self._pictures, self._ticks)


_VARIABLE: Json = {"time_base": Fraction(1, 600), "frame_rate": Fraction(150)}
_RICH: Json = {"rotation": 90, "sample_aspect": Fraction(8, 9), "bit_depth": 10, "field_order": 1}
_TICKS = (-30, -24, -23, -10, 0, 4, 8, 9, 13, 100, 104)
_Case = tuple[Json, Any, Json, int, Json]
# name: picture (width, height, frames, cuts), times, fields of the source, quality, defaults
_VALID: Mapping[str, _Case] = {
    "constant": ({"width": 48, "height": 32, "frames": 11}, None, {}, 24, {"steps": 0}),
    "variable": ({"width": 40, "height": 24, "frames": 11}, _TICKS, _VARIABLE, 30, {"steps": 1}),
    "odd": ({"width": 61, "height": 45, "frames": 6}, None, _RICH, 12, {"steps": 2}),
    "cut": ({"width": 64, "height": 48, "frames": 14, "cuts": [10]}, None, {}, 8, {"noise": True}),
    "anchor": ({"width": 48, "height": 32, "frames": 5}, None, {}, 60, {"anchor_offset": 9}),
    "single": ({"width": 1, "height": 1, "frames": 1}, None, {}, 63, {"noise": True, "steps": 3}),
    "tiles": (
        {"width": 90, "height": 60, "frames": 6},
        None,
        {},
        40,
        {"vae_tile": 6, "vae_overlap": 2},
    ),
}
_MOTION: Mapping[str, _Case] = {
    "motion": ({"width": 64, "height": 48, "frames": 14, "cuts": [10]}, None, {}, 20, {"steps": 0}),
    "motion-odd": ({"width": 61, "height": 45, "frames": 6}, None, {}, 12, {"anchor_offset": 5}),
    "motion-half": (
        {"width": 75, "height": 50, "frames": 6},
        None,
        {},
        9,
        {"half_below": 10, "half_shift": 20},
    ),
    "motion-long": ({"width": 48, "height": 40, "frames": 22}, None, {}, 16, {"group_frames": 33}),
    "motion-single": ({"width": 1, "height": 1, "frames": 1}, None, {}, 50, {"noise": True}),
}


_GVC_CLIP: Json = {"width": 40, "height": 32, "frames": 13, "cuts": [9]}
_GVC: Mapping[str, GvcSettings] = {
    "gvc-t2v": GvcSettings(steps=5, codebook=300, atoms=7, g_scale=2.0),
    "gvc-i2v": GvcSettings(variant="i2v", steps=6, codebook=1024, atoms=5, reference_quality=20),
    "gvc-flf2v": GvcSettings(
        variant="flf2v", steps=7, plain_steps=2, codebook=256, atoms=9, cache=True, shift=5.0
    ),
}


def main() -> None:
    """Write everything."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, folder in PACKS.items():
        tiny.write_pack(folder, name)
    models = load_packs()
    files = {
        f"valid/{name}.gnv": _encoded(case, models[pack])
        for pack, cases in (("tiny", _VALID), ("tiny-motion", _MOTION))
        for name, case in cases.items()
    }
    files |= {f"valid/{name}.gnv": _steered(case, models["tiny"]) for name, case in _GVC.items()}
    files |= {f"unusual/{name}.gnv": data for name, data in _unusual(files).items()}
    files |= {f"unusual/{name}.gnv": data for name, data in _anchored(models).items()}
    faults = {f"faulty/{name}.gnv": fault for name, fault in _faulty(files).items()}
    for name, data in (files | {name: fault[0] for name, fault in faults.items()}).items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(data)
    manifest = {
        "mean_tolerance": MEAN_TOLERANCE,
        "point_tolerance": POINT_TOLERANCE,
        "packs": {name: each.manifest.sha256 for name, each in models.items()},
        "files": {name: describe(data, models) for name, data in files.items()},
        "faulty": {
            name: {"sha256": _sha256(data), "error": error, "exit_code": code}
            for name, (data, error, code) in faults.items()
        },
    }
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
    sys.stderr.write(f"{len(files) + len(faults)} vectors in {FOLDER}\n")


def load_packs() -> dict[str, Models]:
    """Load the packs that the files were made with, by name."""
    execution = Execution.choose("cpu", threads=1)
    return {name: load_models(folder, execution) for name, folder in PACKS.items()}


def _encoded(case: _Case, models: Models) -> bytes:
    drawn, ticks, info, quality, defaults = case
    source = Pictures(tiny.clip(**drawn), ticks, **info)
    changed = replace(models, defaults=replace(models.defaults, **defaults))
    stream = io.BytesIO()
    length = GroupLength(frames=changed.defaults.group_frames)
    Encoder(source, changed, Target(quality=quality), length, None).run(stream)  # type: ignore[arg-type]
    return stream.getvalue()


def _steered(settings: GvcSettings, models: Models) -> bytes:
    stream = io.BytesIO()
    encoder = GvcEncoder(
        Pictures(tiny.clip(**_GVC_CLIP), None),  # type: ignore[arg-type]
        models,
        settings,
        target=Target(bpp=1),
        group_frames=5,
        execution=Execution.choose("cpu"),
        on_progress=None,
    )
    encoder.run(stream)
    return stream.getvalue()


def _anchored(models: Mapping[str, Models]) -> dict[str, bytes]:
    """Groups that begin at their first and at their last latent frame."""
    case: _Case = ({"width": 48, "height": 32, "frames": 21}, None, {}, 20, {"group_frames": 21})
    motion, found = models["tiny-motion"], {}
    for name, place in (("first", 0), ("last", 63)):
        with patch.object(motion.transform, "anchor_place", place):
            found[f"motion-anchor-{name}"] = _encoded(case, motion)
    return found


# -- what a file holds -----------------------------------------------------------------------------


def describe(data: bytes, packs: Mapping[str, Models]) -> Json:
    """Return everything a decoder finds in a file that was made with one of `packs`."""
    reader = Reader(io.BytesIO(data))
    records = list(reader.groups())
    identity = reader.header.main_pack.hex()
    (models,) = (each for each in packs.values() if each.manifest.sha256 == identity)
    return {
        "sha256": _sha256(data),
        "headers": [as_json(part.header) for part in reader.parts],
        "complete": reader.complete,
        "last_duration": reader.last_duration,
        "groups": [
            _group(record, reader.parts[record.part].header, models.exact) for record in records
        ],
        "pixels": {
            kind: _pixels(data, models, steps=steps)
            for kind, steps in (("base", 0), ("refined", None))
            if reader.header.coder != CODER_GVC or steps is None
        },
    }


def as_json(record: Any) -> Json:  # noqa: ANN401 - a record of the container
    """Return the fields of a record as what JSON holds."""
    return {field.name: _value(getattr(record, field.name)) for field in dataclasses.fields(record)}


def _value(value: Any) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(value):
        return as_json(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, Fraction) else value


def _group(record: GroupRecord, header: Header, exact: ExactPack) -> Json:
    gvc = record.coder == CODER_GVC
    block = (GvcBlock if gvc else GnvcVdBlock).from_bytes(record.coder_block)
    symbols = _choices if gvc else _symbols
    return {
        "part": record.part,
        "number": record.number,
        "offset": record.offset,
        "ticks": list(record.ticks),
        "cut": record.cut,
        "block": as_json(block),
        "payload_bytes": len(record.payload),
        "digest": f"{record.digest:08x}",
        "symbols_sha256": symbols(record, header, exact),
    }


def _choices(record: GroupRecord, header: Header, exact: ExactPack) -> str:
    """SHA-256 of the pictures' digests and all choices, as 32-bit little-endian integers."""
    frames = latent_shape(latent_frames(record), header.height, header.width, exact.stride)[0]
    steering = parse_payload(record, Schedule(read_gvc_block(record), frames))
    digest = hashlib.sha256()
    for picture in steering.pictures:
        digest.update(picture.digest.to_bytes(4, "little"))
    for choice in steering.choices:
        digest.update(choice.astype("<i4").tobytes())
    return digest.hexdigest()


def _symbols(record: GroupRecord, header: Header, exact: ExactPack) -> str:
    """SHA-256 of z and y of every latent frame, int16 little-endian in C order."""
    block = GnvcVdBlock.from_bytes(record.coder_block)
    latents = latent_shape(record.frames, header.height, header.width, exact.stride)
    digest = hashlib.sha256()
    for y, z in exact.symbols(block, latents, record.payload, digest=record.digest):
        digest.update(z.astype("<i2").tobytes() + y.astype("<i2").tobytes())
    return digest.hexdigest()


def _pixels(data: bytes, models: Models, *, steps: int | None) -> Json:
    """Return the mean colour of every frame, and the colours of a few pixels spread over it."""
    execution, folders = Execution.choose("cpu"), list(PACKS.values())
    decoder = Decoder(io.BytesIO(data), execution, steps=steps, pack_dirs=folders)
    decoder._groups._packs = {(bytes.fromhex(models.manifest.sha256), ""): models}
    shown = [frame.rgb for frame in decoder.frames(decoder.records(None, None))]
    return {
        "frames": len(shown),
        "means": [np.round(rgb.mean((0, 1)), 2).tolist() for rgb in shown],
        "points": [rgb.reshape(-1, 3)[_spread(rgb)].tolist() for rgb in shown],
    }


def _spread(rgb: tiny.Pixels) -> list[int]:
    count = rgb.shape[0] * rgb.shape[1]
    return [(2 * k + 1) * count // (2 * _POINTS) for k in range(_POINTS)]


# -- unusual and faulty files ----------------------------------------------------------------------


def _unusual(valid: Mapping[str, bytes]) -> dict[str, bytes]:
    constant, variable = valid["valid/constant.gnv"], valid["valid/variable.gnv"]
    second = _records(constant)[1].offset
    return {
        "no-index": _rewritten(constant, index=False),
        "more-units": _rewritten(constant, more=True),
        "no-end": constant[:second],
        "two-packs": _rewritten(
            variable,
            lambda h: replace(h, packs=(*h.packs, Pack(role=1, sha256=bytes(range(32))))),
        ),
        "whole-windows": _rewritten(
            valid["valid/cut.gnv"], lambda h: replace(h, refine_tile=0, refine_window=0)
        ),
    }


def _changed_block(record: GroupRecord, **changes: int) -> GroupRecord:
    block = replace(GnvcVdBlock.from_bytes(record.coder_block), **changes)
    return replace(record, coder_block=block.to_bytes())


def _records(data: bytes) -> list[GroupRecord]:
    return list(Reader(io.BytesIO(data)).groups())


def _rewritten(
    data: bytes,
    header: Callable[[Header], Header] = lambda h: h,
    group: Callable[[GroupRecord], GroupRecord] = lambda r: r,
    *,
    index: bool = True,
    more: bool = False,
) -> bytes:
    """Write a file anew, changed, with all checksums right."""
    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    records = list(reader.groups())
    with Writer(out, header(reader.header)) as writer:
        for record in records:
            if more:
                writer.write_unit(META, b"\xa1\x65title\x64tiny")
                writer.repeat_header()
                writer.write_unit(b"xxPx", b"somebody's")
            writer.write_group(group(record))
        writer.close(index=index, last_duration=reader.last_duration)
    return out.getvalue()


def _flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


def _faulty(files: Mapping[str, bytes]) -> dict[str, tuple[bytes, str, int]]:
    """Return name -> bytes, the error that `verify` and `decode` give, and the exit code."""
    data = files["valid/constant.gnv"]
    first, second = _records(data)
    body = second.offset - len(first.payload)
    end = len(data)
    damaged = {
        "signature": _flipped(data, 3),
        "header": _flipped(data, 20),
        "header-checksum": _flipped(data, first.offset - 2),
        "group-marker": _flipped(data, first.offset),
        "group-header": _flipped(data, first.offset + 3),
        "group-body": _flipped(data, body + 9),
        "group-checksum": _flipped(data, second.offset - 1),
        "index": _flipped(data, data.index(INDX) + 8),
        "end": _flipped(data, end - 8),
        "end-checksum": _flipped(data, end - 1),
        "missing-group": data[: first.offset] + data[second.offset :],
        "groups-swapped": data[: first.offset] + data[second.offset : data.index(INDX)]
        + data[first.offset : second.offset] + data[data.index(INDX) :],
        "trailing-byte": data + b"\0",
        "text-mode": data.replace(b"\r\n", b"\n"),
        "foreign": b"\x89PNG\r\n\x1a\n" + bytes(40),
        "empty": b"",
        "wrong-digest": _rewritten(data, group=lambda r: replace(r, digest=r.digest ^ 1)),
        "wrong-payload": _rewritten(
            data, group=lambda r: replace(r, payload=_flipped(r.payload, 6))
        ),
        "long-payload": _rewritten(data, group=lambda r: replace(r, payload=r.payload + b"\1")),
        "wrong-quality": _rewritten(
            data, group=lambda r: replace(r, coder_block=GnvcVdBlock(quality=9).to_bytes())
        ),
        "anchor-of-no-motion": _rewritten(data, group=partial(_changed_block, anchor_place=63)),
        "half-of-no-motion": _rewritten(data, group=partial(_changed_block, flags=HALF_SIZE)),
        "wrong-size": _rewritten(data, lambda h: replace(h, width=80)),
    }  # fmt: skip
    cut = {"cut-in-header": data[:30], "cut-in-group": data[: second.offset - 7]}
    steered, chained = files["valid/gvc-t2v.gnv"], files["valid/gvc-flf2v.gnv"]
    damaged |= {
        "gvc-long-payload": _rewritten(
            steered, group=lambda r: replace(r, payload=r.payload + b"\0")
        ),
        "gvc-rank": _rewritten(
            steered, group=lambda r: replace(r, payload=b"\xff" * len(r.payload))
        ),
        "gvc-sign": _rewritten(
            steered, group=lambda r: replace(r, payload=_flipped(r.payload, len(r.payload) - 1))
        ),
        "gvc-alone": _rewritten(chained, group=lambda r: replace(r, dependencies=())),
        "gvc-pictures-of-no-pack": _rewritten(chained, lambda h: replace(h, packs=h.packs[:1])),
    }
    critical = data[: first.offset] + pack_unit(b"NEWU", b"abc") + data[first.offset :]
    unsupported = {
        "newer-major": _with_version(data, first=0x02),
        "newer-minor-needed": _with_version(data, second=0x01),
        "unknown-feature": _with_version(data, mask=1),
        "unknown-critical-unit": critical,
        "unknown-coder": _rewritten(data, group=lambda r: replace(r, coder=9)),
        "longer-coder-block": _rewritten(
            data, group=lambda r: replace(r, coder_block=r.coder_block + b"\0\0")
        ),
    }
    others = {
        "cut-in-end": (data[: end - 3], "IncompleteError", 7),
        "unknown-pack": (
            _rewritten(data, lambda h: replace(h, packs=(Pack(sha256=bytes(32)),))), "PackError", 5,
        ),
        "huge": (
            _rewritten(data, lambda h: replace(h, width=65_535, height=65_535)), "LimitError", 3,
        ),
    }  # fmt: skip
    return {
        **{name: (fault, "FormatError", 6) for name, fault in damaged.items()},
        **{name: (fault, "UnsupportedError", 6) for name, fault in unsupported.items()},
        **{name: (fault, "TruncatedError", 7) for name, fault in cut.items()},
        **others,
    }


def _with_version(data: bytes, *, first: int = 0x01, second: int = 0, mask: int = 0) -> bytes:
    """Change the version of a file (the first bytes of HEAD), its checksums right."""
    payload = Reader(io.BytesIO(data)).header.to_bytes()
    head = len(pack_unit(HEAD, payload))
    changed = bytes([first, second, mask]) + payload[3:]
    start = len(SIGNATURE)
    return data[:start] + pack_unit(HEAD, changed) + data[start + head :]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()
