"""The codebook of one place: atoms by number, the best for a residual, and what they add up to.

The atoms of a codebook are the rotations of one noise (of several, where there are more atoms than
values in a latent frame), times one mask of random signs: `atom_s[j] = mask[j] * noise[j + s]`. To
choose among them they look like independent ones, since the mask makes every residual white; but
the inner products with all of them are one correlation, and one noise is all there is to generate.

Atoms and their sums are integers. The specification is formats/gvc-1.md.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray

from gencodec.errors import ExecutionError
from gencodec.execution import memory_errors
from gencodec.refine.noise import DOMAIN_ATOMS, words
from gencodec.symbols import Choice

# of the table as bytes of two's complement
TABLE_SHA256 = "f9280ad49613f16d764483c752b599370c17b803439565a580db3b614b1fa8b3"

_SIZE = 256
_UNIT = 32  # a unit Gaussian in the table
_BLOCK_BYTES = 16  # of four words
_FRAMES = 1 << 15  # latent frames that streams are numbered for
Values = NDArray[np.float32]


@lru_cache(maxsize=1)
def atom_table() -> NDArray[np.int8]:
    """Return the table [256]: byte -> Gaussian in units of 1/32, rising.

    Entry i is the number nearest to 32 times the normal quantile of (i + 1/2) / 256; none lies
    closer than 0.006 to a tie.

    Raises:
        ExecutionError: this machine's mathematical functions are wrong.
    """
    quantile = NormalDist().inv_cdf
    upper = [round(_UNIT * quantile((2 * i + 1) / (2 * _SIZE))) for i in range(_SIZE // 2, _SIZE)]
    table = np.array([-entry for entry in reversed(upper)] + upper, np.int8)
    if hashlib.sha256(table.tobytes()).hexdigest() != TABLE_SHA256:
        raise ExecutionError(
            "the table of atoms has the wrong digest on this machine, so files would decode to "
            "something else; use another machine or C library"
        )
    table.setflags(write=False)
    return table


class Codebook:
    """The atoms of one step and latent frame.

    Args:
        seed: of the file.
        group: number of the group.
        place: step and latent frame.
        values: of a latent frame.
        count: atoms.
    """

    def __init__(
        self, seed: int, group: int, place: tuple[int, int], *, values: int, count: int
    ) -> None:
        step, frame = place
        if frame >= _FRAMES:
            raise ValueError(f"latent frame {frame}, at most {_FRAMES - 1}")
        self.count, self._values = count, values
        blocks = -(-values // _BLOCK_BYTES)
        noises = -(-count // values)
        stream = step * 2 * _FRAMES + frame
        made = _bytes(seed, group, blocks * noises, stream).reshape(noises, -1)[:, :values]
        self._noises = atom_table()[made]
        signs = _bytes(seed, group, -(-values // (8 * _BLOCK_BYTES)), stream + _FRAMES)
        bits = np.unpackbits(signs, count=values, bitorder="little")
        self._mask = np.int8(1) - np.int8(2) * bits.astype(np.int8)

    def atom(self, index: int) -> NDArray[np.int8]:
        """Return the values [n] of an atom."""
        noise, shift = divmod(index, self._values)
        rotated: NDArray[np.int8] = self._mask * np.roll(self._noises[noise], -shift)
        return rotated

    def sum(self, choice: Choice) -> Values:
        """Return the sum [n] of chosen atoms with their signs, scaled to a mean square of 1.

        The integers are exact, the factor is rounded once and so is each product: all machines get
        the same bits. A sum of zero stays zero.
        """
        n = self._values
        twice = np.concatenate([self._noises, self._noises], axis=1).astype(np.int32)
        total = np.zeros(n, np.int32)
        for atom in choice.tolist():
            noise, shift = divmod(abs(atom) - 1, n)
            part = twice[noise, shift : shift + n]
            (np.subtract if atom < 0 else np.add)(total, part, out=total)
        total *= self._mask
        energy = int(np.dot(total.astype(np.int64), total.astype(np.int64)))
        factor = np.float32(math.sqrt(n / energy)) if energy else np.float32(0)
        scaled: Values = total.astype(np.float32) * factor
        return scaled

    @memory_errors()
    def choose(self, residual: Values, atoms: int, device: torch.device) -> Choice:  # noqa: TID251
        """Return the atoms whose inner product with a residual [n] is largest in size.

        This is float and the encoder's alone; what it finds is written down.

        Source: Turbo-DDCM, arXiv 2511.06424: nearly orthogonal atoms, so the largest M are best.
        """
        masked = torch.from_numpy(residual * self._mask).to(device)
        noises = torch.from_numpy(self._noises).to(device).float()
        spectrum = torch.fft.rfft(masked).conj() * torch.fft.rfft(noises)
        products = torch.fft.irfft(spectrum, n=self._values).flatten()[: self.count]
        best = torch.topk(products.abs(), atoms).indices.sort().values
        signs = torch.where(products[best] < 0, -1, 1)
        chosen: Choice = ((best + 1) * signs).cpu().numpy().astype(np.int32)
        return chosen


def _bytes(seed: int, group: int, blocks: int, stream: int) -> NDArray[np.uint8]:
    """Return the bytes of the first blocks of a stream, of each word the low byte first."""
    made = words(seed, group, np.arange(blocks), stream=stream, domain=DOMAIN_ATOMS)
    return np.frombuffer(made.astype("<u4").tobytes(), np.uint8)
