"""How fast a small clip is encoded and decoded, also as a share of x264 medium's speed."""

from __future__ import annotations

from fractions import Fraction

import gencodec
from benchmarks import scene, x264
from benchmarks.report import Options, Section

_FRAMES = 99
_BPP = 0.02
_YARDSTICK_CRF = 40.0


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
    pictures = [frame.rgb for frame in scene.frames(_FRAMES)]
    yardstick = x264.encode(
        pictures,
        crf=_YARDSTICK_CRF,
        preset="medium",
        threads=options.threads,
        rate=Fraction(scene.RATE),
    ).encode_seconds
    rows = [
        (name, took, _FRAMES / took, yardstick / took)
        for name, took in (*seconds.items(), ("x264 medium, encode", yardstick))
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
