"""Runs one gencodec command and prints the most memory its process ever held, in bytes."""

from __future__ import annotations

import sys

from gencodec.cli.main import run
from gencodec.peers.memory import peak_bytes

if __name__ == "__main__":
    code = run(sys.argv[1:])
    print(peak_bytes())
    sys.exit(code)
