"""The one door to FFmpeg: its errors stop here and become ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from av import FFmpegError

from gencodec.errors import OutputError, SourceError

# Beyond its own tree, PyAV raises plain Python errors for values FFmpeg's types cannot hold.
_FAILURES = (FFmpegError, OSError, ValueError, OverflowError, MemoryError, RuntimeError)


@contextmanager
def source_errors(where: Callable[[], str]) -> Iterator[None]:
    """Turn whatever reading raises into a `SourceError`.

    Args:
        where: called when something failed; says what could not be done.
    """
    try:
        yield
    except _FAILURES as error:
        raise SourceError(f"{where()}: {reason(error)}") from error


@contextmanager
def output_errors(where: Callable[[], str]) -> Iterator[None]:
    """Turn whatever writing raises into an `OutputError`.

    Raises:
        BrokenPipeError: the reader closed the pipe; the command ends quietly.
        OutputError: anything else, a full disk among it.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except _FAILURES as error:
        raise OutputError(f"{where()}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Say in one lower-case line why a call failed."""
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
    return text[:1].lower() + text[1:]


class PipeReader:
    """A byte stream without seeking, as FFmpeg reads it.

    FFmpeg calls `read` from C, where an exception cannot travel: an interrupt would be lost and
    the call repeated for ever. So a failure ends the stream, and `check` raises it in Python.
    """

    name = "standard input"

    def __init__(self, stream: BinaryIO) -> None:
        self._read = getattr(stream, "read1", stream.read)  # what is there, not a full buffer
        self._failure: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return 1 to `size` bytes; none at the end or after a failure."""
        if self._failure is not None:
            return b""
        try:
            return bytes(self._read(size))
        except BaseException as error:  # noqa: BLE001 - kept for `check`, see the class
            self._failure = error
            return b""

    def check(self) -> None:
        """Raise what the last `read` met, if anything.

        Raises:
            SourceError: the stream could not be read.
            KeyboardInterrupt: as it arrived.
        """
        failure, self._failure = self._failure, None
        if isinstance(failure, OSError):
            raise SourceError(f"{self.name} cannot be read: {reason(failure)}") from failure
        if failure is not None:
            raise failure


class SeekableReader(PipeReader):
    """Standard input that is a redirected file: FFmpeg may look for an index at its end."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.seek = stream.seek
        self.tell = stream.tell
