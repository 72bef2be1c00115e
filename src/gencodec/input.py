"""Input files: opened, looked at before anything slow begins, and named in what is said of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gencodec.container import PROBE_BYTES, SIGNATURE, SignatureError
from gencodec.errors import FormatError, SourceError, UnsupportedError
from gencodec.output import is_stream

_AGAIN = "copy it again from where it came"


def check_input(source: str | Path) -> bytes | None:
    """Return the first bytes of a file; None of a pipe or device, which would lose them.

    Raises:
        SourceError: the file cannot be opened.
    """
    path = Path(source)
    if is_stream(path):
        return None
    with _opened(path) as stream:
        return stream.read(PROBE_BYTES)


def check_video(source: str | Path) -> None:
    """Refuse a .gnv file as a video, of which FFmpeg could only say that it is none.

    Raises:
        SourceError: the file cannot be opened, or is a .gnv file.
    """
    if source != "-" and (check_input(source) or b"").startswith(SIGNATURE):
        raise SourceError(f"{source} is already a .gnv; use `gencodec decode`")


def check_coded(source: str | Path, *, recover: bool = False) -> None:
    """Refuse what is no .gnv file.

    Args:
        source: the file, or "-", which is left alone.
        recover: take a damaged start, which cannot be told from no .gnv file here.

    Raises:
        SourceError: the file cannot be opened.
        FormatError: it does not start as a .gnv file does.
    """
    start = None if source == "-" else check_input(source)
    if not (start is None or recover or start.startswith(SIGNATURE)):
        with named(source):
            raise SignatureError(start, offset=0)


@contextmanager
def open_stream(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Lend a file, "-" (standard input) or an open stream for reading; name it in errors.

    Raises:
        SourceError: the file cannot be opened.
    """
    if source == "-":
        with named(source):
            yield sys.stdin.buffer
    elif isinstance(source, (str, Path)):
        with _opened(Path(source)) as stream, named(source):
            yield stream
    else:
        yield source


@contextmanager
def named(source: str | Path | BinaryIO) -> Iterator[None]:
    """Put a file's name before what is said of its bytes, and behind it what to do.

    Raises:
        FormatError, SourceError: those of the block, in other words.
    """
    try:
        yield
    except (FormatError, SourceError) as error:
        if isinstance(source, (str, Path)):
            damaged = not isinstance(error, (SourceError, SignatureError, UnsupportedError))
            name = "standard input" if source == "-" else source
            error.args = (f"{name}: {error}" + (f"; {_AGAIN}" if damaged else ""),)
        raise


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = error.strerror or error
        raise SourceError(f"cannot open {path}: {reason}; name a file that can be read") from error
