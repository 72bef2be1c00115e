"""Coding a source with a pack's transform and entropy coder, without a container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gencodec.geometry import GroupQuality, anchor_at
from gencodec.symbols import GroupDecoder, GroupEncoder

if TYPE_CHECKING:
    from gencodec.packs.models import Models


@dataclass(frozen=True)
class Coded:
    """A coded group: what the encoder rebuilt, the symbols it sent, and the bytes."""

    result: Any  # a Reconstruction
    symbols: list[NDArray[np.int16]]
    payload: bytes
    received: list[NDArray[np.int16]]
    anchor: int


Code = Callable[["Models", Any, GroupQuality], Coded]


@pytest.fixture(scope="session")
def code() -> Code:
    """Return a function that codes a source and decodes its bytes to symbols again."""

    def run(models: Models, source: Any, quality: GroupQuality) -> Coded:  # noqa: ANN401
        exact, shape = models.exact, source.shape[-2:]
        latents = source.shape[-3]
        anchor = anchor_at(models.transform.anchor_place, latents)
        turn = latents - anchor
        encoder = GroupEncoder(exact.prior, exact.tables, shape, turn=turn)
        symbols: list[NDArray[np.int16]] = []

        def write(y: Any, z: Any, index: int) -> NDArray[np.int16]:  # noqa: ANN401
            symbols.append(encoder.encode_frame(y, z, index))
            return symbols[-1]

        result = models.transform.encode(source, quality, write, anchor=anchor)
        payload = encoder.finish()
        decoder = GroupDecoder(
            exact.prior, exact.tables, shape, payload, digest=encoder.digest, turn=turn
        )
        received = [decoder.decode_frame(quality.of(t))[0] for t in range(len(symbols))]
        decoder.finish()
        return Coded(
            result=result, symbols=symbols, payload=payload, received=received, anchor=anchor
        )

    return run
