"""Video <-> frames: PyAV, pixels, exact times, colour, rotation, groups. PyAV stays in here."""

from gencodec.frames.colour import yuv_matrix
from gencodec.frames.cuts import CutDetector
from gencodec.frames.film import write_film
from gencodec.frames.frame_sink import FrameSink
from gencodec.frames.groups import Change, GroupLength, Watch, groups, unchanged
from gencodec.frames.sink import open_sink
from gencodec.frames.source import FrameSource, Limits, open_source
from gencodec.frames.track_coder import TrackCoder
from gencodec.frames.tracks import Plan, Sound, carriable, make_plan, settle
from gencodec.frames.video import Colour, Frame, FrameGroup, Pixels, VideoInfo

__all__ = [
    "Change",
    "Colour",
    "CutDetector",
    "Frame",
    "FrameGroup",
    "FrameSink",
    "FrameSource",
    "GroupLength",
    "Limits",
    "Pixels",
    "Plan",
    "Sound",
    "TrackCoder",
    "VideoInfo",
    "Watch",
    "carriable",
    "groups",
    "make_plan",
    "open_sink",
    "open_source",
    "settle",
    "unchanged",
    "write_film",
    "yuv_matrix",
]
