"""Finished groups, kept on disk while a file is written: what was interrupted goes on.

A group is kept under its content: its pixels, the quality, the pack, the code and the device. So
nothing has to be compared when an encode starts again: what is the same is found, all else coded.
An entry that a power cut left half written is dropped with all behind it.

    file     magic, entry ...
    entry    key(16)   size(4)   block size(1), block, digest(4), payload   crc(4)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from gencodec.container import GnvcVdBlock
from gencodec.errors import ExecutionError, FormatError, OutputError
from gencodec.frames import Pixels
from gencodec.group_coder import CodedGroup

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where nobody is kept from writing one output twice at a time
    fcntl = None

_MAGIC = b"gencodec journal 1\n"
_KEY_BYTES, _SIZE_BYTES, _CRC_BYTES = 16, 4, 4
_ENTRY_BYTES = 1 << 28  # of one entry at most


class Journal:
    """The groups of one output that are finished.

    Attributes:
        folder: where the journal is; the output is made in it, too.
        found: groups that did not have to be coded again.
    """

    def __init__(self, folder: Path, context: bytes) -> None:
        """Read what an interrupted run left, if anything.

        Args:
            folder: beside the output; made by whoever writes there first.
            context: everything but pixels and quality that decides what a group becomes.

        Raises:
            OutputError: somebody else is writing this output, or the journal cannot be read.
        """
        self.folder = folder
        self.found = 0
        self._path = folder / "groups"
        self._context = context
        self._places: dict[bytes, tuple[int, int]] = {}
        self._stream: BinaryIO | None = None
        if self._path.exists():
            self._open()

    def group(self, rgb: Pixels) -> GroupJournal:
        """Return what is kept of frames [T, H, W, 3]."""
        return GroupJournal(self, self._key(rgb))

    def _key(self, rgb: Pixels) -> bytes:
        content = hashlib.blake2b(self._context, digest_size=_KEY_BYTES)
        content.update(repr(rgb.shape).encode())
        content.update(np.ascontiguousarray(rgb).data)
        return content.digest()

    def find(self, key: bytes) -> CodedGroup | None:
        """Return a finished group; None if it is not there, or not as it was written."""
        place = self._places.get(key)
        if place is None or self._stream is None:
            return None
        self._stream.seek(place[0])
        body = self._stream.read(place[1])
        stored = int.from_bytes(self._stream.read(_CRC_BYTES), "little")
        if _crc(key, body) != stored:
            return None
        with suppress(FormatError):
            coded = _unpacked(body)
            self.found += 1
            return coded
        return None

    def add(self, key: bytes, coded: CodedGroup) -> None:
        """Keep a finished group; it is on the disk when this returns.

        Raises:
            OutputError: it cannot be written.
        """
        stream = self._stream or self._open()
        body = _packed(coded)
        head = key + len(body).to_bytes(_SIZE_BYTES, "little")
        try:
            start = stream.seek(0, os.SEEK_END)
            stream.write(head + body + _crc(key, body).to_bytes(_CRC_BYTES, "little"))
            stream.flush()
            os.fsync(stream.fileno())
        except OSError as error:
            raise OutputError(
                f"cannot write {self._path}: {error.strerror}; free space or pass --no-resume"
            ) from error
        self._places[key] = start + len(head), len(body)

    def close(self) -> None:
        """Let go of the journal; one without groups is removed."""
        owned, self._stream = self._stream, None
        if owned is not None:
            owned.close()
        if self._places:
            return
        if owned is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:  # what lies in it may be another run's
            with suppress(OSError):
                self.folder.rmdir()

    def remove(self) -> None:
        """Remove the journal and what killed runs left beside it."""
        self._places.clear()
        self.close()

    def _open(self) -> BinaryIO:
        try:
            self.folder.mkdir(exist_ok=True)
            stream = self._path.open("r+b" if self._path.exists() else "w+b")
            try:
                if fcntl is not None:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._read(stream)
            except BaseException:
                stream.close()
                raise
        except BlockingIOError as error:
            raise OutputError(f"another gencodec writes this output; see {self.folder}") from error
        except OSError as error:
            raise OutputError(
                f"cannot use {self._path}: {error.strerror}; remove it or pass --no-resume"
            ) from error
        self._stream = stream
        return stream

    def _read(self, stream: BinaryIO) -> None:
        """Find the entries that are whole, and cut off what is not."""
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if stream.read(len(_MAGIC)) != _MAGIC:
            stream.seek(0)
            stream.truncate()
            stream.write(_MAGIC)
            stream.flush()
            return
        end = len(_MAGIC)
        while (entry := _next_entry(stream, size)) is not None:
            key, start, length = entry
            self._places[key] = start, length
            end = start + length + _CRC_BYTES
        stream.seek(end)
        stream.truncate()


class GroupJournal:
    """What is kept of one group."""

    def __init__(self, journal: Journal, key: bytes) -> None:
        self._journal, self._key = journal, key

    def find(self, quality: int, *, half_size: bool, plain: bool = False) -> CodedGroup | None:
        """Return the group as it was coded at a quality index, a size and plainly, if it was."""
        return self._journal.find(self._entry(quality, half_size=half_size, plain=plain))

    def add(self, coded: CodedGroup, *, plain: bool = False) -> None:
        """Keep the group as it was coded; raise as `Journal.add`."""
        place = {"half_size": coded.block.half_size, "plain": plain}
        self._journal.add(self._entry(coded.block.quality, **place), coded)

    def _entry(self, quality: int, *, half_size: bool, plain: bool) -> bytes:
        way = bytes([quality, half_size, plain])
        return hashlib.blake2b(self._key + way, digest_size=_KEY_BYTES).digest()


def _next_entry(stream: BinaryIO, size: int) -> tuple[bytes, int, int] | None:
    """Return key, start and size of the body of the next entry; None if it is not whole."""
    head = stream.read(_KEY_BYTES + _SIZE_BYTES)
    length = int.from_bytes(head[_KEY_BYTES:], "little")
    start = stream.tell()
    if len(head) < _KEY_BYTES + _SIZE_BYTES or start + length + _CRC_BYTES > size:
        return None
    if length > _ENTRY_BYTES:
        return None
    body = stream.read(length)
    stored = int.from_bytes(stream.read(_CRC_BYTES), "little")
    return (head[:_KEY_BYTES], start, length) if _crc(head[:_KEY_BYTES], body) == stored else None


def _crc(key: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(key))


def _packed(coded: CodedGroup) -> bytes:
    block = coded.block.to_bytes()
    return bytes([len(block)]) + block + coded.digest.to_bytes(4, "little") + coded.payload


def _unpacked(body: bytes) -> CodedGroup:
    at = 1 + body[0] if body else 0
    return CodedGroup(
        block=GnvcVdBlock.from_bytes(body[1:at]),
        digest=int.from_bytes(body[at : at + 4], "little"),
        payload=body[at + 4 :],
    )


@contextmanager
def kept(output: Path, context: bytes) -> Iterator[Journal]:
    """Lend the journal of an output: removed when the block succeeds, kept where going on helps.

    It helps after an interrupt, a full disk, a device out of memory, and of course after a kill;
    not when the source cannot be read.
    """
    target = Path(os.path.realpath(output))
    journal = Journal(target.parent / f".{target.name}.gencodec", context)
    try:
        yield journal
    except (KeyboardInterrupt, OutputError, ExecutionError, MemoryError):
        journal.close()
        raise
    except BaseException:
        journal.remove()
        raise
    journal.remove()


def code_revision() -> bytes:
    """Return a digest of this package's code: other code may make other bytes of a group."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.digest()
