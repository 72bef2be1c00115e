"""One group of GVC: frames <-> payload, through autoencoder, flow model and reference pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gencodec.container import CODER_GNVC_VD, FLF2V, T2V, GnvcVdBlock, GroupRecord, GvcBlock
from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.group_coder import GroupCoder, Latents
from gencodec.gvc import (
    CodedPicture,
    Place,
    Schedule,
    Steering,
    latent_frames,
    own_pictures,
    pack_payload,
    parse_payload,
    parse_pictures,
    read_gvc_block,
)
from gencodec.gvc.atoms import Codebook
from gencodec.gvc.sampler import Flow, sample
from gencodec.packs.models import Generator, Models
from gencodec.refine import LEVEL_UNIT, level_of_error, noise_for
from gencodec.symbols import Choice
from gencodec.tiles import TilePlan

Picture = NDArray[np.uint8]
Fit = Callable[[GvcBlock, int, int], GvcBlock]
"""Settings, latent frames, bytes besides the atoms -> the settings with the number of atoms."""

_STILL_FRAMES = 5  # that an autoencoder makes two latent frames of


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedGvc:
    """What a group becomes.

    Attributes:
        block, payload, digest: for the file.
        latents: as the decoder will have them, [c, t, h, w].
        end: reference picture of the last frame [H, W, 3], if the variant has one.
    """

    block: GvcBlock
    payload: bytes
    digest: int
    latents: Latents
    end: Picture | None


class GvcCoder:
    """Codes groups with one file's packs.

    Args:
        generator: the main pack: autoencoder and flow model.
        references: the pack that codes reference pictures; None where there are none.
        execution: where the encoder looks for atoms.
        plan: windows of the flow model.
        tiles: of the autoencoder.
        seed: of noise and atoms.

    Raises:
        PackError: the main pack has no flow model.
    """

    def __init__(
        self,
        generator: Generator,
        references: Models | None,
        execution: Execution,
        *,
        plan: TilePlan,
        tiles: TilePlan,
        seed: int,
    ) -> None:
        self._flow: Flow = generator.flow(plan)
        self._autoencoder, self._tiles = generator.autoencoder, tiles
        self._references = None if references is None else _PictureCoder(references, tiles)
        self._execution, self._seed = execution, seed

    def encode(
        self, number: int, clip: Picture, before: Picture | None, block: GvcBlock, fit: Fit
    ) -> CodedGvc:
        """Code a group.

        Args:
            number: of the group.
            clip: frames [T, H, W, 3]; where the group depends on the one before, the first is the
                last of that one.
            before: what the group before left (see `ending`), if this one depends on it.
            block: settings; levels and atoms are added.
            fit: chooses the number of atoms.
        """
        target = self._autoencoder.encode(clip)
        own, shown = self._code_pictures(clip, block, closed=before is None)
        both = shown if before is None else (before, *shown)
        held = self._held(block, both, target.shape[1])
        levels = {frame: _level(said, target[:, frame], block) for frame, said in held.items()}
        start, end = levels.pop(0, 0), sum(levels.values())  # of one frame, where there is another
        block = replace(block, start_level=start, end_level=end)
        block = fit(block, target.shape[1], sum(picture.size for picture in own))
        if block.atoms == 0:  # nothing steers: the pictures are all there is
            block = replace(block, start_level=0, end_level=0)
        schedule = Schedule(block, target.shape[1])
        choices: list[Choice] = []

        def steer(place: Place, estimate: Latents) -> Latents:
            codebook = self._codebook(number, place, block, estimate.size)
            residual = np.ascontiguousarray(target[:, place.frame] - estimate).ravel()
            choice = codebook.choose(np.nan_to_num(residual), place.atoms, self._execution.device)
            choices.append(choice)
            return codebook.sum(choice).reshape(estimate.shape)

        noise = noise_for(self._seed, number, target.shape)
        latents = sample(self._flow, schedule, noise, held, steer)
        steering = Steering(pictures=own, choices=tuple(choices))
        return CodedGvc(
            block=block,
            payload=pack_payload(steering, block.codebook),
            digest=steering.digest,
            latents=latents,
            end=both[-1] if block.variant == FLF2V else None,
        )

    def decode(
        self, record: GroupRecord, size: tuple[int, int], before: Picture | None
    ) -> tuple[Latents, Schedule]:
        """Return the latents [c, t, h, w] of a group; not finite where the flow model was not.

        Args:
            record: the group as it is in the file.
            size: height and width of the frames.
            before: what the group before left, if this one depends on it.

        Raises:
            FormatError: the payload is damaged.
        """
        block = read_gvc_block(record)
        shape = latent_shape(latent_frames(record), *size, self._autoencoder.stride)
        schedule = Schedule(block, shape[0])
        steering = parse_payload(record, schedule)
        shown = self._decode_pictures(steering.pictures, block, size, record.offset)
        both = shown if before is None else (before, *shown)
        held = self._held(block, both, shape[0])
        choices = iter(steering.choices)

        def steer(place: Place, estimate: Latents) -> Latents:
            codebook = self._codebook(record.number, place, block, estimate.size)
            return codebook.sum(next(choices)).reshape(estimate.shape)

        noise = noise_for(self._seed, record.number, (self._autoencoder.channels, *shape))
        return sample(self._flow, schedule, noise, held, steer), schedule

    def frames(self, latents: Latents, size: tuple[int, int, int], *, skip: int) -> list[Picture]:
        """Return the frames [H, W, 3] of decoded latents.

        Args:
            latents: [c, t, h, w].
            size: frames, height and width that they stand for.
            skip: frames at the start that belong to the group before.
        """
        blocks = self._autoencoder.decode(np.nan_to_num(latents), size, None, self._tiles)
        return [frame for block in blocks for frame in block][skip:]

    def end_picture(self, record: GroupRecord, size: tuple[int, int]) -> Picture:
        """Return the reference picture [H, W, 3] of the last frame of an flf2v group, alone.

        Raises:
            FormatError: the payload is damaged.
        """
        own, _ = parse_pictures(record)
        shown = self._decode_pictures(own[-1:], read_gvc_block(record), size, record.offset)
        return shown[-1]

    def picture_bytes(self, picture: Picture, quality: int) -> int:
        """Return the bytes that a reference picture [H, W, 3] takes in a payload."""
        if self._references is None:
            return 0
        return self._references.encode(picture, quality).size

    def evaluate(self, shape: tuple[int, int, int]) -> None:
        """Evaluate the flow model once, on noise of `shape` (t, h, w)."""
        self._flow.velocity(noise_for(self._seed, 0, (self._autoencoder.channels, *shape)), 1.0)

    def analyse(self, clip: Picture) -> Latents:
        """Return the latents [c, t, h, w] of frames [T, H, W, 3]."""
        return self._autoencoder.encode(clip)

    def _codebook(self, number: int, place: Place, block: GvcBlock, values: int) -> Codebook:
        where = (place.step, place.frame)
        return Codebook(self._seed, number, where, values=values, count=block.codebook)

    def _code_pictures(
        self, clip: Picture, block: GvcBlock, *, closed: bool
    ) -> tuple[tuple[CodedPicture, ...], tuple[Picture, ...]]:
        """Code the reference pictures that a group brings along; return them decoded, too."""
        count = own_pictures(block, closed=closed)
        if count == 0 or self._references is None:
            return (), ()
        ends = (clip[0], clip[-1]) if closed else (clip[-1],)
        coded = [self._references.encode(picture, block.quality) for picture in ends[:count]]
        size = (clip.shape[1], clip.shape[2])
        return tuple(coded), self._decode_pictures(tuple(coded), block, size, 0)

    def _decode_pictures(
        self, coded: tuple[CodedPicture, ...], block: GvcBlock, size: tuple[int, int], offset: int
    ) -> tuple[Picture, ...]:
        if not coded or self._references is None:
            return ()
        decode = self._references.decode
        return tuple(decode(picture, block.quality, size, offset) for picture in coded)

    def _held(self, block: GvcBlock, shown: tuple[Picture, ...], frames: int) -> dict[int, Latents]:
        """Return what reference pictures say of latent frames, [c, h, w] each.

        The last latent frame stands for four frames, of which the picture shows the last: it is
        taken for a still.
        """
        if block.variant == T2V:
            return {}
        held = {0: self._autoencoder.encode(shown[0][None])[:, 0]}
        if block.variant == FLF2V and frames > 1:
            still = np.repeat(shown[-1][None], _STILL_FRAMES, 0)
            held[frames - 1] = self._autoencoder.encode(still)[:, 1]
        return held


def _level(said: Latents, true: Latents, block: GvcBlock) -> int:
    """Return the noise level, in thousandths, down to which a reference picture is followed.

    There the noise is as strong as what the picture says wrongly. If that were before the steps
    without atoms it is not followed at all: steered from the start a frame comes closer.

    Args:
        said: what the picture says of a latent frame, [c, h, w].
        true: the latent frame.
        block: settings of the group.
    """
    level = level_of_error(math.sqrt(float(np.mean((said - true) ** 2))))
    first_plain = Schedule(block, 1).levels[block.coded_steps]
    return level if level <= LEVEL_UNIT * first_plain else LEVEL_UNIT


class _PictureCoder:
    """Codes single pictures as groups of one frame, without refinement."""

    def __init__(self, models: Models, tiles: TilePlan) -> None:
        plain = replace(
            models.defaults,
            anchor_offset=0.0,
            anchor_doubling=0.0,
            half_below=0,
            half_shift=0,
            half_tried_below=0,
            steps=0,
        )
        self._models = replace(models, defaults=plain)
        self._coder, self._tiles = GroupCoder(self._models), tiles

    def encode(self, picture: Picture, quality: int) -> CodedPicture:
        """Code a picture [H, W, 3]."""
        source = self._models.transform.prepare(picture[None])
        coded = self._coder.encode(source, quality)
        return CodedPicture(payload=coded.payload, digest=coded.digest)

    def decode(
        self, coded: CodedPicture, quality: int, size: tuple[int, int], offset: int
    ) -> Picture:
        """Return the picture [H, W, 3]; `offset` is for messages."""
        record = GroupRecord(
            number=0,
            ticks=(0,),
            coder=CODER_GNVC_VD,
            coder_block=GnvcVdBlock(quality=quality).to_bytes(),
            payload=coded.payload,
            digest=coded.digest,
            offset=offset,
        )
        shape = latent_shape(1, *size, self._models.exact.stride)
        found = self._coder.decode(record, shape)
        return next(self._coder.pictures(found, found.latents, (1, *size), self._tiles))
