"""The door of the latent codec: NumPy latents in, integer symbols out, and back.

Which bytes carry the symbols is the caller's business: to encode, it passes a function that takes
the symbols of a frame and returns them as a decoder will see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gencodec.execution import Execution, memory_errors
from gencodec.geometry import GroupQuality
from gencodec.transform.latent_codec import LatentCodec, State

Symbols = NDArray[np.int32]
Analyse = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
WriteFrame = Callable[[Symbols, Symbols, int], NDArray[np.int16]]
Improve = Callable[[Tensor, Tensor, Tensor], Tensor]

_DEAD_ZONE = 0.12  # an encoder's choice; the decoder does not know it
_SYMBOL_LIMIT = 32_767


class Source(Protocol):
    """A group ready to be coded at any quality."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes; the last three are (t, h, w) of the latents."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""


class Transform(Protocol):
    """What `LatentStage` and `MotionStage` have in common."""

    config: Any
    anchor_place: int
    """Where in a group the codec begins, see `gencodec.geometry.anchor_at`."""

    def prepare(self, rgb: NDArray[np.uint8]) -> Source:
        """Do once for frames [T, H, W, 3] what does not depend on the quality."""

    def encode(  # noqa: PLR0913
        self,
        source: Any,  # noqa: ANN401
        quality: GroupQuality,
        write: WriteFrame,
        *,
        shown: bool = True,
        half_size: bool = False,
        anchor: int = 0,
        improve: Improve | None = None,
    ) -> Reconstruction:
        """Code what `prepare` returned.

        Args:
            source: from `prepare`.
            quality: quality indices of its latent frames.
            write: takes symbols.
            shown: the latents or pictures of the result are used.
            half_size: code frames at half their width and height, and return them so; of motion
                codecs alone.
            anchor: the latent frame to begin with; others than 0 of motion codecs alone.
            improve: takes coefficients of an anchor before rounding [1, c, h, w], the picture
                [1, 3, H, W] and its quality index [1], and returns better ones; of motion codecs
                alone.
        """

    def decode(
        self, symbols: Sequence[NDArray[np.int16]], quality: GroupQuality, anchor: int = 0
    ) -> Reconstruction:
        """Rebuild a group from its symbols, in the order in which they were coded.

        Args:
            symbols: [c, h, w] of each latent frame.
            quality: quality indices of the latent frames.
            anchor: as for `encode`.
        """

    def decoded_latents(self, coded: Reconstruction) -> NDArray[np.float32]:
        """Return the normalised latents [c, t, h, w] of a reconstruction."""

    def clean_latents(self, source: Any) -> NDArray[np.float32]:  # noqa: ANN401
        """Return the normalised latents [c, t, h, w] of a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What the symbols of a group say.

    Attributes:
        features: of the decoder [f, t, h, w].
        latents: [c, t, h, w]; None where the codec works on frames.
        pictures: padded frames [T, H, W, 3]; None where the codec works on latents.
    """

    features: NDArray[np.float32]
    latents: NDArray[np.float32] | None = None
    pictures: NDArray[np.uint8] | None = None


class LatentStage:
    """Runs a `LatentCodec` over the latent frames of one group at a time.

    Args:
        codec: the networks.
        execution: where they run.
        analyse: maps frames [T, H, W, 3] to normalised latents [c, t, h, w].
    """

    anchor_place = 0

    def __init__(self, codec: LatentCodec, execution: Execution, analyse: Analyse) -> None:
        self.config = codec.config
        self.prepare = analyse
        self._codec = codec.to(execution.device).eval()
        self._device = execution.device

    @torch.inference_mode()
    def encode(  # noqa: PLR0913
        self,
        latents: NDArray[np.float32],
        quality: GroupQuality,
        write: WriteFrame,
        *,
        shown: bool = True,
        half_size: bool = False,
        anchor: int = 0,
        improve: Improve | None = None,
    ) -> Reconstruction:
        """Code normalised latents [c, t, h, w] in a closed loop.

        Args:
            latents: the group's latents.
            quality: quality indices of its frames.
            write: called once a latent frame with symbols [c, h, w], hyper symbols [cz, hz, wz]
                and the quality index; returns the symbols as the decoder will see them.
            shown: the result is used; here it costs nothing.
            half_size: has no meaning for latents.
            anchor: likewise.
            improve: likewise.
        """
        del shown, improve
        if half_size or anchor:
            raise ValueError("a latent codec codes whole frames, from the first one on")
        source = torch.from_numpy(latents).to(self._device)

        def symbols(t: int, state: State) -> Tensor:
            index = self._quality(quality.of(t))
            raw = self._codec.analyse(source[None, :, t], state, index)
            hyper = self._codec.hyper_analyse(raw, state.kind)
            return self._tensor(
                write(integers(raw, _DEAD_ZONE), integers(hyper, 0.0), quality.of(t))
            )

        return self._run(latents.shape[1:], quality, symbols)

    @torch.inference_mode()
    def decode(
        self, symbols: Sequence[NDArray[np.int16]], quality: GroupQuality, anchor: int = 0
    ) -> Reconstruction:
        """Rebuild the latents of a group from the symbols [c, h, w] of its latent frames."""
        if anchor:
            raise ValueError("a latent codec codes groups from the first latent frame on")
        shape = (len(symbols), *symbols[0].shape[1:])
        return self._run(shape, quality, lambda t, _state: self._tensor(symbols[t]))

    def decoded_latents(self, coded: Reconstruction) -> NDArray[np.float32]:
        """Return the normalised latents [c, t, h, w] of a reconstruction."""
        if coded.latents is None:
            raise TypeError("a latent codec rebuilds latents")
        return coded.latents

    def clean_latents(self, source: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the source, which consists of latents."""
        return source

    @memory_errors()
    def _run(
        self,
        shape: tuple[int, ...],
        quality: GroupQuality,
        symbols: Callable[[int, State], Tensor],
    ) -> Reconstruction:
        frames, height, width = shape
        state = self._codec.start(1, height, width)
        latents: list[Tensor] = []
        features: list[Tensor] = []
        for t in range(frames):
            y = symbols(t, state)
            latent, feature, state = self._codec.synthesise(y, state, self._quality(quality.of(t)))
            latents.append(latent)
            features.append(feature)
        return Reconstruction(latents=_stacked(latents), features=_stacked(features))

    def _quality(self, index: int) -> Tensor:
        return torch.tensor([index], device=self._device)

    def _tensor(self, symbols: NDArray[np.int16]) -> Tensor:
        return torch.from_numpy(symbols.astype(np.float32)).to(self._device)[None]


def integers(values: Tensor, dead_zone: float) -> Symbols:
    """Round [1, c, h, w] to integers, a little more towards zero by `dead_zone`, clipped."""
    magnitude = (values[0].abs() + (0.5 - dead_zone)).floor().clamp(0, _SYMBOL_LIMIT)
    rounded: Symbols = torch.nan_to_num(magnitude * values[0].sign()).to(torch.int32).cpu().numpy()
    return rounded


def _stacked(frames: list[Tensor]) -> NDArray[np.float32]:
    """Join frames [1, c, h, w] to [c, t, h, w]."""
    joined: NDArray[np.float32] = torch.stack(frames, 2)[0].float().cpu().numpy()
    return joined
