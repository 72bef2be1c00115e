"""gencodec info: what is inside a .gnv. Must answer at once, so neither torch nor av here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from gencodec.cli import paths, text
from gencodec.cli.console import Console
from gencodec.cli.options import Command, debug_option, json_option
from gencodec.errors import FormatError

_EPILOG = """\b
Examples:
  gencodec info in.gnv
  gencodec info in.gnv --json | jq .bpp
"""
_SQUARE_OR_UNKNOWN = ("1:1", "0:1")
_UNKNOWN_COLOUR = 2  # CICP code of all three


@click.command(cls=Command, epilog=_EPILOG, short_help="Show what a .gnv holds.")
@click.argument("source", metavar="IN.gnv")
@json_option
@debug_option
@click.pass_obj
def info(console: Console, *, source: str, as_json: bool) -> int:
    """Show what IN.gnv (a file, or - for stdin) holds, without decoding it.

    Exit code 6 means damaged; what is whole is shown.
    """
    from gencodec.input import named
    from gencodec.inspection import info as read_info

    paths.check_input(source)
    record = read_info(source).as_dict()
    if as_json:
        click.echo(json.dumps(record))
    else:
        _show(console, source, record)
    if record["damages"]:
        with named(source):
            raise FormatError(record["damages"][0]["reason"])
    return 0


def _show(console: Console, source: str, record: Mapping[str, Any]) -> None:
    """Print what a file says about itself."""
    console.facts(_facts(record))
    if record["tracks"]:
        click.echo()
        console.table(_TRACK_COLUMNS, (_track(track) for track in record["tracks"]))
    if record["groups"]:
        click.echo()
        gvc = record["profile"].startswith("gvc")
        columns, row = (_GVC_COLUMNS, _gvc_row) if gvc else (_COLUMNS, _row)
        console.table(columns, (row(group) for group in record["groups"]))
    if not record["complete"] and not record["damages"]:
        console.warn(f"{source} has no end; what is shown was found by looking through it")


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines about the whole file."""
    pack = record["pack"]
    installed = "installed" if pack["installed"] else "not installed"
    container, payload = text.size(record["container_bytes"]), text.size(record["payload_bytes"])
    beside = text.size(record["carried_bytes"])
    carried = f", {beside} sound, subtitles and tags" if record["carried_bytes"] else ""
    picture = f"{record['width']}x{record['height']}, {record['bit_depth']} bit"
    if record["sample_aspect"] not in _SQUARE_OR_UNKNOWN:
        picture += f", pixel aspect {record['sample_aspect']}"
    if record["rotation"]:
        picture += f", rotated by {record['rotation']} degrees"
    return {
        "format": f"gnv {record['format_version']}, profile {record['profile']}",
        "picture": picture,
        "colour": _colour(record["colour"]),
        "time": f"{text.count(record['frames'], 'frame')}, {float(record['fps']):.6g} frames/s, "
        f"{text.duration(record['duration'])}",
        "size": f"{text.size(record['bytes'])} ({payload} payload, {container} container{carried})",
        "rate": f"{record['bpp']:.4f} bpp, {record['kbps']:.1f} kbit/s, video alone",
        "pack": f"{pack['name'] or 'unknown'} {pack['sha256'][:12]}, {installed}",
        **_told(record),
    }


def _told(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what the file tells of light, tags and chapters."""
    told: dict[str, str] = {}
    if record["prompt"]:
        told["prompt"] = record["prompt"]
    if light := record["content_light"]:
        told["light"] = f"at most {light['maximum']} cd/m2, {light['average']} on average"
    if display := record["mastering_display"]:
        low, high = display["luminance"]
        told["graded on"] = f"{low / 10_000:g} to {high / 10_000:g} cd/m2"
    told |= {f"{name}:": value for name, value in record["tags"].items()}
    if chapters := record["chapters"]:
        told["chapters"] = "; ".join(
            f"{text.duration(start)} {title}".strip() for start, _, title in chapters
        )
    return told


def _colour(colour: Mapping[str, Any]) -> str:
    names = ("primaries", "transfer", "matrix")
    codes = ", ".join(f"{n} {colour[n]}" for n in names if colour[n] != _UNKNOWN_COLOUR)
    return codes or "not known"


_START = ("group", "offset", "bytes", "frames", "start")
_COLUMNS = (*_START, "quality", "size:", "steps", "level", "cut:")
_GVC_COLUMNS = (*_START, "atoms", "codebook", "steps", "pictures", "needs", "cut:")


def _gvc_row(group: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        *_row(group)[: len(_START)],
        "-" if group["atoms"] is None else f"{group['atoms']:.4g}",
        _known(group["codebook"]),
        _known(group["steps"]),
        _known(group["quality"]),
        ", ".join(map(str, group["needs"])),
        "cut" if group["cut"] else "",
    )


_TRACK_COLUMNS = (
    "track",
    "kind:",
    "codec:",
    "language:",
    "title:",
    "rate",
    "channels",
    "packets",
    "bytes",
    "for:",
)


def _track(track: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        track["number"],
        track["kind"],
        track["codec"],
        track["language"],
        track["title"],
        track["sample_rate"] or "-",
        track["channels"] or "-",
        track["packets"],
        track["bytes"],
        ", ".join(track["dispositions"]),
    )


def _row(group: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        group["index"],
        group["offset"],
        group["bytes"],
        group["frames"],
        text.duration(group["start"]),
        _known(group["quality"]),
        "half" if group["half_size"] else "",
        _known(group["steps"]),
        _known(group["start_level"]),
        "cut" if group["cut"] else "",
    )


def _known(value: object) -> object:
    return "-" if value is None else value
