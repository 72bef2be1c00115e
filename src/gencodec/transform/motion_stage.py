"""The door of the motion codec: uint8 frames in, integer symbols out, and back.

A group is coded from its middle outwards: anchor, frames after it, those before it backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencodec.blocks import block_of_frames
from gencodec.execution import Execution, memory_errors
from gencodec.geometry import MIDDLE, TEMPORAL_STRIDE, GroupQuality, latent_shape
from gencodec.transform.motion import search_motion
from gencodec.transform.motion_codec import (
    DEAD_ZONES,
    MotionCodec,
    MotionState,
    Prediction,
)
from gencodec.transform.picture import STRIDE
from gencodec.transform.scaling import halved
from gencodec.transform.stage import Analyse, Improve, Reconstruction, WriteFrame, integers

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingFrames:
    """Frames [T, H, W, 3], and the motion of each four of them.

    Attributes:
        rgb: the frames.
        motion: [t - 1, 2, h, w] in half pixels, in the order of coding.
    """

    rgb: NDArray[np.uint8]
    motion: NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSource:
    """Frames [T, H, W, 3] of a group, and what was found of them so far.

    Attributes:
        rgb: the frames.
        found: by anchor, and by whether the codec sees them at half their size.
    """

    rgb: NDArray[np.uint8]
    found: dict[tuple[int, bool], MovingFrames] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Latent frames, rows and columns, at full size."""
        frames, height, width, _ = self.rgb.shape
        return latent_shape(frames, height, width, STRIDE)

    @property
    def nbytes(self) -> int:
        """Bytes held, when all is found."""
        return self.rgb.nbytes * 5 // 4


