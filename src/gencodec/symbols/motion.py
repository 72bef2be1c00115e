"""Motion fields <-> bits of the range coder: what neighbours say of a vector, learned on the way.

A field has a vector and a reference for each block. In raster order, block by block:

    reference   one bit
    same        whether the vector is the prediction, the median of left, above and above right
    like        if not: is it that of one of the neighbours, of the field before, or zero
    difference  if not that: number of bits of |x|, sign and rest; then of y

Every bit has a context, and every context a probability that starts as the pack says and follows
what was coded. Symbols are differences from the prediction (networks-1, N3); what comes in and goes
out is symbols, as for all other channels.

Source: context-adaptive binary coding and merge candidates after ITU-T H.265, 9.3 and 8.5.3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gencodec.errors import FormatError
from gencodec.symbols.range_coder import LEVELS, RangeReader, RangeWriter

Field = NDArray[np.int16]  # [3, h, w]: differences of vectors (x, y), and the reference, 0 or 1
Vector = tuple[int, int]
Code = Callable[[int, int], int]  # context, bit (of no meaning to a reader) -> bit
_Block = tuple[Vector, int, int]  # vector, reference, whether it differed from its prediction
_STILL: _Block = ((0, 0), 0, 0)

_LENGTHS = 15  # bits of a component's size, at most
_SAME, _LIKE, _SIZE, _SIGN, _REST = 8, 104, 204, 344, 346  # first contexts; reference is 0
CONTEXTS = 360
EVEN = -1  # context of bits that are worth a bit
_TRUSTED, _SLOWEST = 12, 126  # bits that a start counts for, and that a probability remembers


class MotionModel:
    """Codes the fields of one group, each told by the one before.

    Args:
        counts: [CONTEXTS, 2] zeros and ones of each context, where probabilities start.
        shape: (h, w) of a field.

    Attributes:
        cost_bits: ideal length of what was written so far.
    """

    def __init__(self, counts: NDArray[np.int64], shape: tuple[int, int]) -> None:
        total = counts.sum(1)
        self._shape = shape
        chances = ((2 * counts[:, 1] + 1) << 15) // (total + 1)  # of a 1, in 2**-16
        self._chances = chances.tolist()
        self._seen = np.minimum(total, _TRUSTED).tolist()
        self._before: _Blocks | None = None
        self.cost_bits = 0.0

    def forget(self) -> None:
        """Tell the next field nothing of those before it but what their bits taught."""
        self._before = None

    def write(self, writer: RangeWriter, field: Field) -> None:
        """Code the next field.

        Raises:
            ValueError: a reference is neither 0 nor 1.
        """
        if field[2].min() < 0 or field[2].max() > 1:
            raise ValueError("a reference must be 0 or 1")

        def code(context: int, bit: int) -> int:
            level = self._level(context)
            writer.write_bit(bit, level)
            self.cost_bits -= math.log2((level if bit else LEVELS - level) / LEVELS)
            self._learn(context, bit)
            return bit

        self._walk(code, field.tolist())

    def read(self, reader: RangeReader) -> NDArray[np.int64]:
        """Return the next field; damage may have made symbols of any size.

        Raises:
            FormatError: the payload is damaged.
        """

        def code(context: int, _: int) -> int:
            bit = reader.read_bit(self._level(context))
            self._learn(context, bit)
            return bit

        return self._walk(code, None)

    def count(self, counts: NDArray[np.int64], field: Field) -> None:
        """Add the bits of the next field to counts [CONTEXTS, 2], without coding them."""

        def code(context: int, bit: int) -> int:
            if context != EVEN:
                counts[context, bit] += 1
            return bit

        self._walk(code, field.tolist())

    def _level(self, context: int) -> int:
        """Return the chance of a 1 in 2**-12, neither 0 nor 1."""
        if context == EVEN:
            return LEVELS // 2
        level: int = min(max(self._chances[context] >> 4, 1), LEVELS - 1)
        return level

    def _learn(self, context: int, bit: int) -> None:
        if context == EVEN:
            return
        chance, seen = self._chances[context], self._seen[context]
        self._chances[context] = chance + (((bit << 16) - chance) * (65536 // (seen + 2)) >> 16)
        self._seen[context] = min(seen + 1, _SLOWEST)

    def _walk(self, code: Code, field: list[list[list[int]]] | None) -> NDArray[np.int64]:
        """Code a field, or decode it where there is none.

        Raises:
            FormatError: what was decoded is not what an encoder writes.
        """
        h, w = self._shape
        made = _Blocks(h, w, self._before)
        symbols: list[tuple[int, int, int]] = []
        for y, x in product(range(h), range(w)):
            near = made.near(y, x)
            given = None if field is None else (field[0][y][x], field[1][y][x])
            reference = code(near.reference, 0 if field is None else field[2][y][x])
            dx, dy = _code_difference(code, near, reference, given)
            symbols.append((dx, dy, reference))
            vector = near.predicted[0] + dx, near.predicted[1] + dy
            made.rows[y][x] = vector, reference, int(dx != 0 or dy != 0)
        self._before = made
        return np.array(symbols, np.int64).reshape(h, w, 3).transpose(2, 0, 1)


@dataclass(slots=True)
class _Near:
    """What is known of a block before it is coded.

    Attributes:
        predicted: its vector.
        candidates: what it may be instead; see `others`.
        reference: context of its reference.
        spread, changed, apart: how the neighbours differ from one another, how many differed from
            their predictions, and how far the field before is from this one's.
    """

    predicted: Vector
    candidates: tuple[Vector, ...]
    reference: int
    spread: int
    changed: int
    apart: int

    def others(self) -> list[tuple[int, Vector]]:
        """Return number and vector of each candidate that is not among those before it."""
        found: list[tuple[int, Vector]] = []
        seen = {self.predicted}
        for number, candidate in enumerate(self.candidates):
            if candidate not in seen:
                seen.add(candidate)
                found.append((number, candidate))
        return found


class _Blocks:
    """A field as far as it is known, and the one before it."""

    def __init__(self, h: int, w: int, before: _Blocks | None) -> None:
        self._before = None if before is None else before.rows
        self._outside: _Block = ((0, 0) if before is None else before._median(), 0, 0)
        self.rows: list[list[_Block]] = [[self._outside] * w for _ in range(h)]

    def _median(self) -> Vector:
        """Return the median of each component; of an even count the lower in the middle."""
        vectors = np.array([block[0] for row in self.rows for block in row])
        x, y = np.sort(vectors, axis=0)[(len(vectors) - 1) // 2].tolist()
        return x, y

    def near(self, y: int, x: int) -> _Near:
        """Return what is known of a block."""
        rows, outside = self.rows, self._outside
        left = rows[y][x - 1] if x else outside
        up = rows[y - 1][x] if y else outside
        right = rows[y - 1][x + 1] if y and x + 1 < len(rows[y]) else outside
        before = _STILL if self._before is None else self._before[y][x]
        a, b, c = left[0], up[0], right[0]
        predicted = (_middle(a[0], b[0], c[0]), _middle(a[1], b[1], c[1])) if y else a
        return _Near(
            predicted=predicted,
            candidates=(a, b, c, before[0], (0, 0)),
            reference=2 * (left[1] + up[1] + right[1]) + before[1],
            spread=_class(_distance(a, b) + _distance(b, c)),
            changed=left[2] + up[2] + right[2],
            apart=min(2, _class(_distance(before[0], predicted))),
        )


def _code_difference(code: Code, near: _Near, reference: int, given: Vector | None) -> Vector:
    """Code how a vector differs from its prediction, or decode it where it is not given.

    Raises:
        FormatError: what was decoded is not what an encoder writes.
    """
    px, py = near.predicted
    context = _SAME + ((near.spread * 4 + near.changed) * 3 + near.apart) * 2 + reference
    if not code(context, int(given != (0, 0))):
        return 0, 0
    others = near.others()
    for place, (number, (x, y)) in enumerate(others):
        difference = x - px, y - py
        context = _LIKE + (number * 5 + place) * 4 + near.spread
        if code(context, int(given == difference)):
            return difference
    dx = _code_component(code, near.spread, None, None if given is None else given[0])
    dy = _code_component(code, near.spread, dx, None if given is None else given[1])
    if any((px + dx, py + dy) == vector for _, vector in others):
        raise FormatError("payload spells out a vector that has a name; the file is damaged")
    return dx, dy


def _code_component(code: Code, spread: int, first: int | None, given: int | None) -> int:
    """Code x, or y once x is known: length, sign, rest. y is not 0 where x is."""
    kind = 0 if first is None else 1 + _class(abs(first))
    wanted = 0 if given is None else abs(given).bit_length()
    length = int(first == 0)
    while length < _LENGTHS:
        context = _SIZE + (min(length, 6) * 5 + kind) * 4 + spread
        if not code(context, int(wanted > length)):
            break
        length += 1
    if not length:
        return 0
    negative = code(_SIGN + (kind > 0), int(given is not None and given < 0))
    size = 1
    for place in range(length - 2, -1, -1):
        context = _REST + length - 2 if place == length - 2 else EVEN
        size = 2 * size + code(context, 0 if given is None else abs(given) >> place & 1)
    return -size if negative else size


def _distance(a: Vector, b: Vector) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _class(distance: int) -> int:
    """Return 0, 1, 2, 3 for distances of 0, up to 2, up to 8, and more."""
    return (distance > 0) + (distance > 2) + (distance > 8)


def _middle(a: int, b: int, c: int) -> int:
    return max(min(a, b), min(max(a, b), c))
