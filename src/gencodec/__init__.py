"""gencodec: a generative neural video codec.

    import gencodec

    gencodec.encode("in.mp4", "out.gnv", target=gencodec.Target(bpp=0.01))
    gencodec.decode("out.gnv", "out.mp4")
    with gencodec.open("out.gnv") as video:
        for rgb, seconds in video: ...

Importing this package is cheap; torch is imported when something is encoded or decoded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from gencodec.codec import Video, decode, encode
    from gencodec.codec import open_video as open  # noqa: A004
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

_LAZY = {
    "DecodeResult": ("gencodec.results", "DecodeResult"),
    "EncodeResult": ("gencodec.results", "EncodeResult"),
    "Info": ("gencodec.inspection", "Info"),
    "Progress": ("gencodec.progress", "Progress"),
    "Target": ("gencodec.rate", "Target"),
    "VerifyResult": ("gencodec.verification", "VerifyResult"),
    "Video": ("gencodec.codec", "Video"),
    "decode": ("gencodec.codec", "decode"),
    "encode": ("gencodec.codec", "encode"),
    "info": ("gencodec.inspection", "info"),
    "open": ("gencodec.codec", "open_video"),
    "verify": ("gencodec.verification", "verify"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the module's own attribute protocol
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(module), attribute)
