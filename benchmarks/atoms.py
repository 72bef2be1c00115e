"""What GVC's own arithmetic costs: atoms of one place, and the choices of one group as bytes.

A step has one place for each latent frame, 9 for 33 frames; what their atoms cost is also told as a
share of a whole step, with the flow model of the pack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from benchmarks.section import Options, Section
from gencodec.execution import Execution
from gencodec.geometry import latent_shape
from gencodec.gvc.atoms import Codebook
from gencodec.packs import find_pack
from gencodec.packs.models import load_generator
from gencodec.refine import noise_for
from gencodec.symbols import choices_bytes, decode_choices, encode_choices

_SIZES: Mapping[str, tuple[int, int, int]] = {
    "832x480": (16, 60, 104),
    "1280x720": (16, 90, 160),
}
_CODEBOOK, _ATOMS, _PLACES = 16_384, 64, 17 * 9
_SEED, _REPEATS = 7, 5
_GROUP_FRAMES, _WIDTH, _HEIGHT = 33, 832, 480


def measure(options: Options) -> Section:
    """Measure on the CPU, and the search on a GPU where there is one."""
    execution = Execution.choose("auto", threads=options.threads)
    cpu = Execution.choose("cpu", threads=options.threads)
    rows, data = [], {}
    for name, shape in _SIZES.items():
        found = _place(int(np.prod(shape)), execution, cpu)
        data[name] = found
        rows += [(f"{name}, {what}", 1000 * seconds) for what, seconds in found.items()]
    chance = np.random.default_rng(_SEED)
    choices = [
        np.sort(chance.choice(_CODEBOOK, _ATOMS, replace=False)).astype(np.int32) + 1
        for _ in range(_PLACES)
    ]
    sizes = [_ATOMS] * _PLACES
    payload = encode_choices(choices, _CODEBOOK)
    code = {
        "encode choices of a group": _seconds(lambda: encode_choices(choices, _CODEBOOK), 3),
        "decode choices of a group": _seconds(lambda: decode_choices(payload, sizes, _CODEBOOK), 3),
    }
    ordered = 15 * sum(sizes) / 8
    steps = _step(options, execution, cpu)
    rows += [
        (f"a step of {_GROUP_FRAMES} frames, {options.pack}: {what}", 1000 * seconds)
        for what, seconds in steps.items()
    ]
    encoding, decoding = (
        steps[f"atoms, {side}"] / (steps["flow model"] + steps[f"atoms, {side}"])
        for side in ("encoding", "decoding")
    )
    return Section(
        title=f"atoms: {_ATOMS} of {_CODEBOOK}, one step of one latent frame",
        columns=("", "ms"),
        rows=[*rows, *((name, 1000 * seconds) for name, seconds in code.items())],
        data={
            "places": data,
            "group": code,
            "step": {**steps, "encoding_share": encoding, "decoding_share": decoding},
            "bytes": choices_bytes(sizes, _CODEBOOK),
            "ordered_bytes": ordered,
            "search_on": execution.reason,
        },
        notes=[
            f"a group of {_PLACES} places: {choices_bytes(sizes, _CODEBOOK)} bytes, as ordered "
            f"indices {ordered:.0f}",
            f"atoms are {encoding:.1%} of a step in encoding, {decoding:.1%} in decoding, at "
            f"{_WIDTH}x{_HEIGHT}",
            f"search and flow model on {execution.reason}; the rest always on the CPU",
        ],
    )


def _step(options: Options, execution: Execution, cpu: Execution) -> dict[str, float]:
    """Return the seconds of one step of a group: the flow model once, and all its places."""
    generator = load_generator(find_pack(options.pack), execution)
    autoencoder = generator.autoencoder
    frames, *size = latent_shape(_GROUP_FRAMES, _HEIGHT, _WIDTH, autoencoder.stride)
    noise = noise_for(_SEED, 0, (autoencoder.channels, frames, *size))
    flow = generator.flow(generator.defaults.tiles)
    place = _place(noise[:, 0].size, execution, cpu)
    made = place["noise and mask"] + place["sum of the chosen"]
    return {
        "flow model": _seconds(lambda: flow.velocity(noise, 1.0), 2),
        "atoms, encoding": frames * (made + place["search"]),
        "atoms, decoding": frames * made,
    }


def _place(values: int, execution: Execution, cpu: Execution) -> dict[str, float]:
    """Return the seconds of each part of one place."""
    book = Codebook(_SEED, 0, (3, 1), values=values, count=_CODEBOOK)
    residual = np.random.default_rng(_SEED).normal(size=values).astype(np.float32)
    choice = book.choose(residual, _ATOMS, cpu.device)

    def make() -> Codebook:
        return Codebook(_SEED, 0, (3, 1), values=values, count=_CODEBOOK)

    found = {
        "noise and mask": _seconds(make),
        "search": _seconds(lambda: book.choose(residual, _ATOMS, execution.device)),
        "sum of the chosen": _seconds(lambda: book.sum(choice)),
    }
    few = torch.ones((64, values), dtype=torch.float32)
    product = _seconds(lambda: few @ torch.from_numpy(residual), 3) * _CODEBOOK / 64
    found["for comparison: independent atoms, generated"] = found["noise and mask"] * _CODEBOOK
    found["for comparison: independent atoms, multiplied"] = product
    return found


def _seconds(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Return the median time of some work."""
    work()
    spent = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return float(np.median(spent))
