"""How torch's threads wait for one another; it counts if it is said before torch is loaded.

Threads that spin while they wait made two threads on a busy machine 20 times slower than one; those
that sleep at once (OMP_WAIT_POLICY=PASSIVE) make two slower than one on an idle machine, since
small networks make them wait thousands of times a second. Some 30 microseconds of spinning are as
fast as any on both: an encode of 640x360 takes 9.5 s, 14.5 s asleep and 10.5 s without limit; on a
busy machine 29, 32 and more.
"""

from __future__ import annotations

import os

BRIEFLY = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}  # of GNU and of LLVM, in turns and ms


def wait_briefly() -> None:
    """Let threads of this process wait so, unless its user chose otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in BRIEFLY.items():
            os.environ.setdefault(name, value)
