"""Packages that import a module when one of its names is first used, so that they cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    Args:
        package: its name.
        modules: name it offers -> module that defines it, or "module:name" if that differs there.
    """

    def load(name: str) -> Any:  # noqa: ANN401 - the protocol of modules
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, defined = modules[name].partition(":")
        return getattr(import_module(module), defined or name)

    return load
