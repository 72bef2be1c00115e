"""Output files and folders that appear whole or not at all and replace nothing unasked.

The work is done in a hidden folder beside the target, under the target's own name, so that a muxer
sees the right suffix and the last step is a rename within one file system.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from gencodec.errors import OutputError, UsageError

Kind = Literal["mp4", "mov", "mkv", "y4m", "png"]

VIDEO_SUFFIXES: dict[str, Kind] = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "mkv", ".y4m": "y4m",
}  # fmt: skip
"""Ends of the names of videos, and what is written there."""

_OWN_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_ADVICE = {
    errno.ENOSPC: "free space or choose another place",
    errno.EDQUOT: "free space or choose another place",
    errno.EFBIG: "choose another file system",
}
_PICTURE = ".png"  # what a folder may hold that an overwriting folder replaces


def sink_kind(path: str | Path) -> Kind:
    """Tell from a path what is written there.

    Returns:
        What the suffix says; without one "y4m" for "-", devices and named pipes, else "png" (a
        folder), as for a path that ends in "/" and one that is a folder.

    Raises:
        UsageError: no format has this suffix.
    """
    text, path = str(path), Path(path)
    if text == "-" or (not path.suffix and is_stream(path)):
        return "y4m"
    if text.endswith("/") or not path.suffix or path.is_dir():
        return "png"
    kind = VIDEO_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{text}: cannot write {path.suffix} files; use .mp4, .mov, .mkv, .y4m, a folder for "
            'PNG pictures, or "-" for y4m on standard output'
        )
    return kind


def check_target(path: str | Path, inputs: Iterable[Path] = ()) -> Path:
    """Return the file or folder that is meant, links followed, if it may be one.

    Args:
        path: the target.
        inputs: files that must not be the target, nor lie in it.

    Raises:
        OutputError: it is an input, or its folder does not exist.
    """
    target = Path(os.path.realpath(path))
    _refuse_inputs(target, inputs)
    if not is_stream(target):
        _refuse_parent(target)
    return target


@contextmanager
def atomic_output(
    path: str | Path,
    *,
    overwrite: bool,
    inputs: Iterable[Path] = (),
    within: Path | None = None,
) -> Iterator[Path]:
    """Lend a path to write a file or make a folder at; publish it when the block succeeds.

    On any exception, also an interrupt, what was written is removed and the target is untouched.
    Links are followed. A device or named pipe is lent itself: there is nothing to publish.

    Args:
        path: the target; a folder is meant if it has no suffix or ends in a slash.
        overwrite: replace an existing file, or a folder that holds nothing but PNG pictures.
        inputs: files that must not be the target.
        within: a folder beside the target to work in, made if need be; None: a new one.

    Yields:
        A path with the target's name, where nothing is yet.

    Raises:
        OutputError: the target may not or cannot be written; says what to do.
    """
    target = check_target(path, inputs)
    wants_folder = not target.suffix or str(path).endswith(("/", os.sep))
    if is_stream(target):
        yield target
        return
    _refuse_existing(target, overwrite=overwrite, wants_folder=wants_folder)
    with _scratch_folder(target, within) as scratch:
        work = scratch / target.name
        try:
            yield work
            _sync(work, target)
            _refuse_existing(target, overwrite=overwrite, wants_folder=work.is_dir())
            _publish(work, target, scratch)
        except OutputError as error:  # a writer knows only the path it was lent
            error.args = (str(error).replace(str(work), str(target)),)
            raise
        except OSError as error:
            if error.errno in _OWN_ERRORS or _concerns(error, scratch):
                raise _translated(error, target) from error
            raise


def _refuse_inputs(target: Path, inputs: Iterable[Path]) -> None:
    for source in inputs:
        if target.exists() and source.exists() and target.samefile(source):
            raise OutputError(f"{source} is both input and output; choose another output")
        if target.is_dir() and target in Path(os.path.realpath(source)).parents:
            raise OutputError(f"the input {source} lies in the output folder; choose another one")


def is_stream(path: Path) -> bool:
    """Whether there is a device, a named pipe or a socket at a path."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _refuse_parent(target: Path) -> None:
    if not target.parent.exists():
        raise OutputError(f"folder {target.parent} does not exist; create it first")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is not a folder; choose another output")


def _refuse_existing(target: Path, *, overwrite: bool, wants_folder: bool) -> None:
    if target.is_dir():
        _refuse_folder(target, overwrite=overwrite, wants_folder=wants_folder)
    elif target.exists() and not overwrite:
        raise OutputError(f"{target} exists; pass -y to replace it")


def _refuse_folder(target: Path, *, overwrite: bool, wants_folder: bool) -> None:
    if not wants_folder:
        raise OutputError(f"{target} is a folder; name a file")
    try:
        for entry in target.iterdir():
            if not overwrite:
                raise OutputError(f"folder {target} is not empty; pass -y to replace it")
            if entry.suffix.lower() != _PICTURE or not entry.is_file():
                raise OutputError(
                    f"folder {target} holds {entry.name}, which is not a PNG picture, and will "
                    "not be replaced; choose a new folder"
                )
    except OSError as error:
        raise _translated(error, target) from error


@contextmanager
def _scratch_folder(target: Path, within: Path | None) -> Iterator[Path]:
    """Lend a hidden folder beside the target; remove it with all that is left in it."""
    try:
        if within is not None:
            within.mkdir(exist_ok=True)
        place = within or target.parent
        scratch = Path(tempfile.mkdtemp(prefix=".gencodec-", suffix=".partial", dir=place))
    except OSError as error:
        raise _translated(error, target) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync(work: Path, target: Path) -> None:
    """Bring all bytes to the disk, so that a crash after the rename leaves no empty file."""
    if not work.exists():
        raise OutputError(f"nothing was written to {target}")
    members = [*work.rglob("*"), work] if work.is_dir() else [work]
    for member in members:
        _sync_one(member)


def _sync_one(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(work: Path, target: Path, scratch: Path) -> None:
    """Rename the work to the target; what was there goes to `scratch` or is replaced."""
    old = scratch / "replaced"
    if target.exists() and (target.is_dir() or work.is_dir()):
        target.rename(old)
    try:
        work.replace(target)
    finally:  # also on an interrupt between the two
        if old.exists() and not target.exists():
            old.rename(target)
    with suppress(OSError):  # the name is published; some file systems cannot sync a folder
        _sync_one(target.parent)


def _concerns(error: OSError, scratch: Path) -> bool:
    """Whether an error names a path below `scratch`."""
    return any(
        isinstance(name, str | os.PathLike) and scratch in (Path(name), *Path(name).parents)
        for name in (error.filename, error.filename2)
    )


def _translated(error: OSError, target: Path) -> OutputError:
    reason = error.strerror or str(error)
    number = error.errno or 0
    advice = _ADVICE.get(number, f"check the permissions of {target.parent} or choose another")
    return OutputError(f"cannot write {target}: {reason}; {advice}")
