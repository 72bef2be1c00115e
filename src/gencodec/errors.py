"""Errors, typed by who can act on them, with the exit code each one means.

    GencodecError            1
    ├── UsageError           2   an argument is impossible                   → the caller
    ├── SourceError          3   the input video cannot be read              → the video
    │   └── LimitError       3   a size exceeds a configured limit           → raise the limit
    ├── OutputError          4   the output cannot be written                → the output path
    ├── PackError            5   a model pack is missing, wrong or damaged   → gencodec models
    ├── FormatError          6   these bytes are not a valid .gnv            → the file
    │   ├── UnsupportedError 6   valid, but needs a newer gencodec           → upgrade
    │   └── TruncatedError   7   it ends before there is anything to show    → the file's origin
    ├── IncompleteError      7   recovered, but parts are missing            → the file's origin
    ├── TargetError          8   written, but the asked rate was not reached → another target
    └── ExecutionError       9   no such device, or out of memory            → another device

Most usage errors are click's (also 2); an interrupt exits with 130, a termination with 143.
"""

from __future__ import annotations


class GencodecError(Exception):
    """Root of every error this package raises on purpose."""

    exit_code = 1


class UsageError(GencodecError):
    """An argument is impossible, alone or with this input."""

    exit_code = 2


class SourceError(GencodecError):
    """The input video is missing, unreadable or has no picture in it."""

    exit_code = 3


class LimitError(SourceError):
    """A declared size exceeds a limit; nothing of that size was allocated."""


class OutputError(GencodecError):
    """The output cannot be created, written or replaced."""

    exit_code = 4


class PackError(GencodecError):
    """A model pack is not installed, damaged, or not the one the file was made with."""

    exit_code = 5


class FormatError(GencodecError):
    """The bytes break a rule of the .gnv format.

    Attributes:
        offset: byte position in the stream where the rule is broken, if known.
    """

    exit_code = 6

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (at byte {offset})")
        self.offset = offset


class UnsupportedError(FormatError):
    """The file is well formed but uses a feature this version does not know."""


class TruncatedError(FormatError):
    """The bytes end inside a unit; what comes before is good."""

    exit_code = 7


class IncompleteError(GencodecError):
    """The output is whole and playable, but parts of the file could not be recovered."""

    exit_code = 7


class TargetError(GencodecError):
    """The file is written, but it is larger than the size the user named."""

    exit_code = 8


class ExecutionError(GencodecError):
    """The chosen device does not exist or ran out of memory."""

    exit_code = 9
