"""From what a user calls a model ("nano", a folder, a repository of the hub) to a local folder."""

import os
from pathlib import Path
from typing import Any

from openmova.checkpoints.source_files import is_release, optional_json, read_json
from openmova.errors import UserError
from openmova.runtime import hub
from openmova.runtime.cache import build_once, cache_dir
from openmova.runtime.files import size_text

EMBEDDED = "nano"
"""The model that comes with the package."""
MODEL_TYPE = "openmova"
CONVERSION_VERSION = 1
"""A cached folder of another version is not used."""


class DownloadNeedsYes(UserError):
    """A large download that nobody said yes to; `question` is what to ask."""

    def __init__(self, question: str) -> None:
        super().__init__(f"{question}: add --yes (yes=True in Python) if that is wanted")
        self.question = question


def checkpoint_folder(source: str | os.PathLike[str], *, yes: bool = False) -> Path:
    """The folder of the checkpoint that `source` names, with a config.json of our model type.

    A folder of that name comes first, then an embedded model (assembled on first use), then the
    hub's cache or the hub. A repository of the released MoVA is downloaded and converted into the
    cache on first use, if yes says so.

    Raises:
        UserError: unknown name, no checkpoint in the folder, or the hub cannot be reached.
        DownloadNeedsYes: the release was not converted yet, and yes is False.
    """
    name = os.fspath(source)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name == EMBEDDED:
            from openmova.checkpoints.nano import nano_folder

            return nano_folder()
        if folder.exists():
            raise UserError(f"{name!r} is a file: give the folder of a checkpoint")
        if not hub.HUB_ID.fullmatch(name):
            raise UserError(
                f"there is no model {name!r}: give {EMBEDDED}, the folder of a checkpoint, or a "
                "repository of the hub such as owner/name"
            )
        folder = _repository_folder(name, yes)
    _check(folder)
    return folder


def checkpoint_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint's folder. Raises UserError if there is none to be read."""
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{str(folder)!r} is no checkpoint, it has no config.json: give a folder that "
            "save_pretrained wrote"
        )
    return read_json(folder / "config.json")


def converted_release(repository: str) -> Path:
    """Where the conversion of a repository lies in the cache, or will lie."""
    return cache_dir() / f"{repository.replace('/', '--')}-{CONVERSION_VERSION}"


def is_release_on_hub(name: str) -> bool:
    """Whether it is a repository of the hub that holds the released MoVA."""
    if Path(name).expanduser().exists() or not hub.HUB_ID.fullmatch(name):
        return False
    return converted_release(name).is_dir() or is_release(
        optional_json(hub.download(name, ["config.json"]) / "config.json")
    )


def _repository_folder(name: str, yes: bool) -> Path:
    """Our own format is downloaded, the released one is downloaded and converted."""
    if not is_release_on_hub(name):
        return hub.download(name)
    if (converted := converted_release(name)).is_dir():
        return converted
    if (files := hub.repository_files(name)) is None:
        raise hub.unreachable(name)
    count = sum(files[file] for file in hub.wanted_files(files))
    if not yes:
        raise DownloadNeedsYes(
            f"{name!r} has to be downloaded ({size_text(count)}) and converted once (another "
            f"{size_text(count)} in {str(converted.parent)!r})"
        )

    def convert(folder: Path) -> None:
        from openmova.checkpoints.sources import find_conversion

        find_conversion(hub.source_path(name)).fill(folder)

    return build_once(converted.name, convert, count)


def _check(folder: Path) -> None:
    """The folder holds what the model and the processor are loaded from."""
    config = checkpoint_config(folder)
    if is_release(config):
        raise UserError(
            f"{str(folder)!r} is in the layout of the released MoVA: turn it into a folder of "
            "ours first, with: openmova convert SRC DST"
        )
    if config.get("model_type") != MODEL_TYPE:
        raise UserError(
            f"{str(folder)!r} holds a model of type {config.get('model_type')!r}, not "
            f"{MODEL_TYPE!r}: give the folder of an openmova checkpoint"
        )
    for name in ("processor_config.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UserError(
                f"the checkpoint {str(folder)!r} lacks {name}: save the processor there too"
            )
    if not list(folder.glob("model*.safetensors")):
        raise UserError(
            f"the checkpoint {str(folder)!r} lacks model.safetensors: save the model there again"
        )
