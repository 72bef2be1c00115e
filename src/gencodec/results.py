"""What an encode and a decode tell about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gencodec.container import Damage, named_groups
from gencodec.decoding import Decoder
from gencodec.encoding import Encoded
from gencodec.frames import FrameSource
from gencodec.rate import TOLERANCE, Target
from gencodec.showing import Written

_LISTED = 20  # places of damage that a warning each is worth


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
        quality: lowest and highest quality index used; of gvc that of the reference pictures.
        atoms: gvc: lowest and highest of the groups' atoms of a step and latent frame.
        pack, device: what made it, where.
        encode_seconds: wall time of the call; what a program imports before it is left out.
        warnings: for people.
        resumed: codings of groups that an interrupted run had finished.
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
    atoms: tuple[float, float] | None = None
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeResult:
    """What a decode wrote and how it went; `steps` is the lowest and highest number used.

    Attributes:
        complete: nothing of what was asked for is missing.
        lost_groups: [part, number] of each group that is not shown as it was.
        lost_times: seconds from the first frame at which they would begin and end.
        concealed_frames: shown in their place.
        damages: stretches of the file that could not be used: offset, bytes, reason.
        decode_seconds: measured as `EncodeResult.encode_seconds` is.
    """

    frames: int
    groups: int
    width: int
    height: int
    seconds: Fraction
    steps: tuple[int, int]
    complete: bool
    lost_groups: tuple[tuple[int, int], ...]
    lost_times: tuple[tuple[Fraction, Fraction], ...]
    concealed_frames: int
    damages: tuple[Damage, ...]
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
        atoms=encoded.atoms,
        pack="",
        device="",
        encode_seconds=0.0,
        warnings=tuple(warnings),
    )


def decode_result(
    decoder: Decoder,
    written: Written,
    *,
    missing: bool,
    lost: Sequence[str],
    device: str,
    seconds: float,
) -> DecodeResult:
    """Put together what is known when a video is written.

    Args:
        decoder: at its end.
        written: what came out.
        missing: what was asked for goes on behind the end of a file that is cut.
        lost: tracks that the output could not hold.
        device: what the networks ran on.
        seconds: wall time.
    """
    reader, concealer = decoder.reader, decoder.concealer
    groups = concealer.groups if concealer else []
    damages = [*reader.damages, *(concealer.damages if concealer else [])]
    complete = not missing and not groups and not damages
    warnings = [*decoder.warnings, *decoder.separator.warnings, *lost]
    warnings += [str(damage) for damage in damages[:_LISTED] if damage.bytes]
    concealed = concealer.frames if concealer else 0
    times = _lost_times(decoder)
    if groups:
        spans = (f"{float(start):.2f} to {float(end):.2f} s" for start, end in times[:_LISTED])
        when = f": {', '.join(spans)}" if times else ""
        shown = f"{concealed} frames shown in their place"
        warnings.append(f"{named_groups(groups)} lost, {shown}{when}")
    if not complete and not damages:
        warnings.append("the file is cut: frames, sound and text behind the cut are missing")
    return DecodeResult(
        frames=written.frames,
        groups=len(decoder.steps),
        width=decoder.info.width,
        height=decoder.info.height,
        seconds=written.seconds,
        steps=(min(decoder.steps, default=0), max(decoder.steps, default=0)),
        complete=complete,
        lost_groups=tuple(groups),
        lost_times=times,
        concealed_frames=concealed,
        damages=tuple(damages),
        device=device,
        decode_seconds=seconds,
        warnings=tuple(warnings),
    )


def _lost_times(decoder: Decoder) -> tuple[tuple[Fraction, Fraction], ...]:
    """Return the seconds from the first frame between which groups are lost."""
    header, concealer = decoder.reader.header, decoder.concealer

    def seconds(tick: int) -> Fraction:
        return (tick - header.start_tick) * header.time_base

    spans = concealer.spans if concealer else []
    return tuple((seconds(start), seconds(end)) for start, end in spans)
