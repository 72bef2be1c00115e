"""Runs the command in processes of its own that have the library loaded already.

They are forked by a server that imports and does nothing else; so each of hundreds of runs costs
what it does, and not the loading of torch.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import gencodec.decoding
import gencodec.encoding  # noqa: F401 - loaded for those that are forked
from gencodec.cli.main import run

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(arguments: Sequence[str], out: Path) -> BaseProcess:
    """Start a command; what it prints goes to `out` with the suffixes .out and .err."""
    process = _CONTEXT.Process(target=_run, args=(list(arguments), out))
    process.start()
    return process


def _run(arguments: list[str], out: Path) -> None:
    for number, suffix in ((1, ".out"), (2, ".err")):
        with out.with_suffix(suffix).open("wb") as stream:
            os.dup2(stream.fileno(), number)
    sys.exit(run(arguments))
