"""How fast a small clip is encoded and decoded, also as a share of x264 medium's speed.

At one rate groups are whole pictures without refinement, at the other half-size ones with it.
"""

from __future__ import annotations

from pathlib import Path

import gencodec
from benchmarks import scene, yardstick
from benchmarks.section import Options, Section

_FRAMES = 99
_RATES = (0.02, 0.0025)  # bits a pixel


def measure(options: Options) -> Section:
    """Encode, decode and preview the generated clip, loading of the pack included."""
    clip = scene.write_clip(options.work / "speed.mp4", _FRAMES)
    unit = yardstick.seconds(clip, options.work, options.threads)
    runs = [_run(clip, rate, options) for rate in _RATES]
    seconds = {
        f"{name}, {run['bpp']:.4f} bpp": took
        for run in runs
        for name, took in run["seconds"].items()
    }
    rows = [
        (name, took, _FRAMES / took, unit / took)
        for name, took in (*seconds.items(), (yardstick.NAME, unit))
    ]
    return Section(
        title=f"speed, {scene.WIDTH}x{scene.HEIGHT}, {_FRAMES} frames",
        columns=("", "seconds", "frames/s", "of x264 medium"),
        rows=rows,
        data={
            "width": scene.WIDTH,
            "height": scene.HEIGHT,
            "frames": _FRAMES,
            "rates": [
                {"bpp": run["bpp"], "refinement_steps": run["steps"], "half_size": run["half_size"]}
                for run in runs
            ],
            "runs": {
                name: {"seconds": s, "frames_per_second": r, "of_x264_medium": of}
                for name, s, r, of in rows
            },
        },
        notes=[
            f"{run['bpp']:.4f} bpp: refinement steps {run['steps'][0]} to {run['steps'][1]}"
            for run in runs
        ],
    )


def _run(clip: Path, rate: float, options: Options) -> dict[str, object]:
    coded = clip.with_suffix(f".{rate}.gnv")
    machine = {"device": "cpu", "threads": options.threads}
    encoding = gencodec.encode(
        clip, coded, target=gencodec.Target(bpp=rate), pack=options.pack, **machine
    )
    decoding, preview = (
        gencodec.decode(coded, clip.with_suffix(f".{rate}.{base}.mp4"), base=base, **machine)
        for base in (False, True)
    )
    return {
        "bpp": encoding.bpp,
        "steps": decoding.steps,
        "half_size": [group.half_size for group in gencodec.info(coded).groups],
        "seconds": {
            "encode": encoding.encode_seconds,
            "decode": decoding.decode_seconds,
            "decode --base": preview.decode_seconds,
        },
    }
