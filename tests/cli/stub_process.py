"""The real command in a real process, on a library that misbehaves as $STUB says.

flood     writes to stdout without end
work      holds a temporary file and works without end
stubborn  the same, and its clean-up never ends
swallow   the same as work, but a foreign callback swallows the first interrupt
quick     returns at once
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

from gencodec.cli import main
from gencodec.progress import Progress

MODE = os.environ["STUB"]


@contextmanager
def temporary(output: str) -> Iterator[None]:
    path = Path(output + ".part")
    try:
        path.touch()
        yield
    finally:
        if MODE == "stubborn":
            Path(output + ".cleaning").touch()
            time.sleep(60)
        path.unlink()


def work(
    source: str, output: str, *, on_progress: Callable[[Progress], None], **_: object
) -> object:
    if MODE == "quick":
        on_progress(Progress(stage="code", frames=1, total=1))
        return SimpleNamespace(bytes=1)
    while MODE == "flood":
        sys.stdout.buffer.write(bytes(65_536))
    with temporary(output):
        for frames in range(10_000):
            try:
                time.sleep(0.01)
            except KeyboardInterrupt:
                if MODE != "swallow":
                    raise
            on_progress(Progress(stage="code", frames=frames, total=None))
    raise AssertionError("nobody interrupted")


codec = ModuleType("gencodec.codec")
for name in ("encode", "decode", "verify"):
    setattr(codec, name, work)
sys.modules["gencodec.codec"] = codec
main()
