"""What an encode with GVC would write and take, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from gencodec.errors import UsageError
from gencodec.execution import Execution
from gencodec.frames import Limits, open_source
from gencodec.gvc import GvcSettings
from gencodec.gvc_encoding import GvcEncoder
from gencodec.lengths import gvc_frames
from gencodec.packs import find_pack
from gencodec.packs.models import load_generator
from gencodec.rate import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class GvcPlan:
    """What an encode would do.

    Attributes:
        frames, groups, width, height: of the video.
        seconds: duration of the video.
        bytes, bpp: of the file without what is carried; those of t2v are exact, the others as long
            as the encoder follows its reference pictures.
        atoms: lowest and highest of the groups' atoms of a step and latent frame.
        evaluations: of the flow model, for all groups; a decoder makes as many.
        evaluation_seconds: of one, measured on a whole group.
        sampling_seconds: of all, at that speed; the decoder's as the encoder's.
        encode_seconds, decode_seconds: these, and the autoencoder's.
        peak_bytes: the most memory that was held for it, of the device.
        transformer_bytes: of the flow model's weights.
        offloaded: memory is short: they stay in main memory, and visit the device block by block.
        pack, device: what would make it, where.
    """

    frames: int
    groups: int
    width: int
    height: int
    seconds: Fraction
    bytes: int
    bpp: float
    atoms: tuple[float, float]
    evaluations: int
    evaluation_seconds: float
    sampling_seconds: float
    encode_seconds: float
    decode_seconds: float
    peak_bytes: int
    transformer_bytes: int
    offloaded: bool
    pack: str
    device: str


def plan(  # noqa: PLR0913 - the command's options, each with a default
    source: str | Path,
    gvc: GvcSettings,
    *,
    target: Target = Target(bpp=0.01),  # noqa: B008 - frozen
    gop: int | None = None,
    pack: str | Path = "mini",
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int | None = None,
) -> GvcPlan:
    """Return what `gencodec.encode` with these arguments would write, and how long it would take.

    The video is read and its reference pictures are coded; each network runs once or twice.

    Raises:
        UsageError, SourceError, PackError, LimitError, ExecutionError: see `gencodec.errors`.
    """
    limits = Limits() if max_pixels is None else Limits(max_pixels=max_pixels)
    with open_source(source, limits=limits) as video:
        if not video.rewindable:
            raise UsageError("--dry-run needs a file: a pipe can be read only once")
        execution = Execution.choose(device, threads=threads)
        models = load_generator(find_pack(pack), execution, gvc.prompt)
        encoder = GvcEncoder(
            video,
            models,
            gvc,
            target=target,
            group_frames=gvc_frames(gop, models.defaults, video.info),
            execution=execution,
            on_progress=None,
        )
        rehearsal = encoder.rehearse()
        timed = encoder.time()
        info, totals = video.info, rehearsal.encoded.totals
    sampling = timed.evaluation * rehearsal.evaluated_latents / timed.latents
    return GvcPlan(
        frames=totals.frames,
        groups=totals.groups,
        width=info.width,
        height=info.height,
        seconds=rehearsal.encoded.seconds,
        bytes=totals.bytes,
        bpp=8 * totals.bytes / (info.width * info.height * totals.frames),
        atoms=rehearsal.encoded.atoms or (0.0, 0.0),
        evaluations=rehearsal.evaluations,
        evaluation_seconds=timed.evaluation,
        sampling_seconds=sampling,
        encode_seconds=sampling + timed.analysis * totals.frames,
        decode_seconds=sampling + timed.synthesis * totals.frames,
        peak_bytes=execution.peak_bytes(),
        transformer_bytes=models.refiner.weight_bytes if models.refiner else 0,
        offloaded=models.refiner is not None and models.refiner.offloaded,
        pack=f"{models.manifest.name} {models.manifest.version}",
        device=execution.reason,
    )
