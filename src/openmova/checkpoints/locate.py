"""From what a user calls a model ("nano", a folder, a repository of the hub) to a local folder."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from openmova.errors import UserError
from openmova.runtime import hub

EMBEDDED = ("nano",)
"""Models that come with the package, by name."""
MODEL_TYPE = "openmova"


def checkpoint_folder(source: str | os.PathLike[str], *, yes: bool = False) -> Path:
    """The folder of the checkpoint that `source` names, with a config.json of our model type.

    A folder of that name comes first, then an embedded model (assembled on first use), then the
    hub's cache or the hub. A repository of the released MoVA is converted into the cache on first
    use, after asking, or with yes=True without.

    Raises:
        UserError: unknown name, no checkpoint in the folder, or the hub cannot be reached; or a
            download and conversion that nobody said yes to.
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
    elif hub.HUB_ID.fullmatch(name):
        folder = _repository_folder(name, yes)
    else:
        raise UserError(f"there is no model {name!r}: {_remedy(name)}")
    _check(folder)
    return folder


def _repository_folder(name: str, yes: bool) -> Path:
    """Our own format is downloaded, the released one is downloaded and converted."""
    if (converted := hub.converted_release(name)).is_dir():
        return converted
    if hub.is_release(hub.read_config(hub.download(name, ["config.json"]))):
        from openmova.checkpoints.release import convert_release

        return hub.convert_release(name, convert_release, yes=yes)
    return hub.download(name)


def _remedy(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), EMBEDDED, n=1)
    known = f"did you mean {near[0]}? " if near else ""
    return (
        f"{known}Give {' or '.join(EMBEDDED)}, the folder of a checkpoint, or a repository of the "
        "hub such as owner/name"
    )


def _check(folder: Path) -> None:
    """The folder holds what the model and the processor are loaded from."""
    config = hub.read_config(folder)
    if hub.is_release(config):
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
