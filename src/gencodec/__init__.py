"""gencodec: a generative neural video codec.

    import gencodec

    gencodec.encode("in.mp4", "out.gnv", target=gencodec.Target(bpp=0.01))
    gencodec.decode("out.gnv", "out.mp4")
    with gencodec.open("out.gnv") as video:
        for rgb, seconds in video: ...

Importing this package is cheap; torch is imported when something is encoded or decoded.
"""

from typing import TYPE_CHECKING

from gencodec.errors import (
    ExecutionError,
    FormatError,
    GencodecError,
    IncompleteError,
    LimitError,
    OutputError,
    PackError,
    SourceError,
    TargetError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from gencodec.lazy import lazy

if TYPE_CHECKING:
    from gencodec.codec import Video, decode, encode
    from gencodec.codec import open_video as open  # noqa: A004
    from gencodec.gvc import GvcSettings
    from gencodec.inspection import Info, info
    from gencodec.progress import Progress
    from gencodec.rate import Target
    from gencodec.results import DecodeResult, EncodeResult
    from gencodec.verification import VerifyResult, verify

__version__ = "0.1.0"

__all__ = [
    "DecodeResult",
    "EncodeResult",
    "ExecutionError",
    "FormatError",
    "GencodecError",
    "GvcSettings",
    "IncompleteError",
    "Info",
    "LimitError",
    "OutputError",
    "PackError",
    "Progress",
    "SourceError",
    "Target",
    "TargetError",
    "TruncatedError",
    "UnsupportedError",
    "UsageError",
    "VerifyResult",
    "Video",
    "__version__",
    "decode",
    "encode",
    "info",
    "open",
    "verify",
]

__getattr__ = lazy(
    __name__,
    {
        "DecodeResult": "gencodec.results",
        "EncodeResult": "gencodec.results",
        "GvcSettings": "gencodec.gvc",
        "Info": "gencodec.inspection",
        "Progress": "gencodec.progress",
        "Target": "gencodec.rate",
        "VerifyResult": "gencodec.verification",
        "Video": "gencodec.codec",
        "decode": "gencodec.codec",
        "encode": "gencodec.codec",
        "info": "gencodec.inspection",
        "open": "gencodec.codec:open_video",
        "verify": "gencodec.verification",
    },
)
