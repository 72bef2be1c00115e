"""Signals: the first one lets the library end cleanly, a second Ctrl-C ends at once.

The handlers raise KeyboardInterrupt in the main thread, so that every `with` and `finally` on the
way out removes its temporary files. The exit code is 128 plus the number of the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Self

_SAME_SECONDS = 0.3  # `timeout` and some shells deliver one signal twice, this close together
_SHOW_CURSOR = b"\x1b[?25h"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is missing on Windows


class Signals:
    """Handles interrupts while it is entered.

    Attributes:
        received: the first signal, None while there was none.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Install the handlers, except for signals the parent chose to ignore (nohup, `&`)."""
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal() returned
        self._previous.clear()

    @property
    def exit_code(self) -> int | None:
        """128 plus the number of the first signal, None while there was none."""
        return None if self.received is None else 128 + self.received

    def raise_if_received(self) -> None:
        """Raise KeyboardInterrupt again, in case a foreign callback swallowed the first one.

        Raises:
            KeyboardInterrupt: a signal has been received.
        """
        if self.received is not None:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), now
            raise KeyboardInterrupt
        if number == signal.SIGINT and now - self._received_at > _SAME_SECONDS:
            _end_now()


def _end_now() -> None:
    """End without any clean-up but that of the terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(OSError):
            os.write(sys.stderr.fileno(), _SHOW_CURSOR + b"\n")
    os._exit(128 + signal.SIGINT)
