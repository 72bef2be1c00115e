"""Memory of the process."""

from __future__ import annotations

import ctypes
import sys

_KEEP = (  # mallopt: M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
    (-4, 0),
    (-1, (1 << 31) - 1),
    (-2, 1 << 28),
)


def keep_memory() -> None:
    """Let the process keep freed memory, where its C library is glibc.

    By default pages of every large tensor are given back and taken, zeroed, again: a fifth of the
    time of small networks on large pictures. The process then keeps what it has once needed.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _KEEP:
            mallopt(option, value)
