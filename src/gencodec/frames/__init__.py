"""Video <-> frames: PyAV, pixels, exact times, colour, rotation, groups. PyAV stays in here."""

from gencodec.frames.colour import yuv_matrix
from gencodec.frames.cuts import CutDetector
from gencodec.frames.film import write_film
from gencodec.frames.groups import IsCut, groups, never
from gencodec.frames.sink import FrameSink, open_sink
from gencodec.frames.source import FrameSource, Limits, open_source
from gencodec.frames.video import Colour, Frame, FrameGroup, Pixels, VideoInfo

__all__ = [
    "Colour",
    "CutDetector",
    "Frame",
    "FrameGroup",
    "FrameSink",
    "FrameSource",
    "IsCut",
    "Limits",
    "Pixels",
    "VideoInfo",
    "groups",
    "never",
    "open_sink",
    "open_source",
    "write_film",
    "yuv_matrix",
]
