"""What a command needs on top of what everybody installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gencodec.errors import GencodecError


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Say what to install if something is missing; `what` is the subject of the sentence.

    Raises:
        GencodecError: a package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gencodec"):
            raise
        raise GencodecError(
            f"{what} needs {error.name}; run: pip install 'gencodec[{extra}]'"
        ) from error
