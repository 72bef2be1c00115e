"""What the container costs: bytes of a file and of a group besides the payload."""

from __future__ import annotations

import gencodec
from benchmarks import scene
from benchmarks.section import Options, Section

_FRAMES = 99
_GROUPS = (33, 9)  # frames of a group, two lengths
_QUALITY = 5


def measure(options: Options) -> Section:
    """Code the same clip in few and in many groups; the difference is the cost of a group."""
    clip = scene.write_clip(options.work / "container.mp4", _FRAMES)
    few, many = (
        gencodec.encode(
            clip,
            options.work / f"{gop}.gnv",
            target=gencodec.Target(quality=_QUALITY),
            gop=gop,
            pack=options.pack,
            device="cpu",
            threads=options.threads,
        )
        for gop in _GROUPS
    )
    group = (many.container_bytes - few.container_bytes) / (many.groups - few.groups)
    file = few.container_bytes - group * few.groups
    rows = [
        (f"{each.groups} groups", each.bytes, each.payload_bytes, each.container_bytes)
        for each in (few, many)
    ]
    return Section(
        title=f"container, {_FRAMES} frames at constant rate",
        columns=("", "file B", "payload B", "container B"),
        rows=rows,
        data={
            "file_bytes": file,
            "group_bytes": group,
            "runs": [
                {"groups": each.groups, "bytes": each.bytes, "container": each.container_bytes}
                for each in (few, many)
            ],
        },
        notes=[f"a file costs {file:.0f} bytes and {group:.1f} a group"],
    )
