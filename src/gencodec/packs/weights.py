"""Networks as diffusers and transformers save them: config.json, safetensors, maybe in pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gencodec.errors import PackError


def read_config(folder: Path, key: str, classes: Sequence[str]) -> dict[str, Any]:
    """Return config.json of a network.

    Args:
        folder: of the network.
        key: entry that names the network's class.
        classes: names it may have.

    Raises:
        PackError: the file is missing, no JSON, or of another class.
    """
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        kind = config[key]
    except OSError as error:
        raise PackError(
            f"{folder.parent} holds no {folder.name} in the Hugging Face layout: {path}: "
            f"{error.strerror or error}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise PackError(f"{path} is not the configuration of a network: {error!r}") from error
    found = [kind] if isinstance(kind, str) else kind
    if not set(found) & set(classes):
        raise PackError(f"{path} is of {kind}; a pack needs {' or '.join(classes)}")
    return config


def weight_files(folder: Path, name: str) -> list[Path]:
    """Return the weight files of a network: `name`, or the pieces that its index names.

    Raises:
        PackError: there are none in safetensors.
    """
    index = folder / f"{name}.index.json"
    names = {name}
    try:
        if index.is_file():
            names = {str(piece) for piece in json.loads(index.read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, AttributeError) as error:
        raise PackError(f"{index} is no index of weights: {error!r}") from error
    files = [folder / Path(name).name for name in sorted(names)]
    if missing := [file for file in files if not file.is_file()]:
        raise PackError(f"{missing[0]} is missing; only weights in safetensors are read")
    return files
