"""What GVC's atoms are worth: error by their number, beside as many atoms chosen by chance.

    python -m benchmarks.steering clip.mp4 --frames 17

Both have the same bytes. The error is that of the latents, a mean square beside a variance of about
one; the sampler is steered by it. PSNR is that of the frames.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import gencodec
from benchmarks.section import Section, show
from gencodec.execution import Execution
from gencodec.frames import open_source
from gencodec.gvc.atoms import Codebook, Values
from gencodec.gvc_coder import CodedGvc, GvcCoder
from gencodec.packs import find_pack
from gencodec.packs.models import load_generator
from gencodec.symbols import Choice

_ATOMS = (16, 32, 64, 128, 256)
_SEED = 7
_CHANCE = np.random.default_rng(_SEED)
Pictures = NDArray[np.uint8]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(prog="benchmarks.steering", description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int, default=17, help="of each clip, one group")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--x0-cache", action="store_true")
    parser.add_argument("--pack", default="mini", help="model pack: name or folder")
    given = parser.parse_args(arguments)
    for clip in given.clips:
        show(_measured(clip, given))
    return 0


def _measured(clip: Path, given: argparse.Namespace) -> Section:
    execution = Execution.choose("auto")
    models = load_generator(find_pack(given.pack), execution)
    coder = GvcCoder(
        models,
        None,
        execution,
        plan=models.defaults.tiles,
        tiles=models.defaults.vae_tiles,
        seed=_SEED,
    )
    with open_source(clip) as source:
        pictures = np.stack([frame.rgb for frame in islice(source.frames(), given.frames)])
    wanted = coder.analyse(pictures)

    def errors(coded: CodedGvc) -> tuple[float, float]:
        shown = np.stack(coder.frames(coded.latents, pictures.shape[:3], skip=0))
        return float(np.mean((coded.latents - wanted) ** 2)), _psnr(shown, pictures)

    rows: list[tuple[object, ...]] = []
    for atoms in _ATOMS:
        settings = gencodec.GvcSettings(steps=given.steps, atoms=atoms, cache=given.x0_cache)
        block = settings.block(pictures.shape[1])
        found: list[float] = []
        for choose in (Codebook.choose, _by_chance):
            with mock.patch.object(Codebook, "choose", choose):
                coded = coder.encode(0, pictures, None, block, lambda fixed, _l, _p: fixed)
            found += errors(coded)
        bpp = 8 * 3 * len(coded.payload) / pictures.size
        rows.append((atoms, len(coded.payload), f"{bpp:.4f}", *(f"{value:.4f}" for value in found)))
        sys.stderr.write(f"{clip.name} {rows[-1]}\n")
    return Section(
        title=f"{clip.name}, {given.frames} frames, gvc-t2v, pack {given.pack}",
        columns=("atoms", "bytes", "bpp", "latent error", "PSNR", "by chance", "PSNR"),
        rows=rows,
        data={},
        notes=[f"{given.steps} steps{', x0 cache' * given.x0_cache}; {execution.reason}"],
    )


def _by_chance(book: Codebook, _residual: Values, atoms: int, _device: object) -> Choice:
    """Let chance choose the atoms and their signs."""
    chosen = np.sort(_CHANCE.choice(book.count, atoms, replace=False)).astype(np.int32) + 1
    return chosen * _CHANCE.choice(np.array([-1, 1], np.int32), atoms)


def _psnr(shown: Pictures, true: Pictures) -> float:
    error = float(np.mean((shown.astype(np.float64) - true) ** 2))
    return float(10 * np.log10(255**2 / error))


if __name__ == "__main__":
    sys.exit(main())
