"""Results and decoded videos -> one HTML page that holds everything it shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from gencodec.errors import OutputError
from gencodec.evaluation.report.moments import SOURCE, Videos
from gencodec.evaluation.report.sheets import Sheet, make_sheet
from gencodec.evaluation.report.strips import Strip, make_strip
from gencodec.evaluation.results import Clip, Results
from gencodec.output import atomic_output
from gencodec.progress import Progress, Report

PAGE = "index.html"
_SCRIPTS = ("core.js", "charts.js", "tables.js", "player.js", "page.js")
_LARGE = 200 * 2**20  # bytes of a page that some browsers open slowly


def write_report(
    results: Results,
    cache: Path,
    out: Path,
    *,
    report: Report | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Write the page that shows `results`; one that stands there is replaced.

    Source and decoded videos of a clip at one rate go into one H.264 video, side by side, which
    cannot lose its synchrony. These videos are kept in the cache for the next time.

    Args:
        results: what was measured; not one point need have worked.
        cache: folder that the paths in `results` are relative to. A point whose video is gone
            has no picture in the player and says so there.
        out: folder of the page, made if need be.
        report: told of every clip and rate, stage "report", frames counted.
        warn: told of what the reader of the page will notice.

    Returns:
        The page, `index.html` in `out`.

    Raises:
        SourceError: a video in the cache cannot be read, or is not one of its clip.
        OutputError: the page or the cache cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {out}: {error.strerror or error}") from error
    sheets = list(_sheets(results, cache, report))
    strips = [strip for clip in results.clips if (strip := _strip(results, clip, cache))]
    page = _page(results, sheets, strips)
    if len(page) > _LARGE and warn is not None:
        warn(
            f"the page has {len(page) / 2**20:.0f} MiB, which browsers open slowly; take fewer "
            "clips, rates or frames for a lighter one"
        )
    target = out / PAGE
    with atomic_output(target, overwrite=True) as work:
        work.write_bytes(page)
    return target


def _targets(results: Results) -> list[float]:
    """Return the rates that were asked for, highest first."""
    return sorted({point.target_bpp for point in results.points}, reverse=True)


def _videos(results: Results, clip: Clip, target: float, cache: Path) -> Videos:
    """Return what there is to see of a clip at a rate: the source first; nothing without it."""
    found = {SOURCE: clip.video} | {
        point.codec: point.video
        for point in results.points
        if point.clip == clip.name and point.target_bpp == target and not point.error
    }
    present = {name: cache / video for name, video in found.items() if (cache / video).is_file()}
    return present if SOURCE in present and len(present) > 1 else {}


def _sheets(results: Results, cache: Path, report: Report | None) -> Iterator[Sheet]:
    wanted = [
        (clip, target, videos)
        for clip in results.clips
        for target in _targets(results)
        if (videos := _videos(results, clip, target, cache))
    ]
    total = sum(clip.frames for clip, _, _ in wanted)
    done = 0
    for clip, target, videos in wanted:
        yield make_sheet(clip, target, videos, cache)
        done += clip.frames
        if report is not None:
            report(Progress(stage="report", frames=done, total=total))


def _strip(results: Results, clip: Clip, cache: Path) -> Strip | None:
    """Return the filmstrip of a clip, at the middle of the rates it was coded at."""
    there = [target for target in _targets(results) if _videos(results, clip, target, cache)]
    if not there:
        return None
    target = there[(len(there) - 1) // 2]
    return make_strip(clip, target, _videos(results, clip, target, cache))


def _page(results: Results, sheets: list[Sheet], strips: list[Strip]) -> bytes:
    elements = [f"sheet-{number}" for number in range(len(sheets))]
    data = {
        "results": results.to_json(),
        "sheets": [
            {"element": element, **sheet.description()}
            for element, sheet in zip(elements, sheets, strict=True)
        ],
        "strips": [strip.description() for strip in strips],
    }
    videos = "\n".join(
        f'<script type="video/mp4;base64" id="{element}">'
        f"{base64.b64encode(sheet.video.read_bytes()).decode()}</script>"
        for element, sheet in zip(elements, sheets, strict=True)
    )
    parts = {
        "/*STYLE*/": _part("style.css"),
        "/*SCRIPT*/": "\n".join(map(_part, _SCRIPTS)),
        "/*DATA*/": _json(data),
        "<!--VIDEOS-->": videos,
    }
    page = _part("template.html")
    for place, part in parts.items():
        before, found, after = page.partition(place)
        if not found:
            raise RuntimeError(f"the template has no place for {place}")
        page = f"{before}{part}{after}"
    return page.encode()


def _part(name: str) -> str:
    return files("gencodec.evaluation.report").joinpath("page", name).read_text("utf-8")


def _json(data: Any) -> str:  # noqa: ANN401 - any JSON
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
