"""The stochastic sampler of a flow, with its noise in somebody else's hands.

The deterministic flow dx = u dt has the same marginals as a stochastic one that adds noise and a
pull along the score; the score follows from the velocity. Where atoms replace that noise they steer
the sample.

    u = velocity,   estimate of the data = x - t u,   score = -((1 - t) u + x) / t
    x(t - d) = x - (u - g^2 / 2 score) d + g sqrt(d) z

Source: GVCC, arXiv 2603.26571, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gencodec.gvc.schedule import Place, Schedule

Latents = NDArray[np.float32]
Steer = Callable[[Place, Latents], Latents]
"""Place and the estimate [c, h, w] of its latent frame -> what replaces the noise [c, h, w]."""


class Flow(Protocol):
    """A flow model of video latents, all that GVC needs of a pack.

    Attributes:
        takes_clean: held latent frames are shown to it clean, as it learned them; otherwise at the
            noise level of the others.
    """

    takes_clean: bool

    def velocity(self, x: Latents, sigma: float) -> Latents:
        """Return the velocity, noise minus data, [c, t, h, w] of latents at a noise level."""


def sample(
    flow: Flow,
    schedule: Schedule,
    noise: Latents,
    held: Mapping[int, Latents],
    steer: Steer,
) -> Latents:
    """Follow the flow from noise to clean latents.

    Args:
        flow: the model.
        schedule: noise levels, and where atoms steer.
        noise: unit Gaussian [c, t, h, w].
        held: latent frame -> what a reference picture says it is, [c, h, w]; for each frame of
            `schedule.held`.
        steer: called once a place, in order.

    Returns:
        Latents [c, t, h, w]; not finite where the model was not.
    """
    x, estimate = noise.copy(), noise
    places = iter(schedule.places)
    place = next(places, None)
    for step, (t, following) in enumerate(pairwise(schedule.levels)):
        now = [frame for frame in held if schedule.is_held(step, frame)]
        if schedule.computed(step):
            seen = x.copy()
            for frame in now if flow.takes_clean else ():
                seen[:, frame] = held[frame]
            estimate = x - t * flow.velocity(seen, t)
        for frame in now:
            estimate[:, frame] = held[frame]
        u = (x - estimate) / t
        d, g = t - following, schedule.strength(step)
        moved = x - d * u
        while place is not None and place.step == step:
            f = place.frame
            pull = -((1 - t) * u[:, f] + x[:, f]) / t
            z = steer(place, estimate[:, f])
            moved[:, f] += d * g * g / 2 * pull + g * math.sqrt(d) * z
            place = next(places, None)
        x = moved
    return x
