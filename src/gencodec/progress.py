"""What long work tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a stage of work is.

    Attributes:
        stage: "look" (first pass of an encode), "search" (of its quality: groups coded), "code",
            "decode", "verify", "train", "compare" or "download".
        frames: frames done in this stage.
        total: frames expected, None where nobody knows (pipes).
        group: groups done.
        bits_per_pixel: of the file so far, encode only.
        quality: quality index of the last group.
        detail: what is being worked on, for people.
    """

    stage: str
    frames: int
    total: int | None = None
    group: int = 0
    bits_per_pixel: float | None = None
    quality: int | None = None
    detail: str = ""


Report = Callable[[Progress], None]
