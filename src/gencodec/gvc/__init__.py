"""Steering a pretrained flow model through its own noise (GVC). Needs no training.

Here is what takes no torch; `gencodec.gvc.atoms` and `gencodec.gvc.sampler` do.
"""

from gencodec.gvc.budget import Ahead, checked, fitted
from gencodec.gvc.payload import (
    CodedPicture,
    Steering,
    latent_frames,
    own_pictures,
    pack_payload,
    parse_payload,
    parse_pictures,
    read_gvc_block,
)
from gencodec.gvc.schedule import Place, Schedule
from gencodec.gvc.settings import BEST_REFERENCE, GvcSettings

__all__ = [
    "BEST_REFERENCE",
    "Ahead",
    "CodedPicture",
    "GvcSettings",
    "Place",
    "Schedule",
    "Steering",
    "checked",
    "fitted",
    "latent_frames",
    "own_pictures",
    "pack_payload",
    "parse_payload",
    "parse_pictures",
    "read_gvc_block",
]
