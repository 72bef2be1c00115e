"""Where the weights of metrics are: a folder of one's own, torch's hub folder, or a download."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from gencodec.evaluation.metrics.meter import MetricError, Setting
from gencodec.progress import Progress

FOLDER_VARIABLE = "GENCODEC_METRICS_DIR"

_URL = "https://download.pytorch.org/models/"
_HASH_DIGITS = 8  # of a file's SHA-256, at the end of its name


def own_file(name: str) -> Path:
    """Return a file of the folder that GENCODEC_METRICS_DIR names.

    Raises:
        MetricError: it is not there.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise MetricError(f"{FOLDER_VARIABLE} names no folder with {name}")
    path = Path(folder) / name
    if not path.is_file():
        raise MetricError(f"{folder}, which {FOLDER_VARIABLE} names, has no {name}")
    return path


@contextmanager
def hub_folder(name: str, megabytes: int, setting: Setting) -> Iterator[None]:
    """Let torch's hub find a file of weights while the context lasts.

    Looked for in `checkpoints` of GENCODEC_METRICS_DIR and of torch's hub folder, then downloaded
    there if the setting allows it.

    Args:
        name: of the file, with eight digits of its hash as torch's hub names them.
        megabytes: its size, for people.
        setting: whether to download, and who is told.

    Raises:
        MetricError: it is nowhere, cannot be downloaded, or cannot be read inside the context.
    """
    usual = Path(torch.hub.get_dir())
    folders = [Path(own)] if (own := os.environ.get(FOLDER_VARIABLE)) else []
    found = [each for each in (*folders, usual) if (each / "checkpoints" / name).is_file()]
    if not found and not setting.download:
        raise MetricError(
            f"its weights {name} ({megabytes} MB) are not in {usual / 'checkpoints'}; "
            "add --download to fetch them"
        )
    if not found:
        _download(name, usual / "checkpoints", setting)
    torch.hub.set_dir(found[0] if found else usual)
    try:
        yield
    except MetricError:
        raise
    except Exception as error:  # damaged weights raise anything when they are unpickled
        raise MetricError(f"its weights {name} cannot be used: {_line(error)}") from error
    finally:
        torch.hub.set_dir(usual)


def _download(name: str, folder: Path, setting: Setting) -> None:
    def tell(done: int) -> None:
        if setting.on_progress is not None:
            setting.on_progress(Progress(stage="download", frames=done, total=1, detail=name))

    tell(0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digits = Path(name).stem[-_HASH_DIGITS:]
        torch.hub.download_url_to_file(_URL + name, str(folder / name), digits, progress=False)
    except (OSError, RuntimeError) as error:  # no network; another hash than the name's
        raise MetricError(f"its weights {name} cannot be downloaded: {_line(error)}") from error
    tell(1)


@contextmanager
def needs_eval_extra() -> Iterator[None]:
    """Turn a failed import into what to install.

    Raises:
        MetricError: a package is not installed.
    """
    try:
        yield
    except ImportError as error:
        package = error.name or str(error)
        raise MetricError(f"{package} is not installed: pip install 'gencodec[eval]'") from error


def _line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return (str(error) or type(error).__name__).splitlines()[0]
