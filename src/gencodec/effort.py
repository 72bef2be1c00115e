"""How much time an encoder takes, in levels. Pure.

    0   chooses the size of pictures by the rate alone
    1   tries both sizes where either may show more
    2   descends on anchors that are not refined, where the pack has a judge
    3   descends further, and tries how groups are refined

No level changes what a decoder has to do, but for the steps of refinement it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gencodec.errors import UsageError

if TYPE_CHECKING:
    from gencodec.packs.defaults import Defaults

EFFORTS = range(4)
USUAL_EFFORT = 2

_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"picture_steps": 0, "search_refinement": False, "half_tried_below": 0},
    {"picture_steps": 0},
    {"picture_steps": 12},
    {"picture_steps": 40, "search_refinement": True},
)


def with_effort(defaults: Defaults, effort: int) -> Defaults:
    """Return what an encoder does with a pack at a level of effort.

    Raises:
        UsageError: there is no such level.
    """
    if effort not in EFFORTS:
        raise UsageError(f"effort is {effort}, must be {EFFORTS[0]} .. {EFFORTS[-1]}")
    return replace(defaults, **_CHANGES[effort])
