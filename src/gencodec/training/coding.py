"""A pack's codec run on clips in training: closed loop, with the encoder's rounding.

Both kinds of codec look the same from here: a `Step` a latent frame. The latent codec's target is
the latent of the clean frames, the motion codec's the frames themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gencodec.latents import Autoencoder, split_blocks
from gencodec.transform import (
    ANCHOR,
    DEAD_ZONES,
    LatentCodec,
    MotionCodec,
    MotionState,
    Rounded,
    dead_zone_round,
    search_motion,
)

Codec = LatentCodec | MotionCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One latent frame of a clip, coded.

    Attributes:
        kind: ANCHOR or INTER.
        coded: symbols [b, c, h, w].
        hyper: [b, cz, hz, wz] before rounding.
        target, decoded: latents [b, c, h, w] or frames [b, 3, 1 or 4, H, W].
        features: of the decoder [b, f, h, w].
    """

    kind: int
    coded: Rounded
    hyper: Tensor
    target: Tensor
    decoded: Tensor
    features: Tensor


def coded_steps(
    codec: Codec, autoencoder: Autoencoder, frames: Tensor, anchor: Tensor, inter: Tensor
) -> Iterator[Step]:
    """Code a clip.

    Args:
        codec: latent or motion codec.
        autoencoder: makes the latents for a latent codec.
        frames: [b, 3, 1+4n, H, W] in -1..1.
        anchor: quality indices [b] of the first latent frame.
        inter: quality indices [b] of the others.
    """
    if isinstance(codec, MotionCodec):
        yield from _motion_steps(codec, frames, anchor, inter)
        return
    with torch.no_grad():
        latents = autoencoder.encode(frames)
    state = codec.start(len(frames), *latents.shape[-2:])
    for target in latents.unbind(2):
        quality = anchor if state.kind == ANCHOR else inter
        raw, kind = codec.analyse(target, state, quality), state.kind
        coded = dead_zone_round(raw)
        decoded, features, state = codec.synthesise(coded.symbols, state, quality)
        yield Step(
            kind=kind,
            coded=coded,
            hyper=codec.hyper_analyse(raw, kind),
            target=target,
            decoded=decoded,
            features=features,
        )


def _motion_steps(
    codec: MotionCodec, frames: Tensor, anchor: Tensor, inter: Tensor
) -> Iterator[Step]:
    state = MotionState()
    blocks = list(split_blocks(frames))
    found = iter(_found(blocks))
    for target in blocks:
        first = state.kind == ANCHOR
        quality, prediction = (anchor if first else inter), None
        if not first:
            motion = codec.choose_motion(target, next(found), state, quality)
            prediction = codec.predict(motion, state, quality)
        raw, kind = codec.analyse(target, prediction, state, quality), state.kind
        coded = dead_zone_round(raw, DEAD_ZONES[kind])  # vectors stay what they are
        decoded, features, state = codec.synthesise(coded.symbols, state, quality, prediction)
        yield Step(
            kind=kind,
            coded=coded,
            hyper=codec.hyper_analyse(raw, kind),
            target=target,
            decoded=decoded,
            features=features,
        )


def _found(blocks: list[Tensor]) -> Sequence[Tensor]:
    """Return what moved where [b, 2, h, w] in each block but the first, all searched at once."""
    if len(blocks) == 1:
        return []
    before = torch.cat([block[:, :, -1] for block in blocks[:-1]])
    return search_motion(before, torch.cat(blocks[1:])).chunk(len(blocks) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedClip:
    """What a decoder has of a clip: latents and features [b, ., t, h, w], pictures or None."""

    latents: Tensor
    features: Tensor
    pictures: Tensor | None


@torch.no_grad()
def coded_clip(
    codec: Codec, autoencoder: Autoencoder, frames: Tensor, quality: Tensor
) -> CodedClip:
    """Code a clip [b, 3, 1+4n, H, W] at one quality index [b] without counting bits."""
    steps = list(coded_steps(codec, autoencoder, frames, quality, quality))
    features = torch.stack([step.features for step in steps], 2)
    if isinstance(codec, LatentCodec):
        latents = torch.stack([step.decoded for step in steps], 2)
        return CodedClip(latents=latents, features=features, pictures=None)
    pictures = torch.cat([step.decoded for step in steps], 2).clamp(-1, 1)
    return CodedClip(latents=autoencoder.encode(pictures), features=features, pictures=pictures)
