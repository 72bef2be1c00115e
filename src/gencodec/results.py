"""What an encode and a decode tell about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gencodec.encoding import Encoded
from gencodec.frames import FrameSource
from gencodec.rate import TOLERANCE, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeResult:
    """What an encode wrote and how it went.

    Attributes:
        frames, groups, width, height: of the video.
        seconds: duration of the video.
        bytes: of the file, the sum of the next three.
        container_bytes, payload_bytes: of the video.
        carried_bytes: of sound, subtitles, tags and chapters.
        bpp, kbps: bits per pixel and kilobits per second of the video alone.
        target: what was asked for.
        target_bytes, target_bpp: what that means for this video; None for a fixed quality.
        reached: the file is within 3 % of the target.
        too_large: the file is more than 3 % larger than the target.
        quality: lowest and highest quality index used.
        pack, device: what made it, where.
        encode_seconds: wall time.
        warnings: for people.
    """

    frames: int
    groups: int
    width: int
    height: int
    seconds: Fraction
    bytes: int
    container_bytes: int
    payload_bytes: int
    carried_bytes: int
    bpp: float
    kbps: float
    target: Target
    target_bytes: int | None
    target_bpp: float | None
    reached: bool
    too_large: bool
    quality: tuple[int, int]
    pack: str
    device: str
    encode_seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeResult:
    """What a decode wrote and how it went; `steps` is the lowest and highest number used."""

    frames: int
    groups: int
    width: int
    height: int
    seconds: Fraction
    steps: tuple[int, int]
    complete: bool
    device: str
    decode_seconds: float
    warnings: tuple[str, ...]


def encode_result(
    encoded: Encoded, video: FrameSource, target: Target, notes: Sequence[str]
) -> EncodeResult:
    """Put together what is known when a file is written; pack, device and time are left out."""
    totals, info, wanted = encoded.totals, video.info, encoded.wanted_bytes
    video_bytes = totals.bytes - totals.carried_bytes
    counted = totals.bytes if target.size is not None else video_bytes
    bits = 8 * video_bytes
    bpp = bits / (info.width * info.height * totals.frames)
    reached = wanted is None or abs(counted - wanted) <= TOLERANCE * wanted
    warnings = [f"not carried: {name}" for name in video.skipped] + [*video.notes, *notes]
    if not reached and wanted is not None:
        warnings.append(
            f"the target of {wanted:.0f} bytes ({wanted / counted * bpp:.5f} bpp) was not reached: "
            f"wrote {counted} bytes ({bpp:.5f} bpp), the nearest this pack can do"
        )
    return EncodeResult(
        frames=totals.frames,
        groups=totals.groups,
        width=info.width,
        height=info.height,
        seconds=encoded.seconds,
        bytes=totals.bytes,
        container_bytes=totals.container_bytes,
        payload_bytes=totals.payload_bytes,
        carried_bytes=totals.carried_bytes,
        bpp=bpp,
        kbps=float(bits / encoded.seconds / 1000),
        target=target,
        target_bytes=None if wanted is None else round(wanted),
        target_bpp=None if wanted is None else wanted / counted * bpp,
        reached=reached,
        too_large=wanted is not None and counted > (1 + TOLERANCE) * wanted,
        quality=encoded.quality,
        pack="",
        device="",
        encode_seconds=0.0,
        warnings=tuple(warnings),
    )
