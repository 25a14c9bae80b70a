"""The hub: the one place that downloads repositories.

A model to be run is fetched as data only: no code, no pickles. Pickles are fetched only of a source
that its user named for conversion, and are then read without running anything (tensors.py).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openmova.errors import UserError

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
DATA_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.onnx")
"""All that is fetched of a model that is run: data, no code and no pickles."""
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = ("model*.safetensors", "*.safetensors", "pytorch_model*.bin", "*.bin", "*.pth", "*.pt")
"""Sets of weights that a repository may hold, the preferred first; only one set is fetched."""


def download(
    repository: str, patterns: Iterable[str] = DATA_FILES, *, folder: str = "", **options: Any
) -> Path:
    """A repository's files of these patterns, as a folder of the hub's cache.

    folder: only this folder of the repository. options: of huggingface_hub's snapshot_download.
    Raises UserError if it can't be had.
    """
    from huggingface_hub import snapshot_download

    wanted = [f"{folder}/{pattern}" if folder else pattern for pattern in patterns]
    try:
        return Path(snapshot_download(repository, allow_patterns=wanted, **options)) / folder
    except Exception as error:  # the HTTP client, and so its errors, differ with the hub's version
        raise unreachable(repository) from error


def source_path(source: str) -> Path:
    """What is to be converted: a file or folder here, or a repository, then with its pickles.

    Raises UserError if there is neither.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    if not HUB_ID.fullmatch(source):
        raise UserError(
            f"there is no file or folder {source!r}: correct the path, or give a repository of the "
            "hub such as owner/name"
        )
    files = repository_files(source)
    if files is None:  # offline: as much as was fetched before
        return download(source, (*DATA_FILES, *WEIGHTS), local_files_only=True)
    return download(source, wanted_files(files))


def repository_files(repository: str) -> dict[str, int] | None:
    """Names and bytes of a repository's files; None if the hub does not answer."""
    from huggingface_hub import model_info

    try:
        siblings = model_info(repository, files_metadata=True).siblings or []
    except Exception:  # noqa: BLE001 - see download
        return None
    return {file.rfilename: file.size or 0 for file in siblings}


def wanted_files(files: Iterable[str]) -> list[str]:
    """What a checkpoint is read from: the small data files, and one set of weights."""
    names = sorted(files)
    small = [name for pattern in SMALL_FILES for name in fnmatch.filter(names, pattern)]
    top = [name for name in names if "/" not in name]
    sets = (found for pattern in WEIGHTS if (found := fnmatch.filter(top, pattern)))
    return small + next(sets, [])


def unreachable(repository: str) -> UserError:
    """What to tell of a repository that the hub did not give."""
    return UserError(
        f"{repository!r} is no folder here and could not be had from the hub: check the name, "
        "the network and HF_TOKEN, or give the folder of a checkpoint"
    )
