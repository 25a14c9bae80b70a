"""The hub: the one place that downloads repositories, and turns the released model's into ours.

A model to be run is fetched as data only: no code, no pickles. Pickles are fetched only of a source
that its user named for conversion, and are then read without running anything (pickles.py). The
release's repository is such a source: it is converted into the cache once, after asking.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from openmova.errors import UserError
from openmova.runtime.cache import build_in_place, cache_dir, size_text

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
DATA_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.onnx")
"""All that is fetched of a model that is run: data, no code and no pickles."""
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = ("model*.safetensors", "*.safetensors", "pytorch_model*.bin", "*.bin", "*.pth", "*.pt")
"""Sets of weights that a repository may hold, the preferred first; only one set is fetched."""
RELEASE_VERSION = 1
"""Of the conversion: a cached folder of another version is not used."""


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
        raise _unreachable(repository) from error


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
    wanted = [name for name in names if any(fnmatch.fnmatch(name, p) for p in SMALL_FILES)]
    top = [name for name in names if "/" not in name]
    sets = [found for pattern in WEIGHTS if (found := fnmatch.filter(top, pattern))]
    return wanted + (sets[0] if sets else [])


def is_release(config: dict[str, Any]) -> bool:
    """Whether a config.json is that of the released MoVA's layout."""
    return config.get("mm_projector_type") == "mov_adapter"


def converted_release(repository: str) -> Path:
    """Where the conversion of a repository lies in the cache, or will lie."""
    return cache_dir() / f"{repository.replace('/', '--')}-{RELEASE_VERSION}"


def convert_release(
    repository: str, convert: Callable[[Path, Path], object], *, yes: bool = False
) -> Path:
    """Download a repository of the released layout and convert it into the cache, once.

    convert(source, target): writes the folder `target` whole or, if it is killed, in a way that it
    can go on. yes: don't ask. Raises UserError without a yes.
    """
    target = converted_release(repository)
    if target.is_dir():
        return target
    files = repository_files(repository)
    if files is None:
        raise _unreachable(repository)
    count = sum(files[name] for name in wanted_files(files))
    if not yes:
        _ask(repository, count, target)
    build_in_place(target.name, lambda entry: convert(source_path(repository), entry), count)
    return target


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint's folder. Raises UserError if there is none to be read."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(
            f"{str(folder)!r} is no checkpoint, it has no config.json: give a folder that "
            "save_pretrained wrote"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} is not readable as JSON: download it again") from error
    if not isinstance(config, dict):
        raise UserError(f"{str(path)!r} is not readable as JSON: download it again")
    return config


def _ask(repository: str, count: int, target: Path) -> None:
    what = (
        f"{repository!r} has to be downloaded ({size_text(count)}) and converted once (another "
        f"{size_text(count)} in {str(target.parent)!r})"
    )
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise UserError(f"{repository!r} was not downloaded")
    raise UserError(f"{what}: add --yes (yes=True in Python) if that is wanted")


def _unreachable(repository: str) -> UserError:
    return UserError(
        f"{repository!r} is no folder here and could not be had from the hub: check the name, "
        "the network and HF_TOKEN, or give the folder of a checkpoint"
    )
