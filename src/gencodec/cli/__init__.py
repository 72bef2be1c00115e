"""The command line: a thin layer of click and rich on the library."""

from gencodec.cli.main import main

__all__ = ["main"]
