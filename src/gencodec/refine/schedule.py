"""Noise levels of the sampler. Pure numbers.

sigma is the share of noise: 1 is noise, 0 is clean; velocity is noise minus data, as in Wan.
"""

from __future__ import annotations

LEVEL_UNIT = 1000  # a start level is stored in thousandths


def noise_levels(start_level: int, steps: int) -> tuple[float, ...]:
    """Return steps + 1 levels falling evenly from start_level / 1000 to 0.

    Raises:
        ValueError: the level is not in 0 .. 1000, or there are steps at level 0.
    """
    if not 0 <= start_level <= LEVEL_UNIT or steps < 0 or (steps and not start_level):
        raise ValueError(f"start level {start_level} with {steps} steps; need 1 .. {LEVEL_UNIT}")
    start = start_level / LEVEL_UNIT
    return tuple(start * (steps - k) / steps for k in range(steps + 1)) if steps else (0.0,)


def level_of_error(rms: float) -> int:
    """Return the start level whose noise is as strong as a codec error of `rms` deviations.

    Source: VoRTeC, arXiv 2609.02291: t = sigma / (1 + sigma).
    """
    return min(LEVEL_UNIT - 1, max(1, round(LEVEL_UNIT * rms / (1 + rms))))