class MotionStage:
    """Runs a `MotionCodec` over one group at a time; always in float32.

    Frames are padded to whole blocks: the last frame is repeated in time, edges in space.

    Args:
        codec: the networks.
        execution: where they run.
        analyse: maps frames [T, H, W, 3] to normalised latents [c, t, h, w].
    """

    anchor_place = MIDDLE

    def __init__(self, codec: MotionCodec, execution: Execution, analyse: Analyse) -> None:
        self.config = codec.config
        self._analyse = analyse
        self._codec = codec.to(execution.device).eval()
        self._execution = execution

    def prepare(self, rgb: NDArray[np.uint8]) -> MotionSource:
        """Take a group's frames [T, H, W, 3]; their motion is searched when it is wanted."""
        return MotionSource(rgb=rgb)

    def _moving(self, source: MotionSource, anchor: int, *, half_size: bool) -> MovingFrames:
        """Return a group's frames as the codec sees them, and their motion, searched once."""
        if (anchor, half_size) not in source.found:
            rgb = halved(source.rgb) if half_size else source.rgb
            motion = self._search(rgb, anchor)
            source.found[anchor, half_size] = MovingFrames(rgb=rgb, motion=motion)
        return source.found[anchor, half_size]

    @memory_errors()
    def _search(self, rgb: NDArray[np.uint8], anchor: int) -> NDArray[np.int16]:
        t, h, w = latent_shape(len(rgb), rgb.shape[1], rgb.shape[2], STRIDE)
        motion = np.zeros((t - 1, 2, h, w), np.int16)
        for position in range(1, t):
            frames, index = _side(rgb, anchor, position)
            before = self._block(frames, index - 1)[:, :, -1]
            found = search_motion(before, self._block(frames, index))
            motion[position - 1] = found[0].cpu().numpy()
        return motion

    @torch.inference_mode()
    def encode(  # noqa: PLR0913
        self,
        source: MotionSource,
        quality: GroupQuality,
        write: WriteFrame,
        *,
        shown: bool = True,
        half_size: bool = False,
        anchor: int = 0,
        improve: Improve | None = None,
    ) -> Reconstruction:
        """Code a group in a closed loop, from its anchor on in both directions.

        Args:
            source: from `prepare`.
            quality: quality indices of its latent frames.
            write: called once a latent frame with symbols [c, h, w], hyper symbols [cz, hz, wz]
                and the quality index; returns the symbols as the decoder will see them.
            shown: make pictures, too; a closed loop needs a quarter of them.
            half_size: code the frames at half their width and height; so is what comes back.
            anchor: the latent frame to begin with; its four frames must not all be padding.
            improve: makes better coefficients of the anchor; see `Transform.encode`.
        """
        moving = self._moving(source, anchor, half_size=half_size)

        def symbols(t: int, state: MotionState) -> tuple[Tensor, Prediction | None]:
            index = self._quality(quality.of(t))
            frames = self._block(*_side(moving.rgb, anchor, t))
            prediction = None
            if t:
                found = self._tensor(moving.motion[t - 1])
                motion = self._codec.choose_motion(frames, found, state, index)
                prediction = self._codec.predict(motion, state, index)
            raw = self._codec.analyse(frames, prediction, state, index)
            if improve is not None and not t:
                raw = improve(raw, frames[:, :, 0], index)
            hyper = self._codec.hyper_analyse(raw, state.kind)
            rounded = integers(raw, DEAD_ZONES[state.kind])
            received = write(rounded, integers(hyper, 0.0), quality.of(t))
            if not np.array_equal(received, rounded):
                prediction = None  # perhaps not that of the decoder
            return self._tensor(received), prediction

        count = len(moving.motion) + 1
        return self._run(count, anchor, quality, symbols, shown=shown)

    @torch.inference_mode()
    def decode(
        self, symbols: Sequence[NDArray[np.int16]], quality: GroupQuality, anchor: int = 0
    ) -> Reconstruction:
        """Rebuild a group from the symbols [c, h, w] of its latent frames, in order of coding.

        Args:
            symbols: of the anchor, of those after it, of those before it from last to first.
            quality: quality indices of the latent frames.
            anchor: the latent frame that was coded first.
        """

        def received(t: int, _: MotionState) -> tuple[Tensor, None]:
            return self._tensor(symbols[t]), None

        return self._run(len(symbols), anchor, quality, received, shown=True)

    def decoded_latents(self, coded: Reconstruction) -> NDArray[np.float32]:
        """Return the normalised latents [c, t, h, w] of a reconstruction."""
        if coded.pictures is None:
            raise TypeError("a motion codec rebuilds pictures")
        return self._analyse(coded.pictures)

    def clean_latents(self, source: MotionSource) -> NDArray[np.float32]:
        """Return the normalised latents [c, t, h, w] of a source."""
        return self._analyse(source.rgb)

    @memory_errors()
    def _run(
        self,
        count: int,
        anchor: int,
        quality: GroupQuality,
        symbols: Callable[[int, MotionState], tuple[Tensor, Prediction | None]],
        *,
        shown: bool,
    ) -> Reconstruction:
        state, turn = MotionState(), count - anchor
        pictures: list[NDArray[np.uint8]] = []
        features: list[Tensor] = []
        for t in range(count):
            state = state.turned() if t == turn else state
            y, prediction = symbols(t, state)
            frames, feature, state = self._codec.synthesise(
                y, state, self._quality(quality.of(t)), prediction, between=shown
            )
            features.append(feature)
            if not shown:
                continue
            frames = frames if t < turn else frames.flip(2)
            pixels = ((frames[0].nan_to_num().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            pictures.append(pixels.permute(1, 2, 3, 0).cpu().numpy())
        return Reconstruction(
            features=torch.stack(_in_time(features, turn), 2)[0].float().cpu().numpy(),
            pictures=np.concatenate(_in_time(pictures, turn)) if shown else None,
        )

    def _block(self, rgb: NDArray[np.uint8], index: int) -> Tensor:
        """Return the frames [1, 3, 1 or 4, H', W'] of a latent frame."""
        return block_of_frames(rgb, index, STRIDE, self._execution)

    def _quality(self, index: int) -> Tensor:
        return torch.tensor([index], device=self._execution.device)

    def _tensor(self, symbols: NDArray[np.int16]) -> Tensor:
        return torch.from_numpy(symbols.astype(np.float32)).to(self._execution.device)[None]


def _side(rgb: NDArray[np.uint8], anchor: int, position: int) -> tuple[NDArray[np.uint8], int]:
    """Return frames from the anchor on, in the direction of coding, and a latent frame of them.

    Args:
        rgb: frames [T, H, W, 3] of a group.
        anchor: the latent frame that is coded first.
        position: of the latent frame in the order of coding.
    """
    start, turn = TEMPORAL_STRIDE * anchor, latent_shape(len(rgb), 1, 1, STRIDE)[0] - anchor
    return (rgb[start:], position) if position < turn else (rgb[start::-1], position - turn + 1)


def _in_time(made: list[Made], turn: int) -> list[Made]:
    """Return what was made of latent frames, in the order of coding, in that of time."""
    return made[: turn - 1 : -1] + made[:turn]
