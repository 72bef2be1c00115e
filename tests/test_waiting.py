"""How threads wait is said before torch is loaded, and left to those who say it themselves."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_SHOW = """
import atexit, os, sys
from gencodec.cli import main
def show():
    print("torch" in sys.modules, *(os.environ.get(n) for n in {names!r}))
atexit.register(show)
sys.argv = ["gencodec", "--version"]
main()
"""
_NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, "False None 10000 1"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "False ACTIVE None None"),
        ({"GOMP_SPINCOUNT": "7"}, "False None 7 1"),
    ],
)
def test_the_command_lets_threads_wait_briefly(given: dict[str, str], seen: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in _NAMES} | given
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW.format(names=_NAMES)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines()[-1] == seen
