"""From what a user calls a model ("nano", a folder, a repository of the hub) to a local folder."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path

from openmova.errors import UserError

EMBEDDED = ("nano",)
"""Models that come with the package, by name."""
MODEL_TYPE = "openmova"
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
DATA_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.onnx"]
"""All that is fetched of a repository: data, no code and no pickles."""


def checkpoint_folder(source: str | os.PathLike[str]) -> Path:
    """The folder of the checkpoint that `source` names, with a config.json of our model type.

    A folder of that name comes first, then an embedded model (assembled on first use), then the
    hub's cache or the hub.

    Raises:
        UserError: unknown name, no checkpoint in the folder, or the hub cannot be reached.
    """
    name = os.fspath(source)
    folder = Path(name).expanduser()
    if name in EMBEDDED and not folder.is_dir():
        from openmova.checkpoints.nano import nano_folder

        return nano_folder()
    if folder.is_dir():
        pass
    elif folder.exists():
        raise UserError(f"{name!r} is a file: give the folder of a checkpoint")
    elif HUB_ID.fullmatch(name):
        folder = _download(name)
    else:
        raise UserError(f"there is no model {name!r}: {_remedy(name)}")
    _check(folder)
    return folder


def _remedy(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), EMBEDDED, n=1)
    known = f"did you mean {near[0]}? " if near else ""
    return (
        f"{known}Give {' or '.join(EMBEDDED)}, the folder of a checkpoint, or a repository of the "
        "hub such as owner/name"
    )


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=DATA_FILES))
    except Exception as error:  # the HTTP client, and so its errors, differ with the hub's version
        raise UserError(
            f"{repository!r} is no folder here and could not be had from the hub: check the name, "
            "the network and HF_TOKEN, or give the folder of a checkpoint"
        ) from error


def _check(folder: Path) -> None:
    """The folder holds what the model and the processor are loaded from."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(
            f"{str(folder)!r} is no checkpoint, it has no config.json: give a folder that "
            "save_pretrained wrote"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        model_type = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{str(path)!r} is not readable as JSON: download it again") from error
    if model_type != MODEL_TYPE:
        raise UserError(
            f"{str(folder)!r} holds a model of type {model_type!r}, not {MODEL_TYPE!r}: give the "
            "folder of an openmova checkpoint"
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
