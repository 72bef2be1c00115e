"""How fast a small clip is encoded and decoded, also as a share of x264 medium's speed."""

from __future__ import annotations

import gencodec
from benchmarks import scene, yardstick
from benchmarks.section import Options, Section

_FRAMES = 99
_BPP = 0.02


def measure(options: Options) -> Section:
    """Encode, decode and preview the generated clip, loading of the pack included."""
    clip = scene.write_clip(options.work / "speed.mp4", _FRAMES)
    coded = options.work / "speed.gnv"
    encoding = gencodec.encode(
        clip,
        coded,
        target=gencodec.Target(bpp=_BPP),
        pack=options.pack,
        device="cpu",
        threads=options.threads,
    )
    decoding, preview = (
        gencodec.decode(
            coded,
            options.work / f"{base}.mp4",
            base=base,
            device="cpu",
            threads=options.threads,
        )
        for base in (False, True)
    )
    seconds = {
        "encode": encoding.encode_seconds,
        "decode": decoding.decode_seconds,
        "decode --base": preview.decode_seconds,
    }
    unit = yardstick.seconds(clip, options.work, options.threads)
    rows = [
        (name, took, _FRAMES / took, unit / took)
        for name, took in (*seconds.items(), (yardstick.NAME, unit))
    ]
    return Section(
        title=f"speed, {scene.WIDTH}x{scene.HEIGHT}, {_FRAMES} frames, {_BPP} bpp",
        columns=("", "seconds", "frames/s", "of x264 medium"),
        rows=rows,
        data={
            "width": scene.WIDTH,
            "height": scene.HEIGHT,
            "frames": _FRAMES,
            "bpp": encoding.bpp,
            "refinement_steps": decoding.steps,
            "runs": {
                name: {"seconds": s, "frames_per_second": r, "of_x264_medium": of}
                for name, s, r, of in rows
            },
        },
        notes=[f"refinement steps: {decoding.steps[0]} to {decoding.steps[1]}"],
    )
