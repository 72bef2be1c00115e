"""gencodec models: which model packs are installed, are they undamaged, and how to get more."""

from __future__ import annotations

from pathlib import Path

import click

from gencodec.cli import text
from gencodec.cli.console import Console
from gencodec.cli.options import Command, debug_option, json_option
from gencodec.errors import PackError


@click.group()
def models() -> None:
    """List, check and fetch model packs."""


@models.command("list", cls=Command)
@json_option
@debug_option
@click.pass_obj
def list_models(console: Console, *, as_json: bool) -> int:
    """List the model packs that are installed, and those that can be fetched."""
    from gencodec.packs import PUBLISHED, list_packs

    packs = list_packs()
    missing = {
        name: published
        for name, published in PUBLISHED.items()
        if name not in {pack.name for pack in packs}
    }
    if as_json:
        available = [
            {"name": name, "repository": p.repository, "download_bytes": p.download_bytes}
            for name, p in missing.items()
        ]
        console.result({"packs": packs, "available": available}, [], as_json=True)
        return 0
    for number, pack in enumerate(packs):
        if number:
            click.echo()
        console.facts(
            {
                "pack": f"{pack.name} {pack.version}, {text.size(pack.bytes)}",
                "sha256": pack.sha256[:12],
                "codes": "gnvc-vd, gvc" if pack.has_codec else "gvc; it has no codec for gnvc-vd",
                "use": pack.use,
                "licence": pack.licence,
                "folder": pack.path,
            }
        )
    if not packs:
        console.note("no model pack is installed")
    for name, published in missing.items():
        loads = text.size(published.download_bytes)
        console.note(f"not installed: {name} (gencodec models fetch {name} loads {loads})")
    return 0


@models.command(
    "fetch",
    cls=Command,
    epilog="The empty prompt's embedding is computed once, with the networks' text encoder.",
)
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Folder in the Hugging Face layout, used where it lies instead of a download.",
)
@json_option
@debug_option
@click.pass_obj
def fetch_model(console: Console, *, name: str, source: Path | None, as_json: bool) -> int:
    """Install the pack NAME of real Wan networks, such as wan2.1-1.3b."""
    from gencodec.packs.wan import fetch_pack

    pack = fetch_pack(name, source)
    lines = [f"{pack.name} {pack.version}, {text.size(pack.bytes)}, installed in {pack.path}"]
    console.result(pack, lines, as_json=as_json)
    return 0


@models.command("verify", cls=Command, epilog="Exit code 5: a pack is damaged or missing.")
@click.argument("packs", metavar="[NAME|FOLDER]...", nargs=-1)
@json_option
@debug_option
@click.pass_obj
def verify_models(console: Console, *, packs: tuple[str, ...], as_json: bool) -> int:
    """Check every file of the packs named, or of all installed ones, against its hash."""
    from gencodec.packs import list_packs

    wanted = packs or tuple(str(pack.path) for pack in list_packs())
    checks = [_check(name) for name in wanted]
    lines = [
        f"{check['name']}: {'as published' if check['ok'] else check['error']}" for check in checks
    ]
    console.result({"packs": checks}, lines or ["no model pack is installed"], as_json=as_json)
    return 0 if all(check["ok"] for check in checks) else PackError.exit_code


def _check(wanted: str) -> dict[str, object]:
    """Return name, sha256, path, ok and error of one pack, given by name or folder."""
    from gencodec.packs import find_pack, verify_pack

    try:
        pack = verify_pack(Path(wanted) if Path(wanted).is_dir() else find_pack(wanted))
    except PackError as error:
        return {"name": wanted, "sha256": None, "path": None, "ok": False, "error": str(error)}
    return {"name": pack.name, "sha256": pack.sha256, "path": pack.path, "ok": True, "error": None}
