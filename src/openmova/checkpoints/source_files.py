"""What a source is called, and its JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmova.errors import UserError

PROJECTOR = "mov_adapter"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of an object. Raises UserError that names it if there is none to be read."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).items())
    except FileNotFoundError as error:
        raise UserError(f"{path.parent.name!r} lacks {path.name}: download it too") from error
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path.name} is not readable as JSON: download it again") from error


def optional_json(path: Path) -> dict[str, Any]:
    """The same; empty where there is no such file."""
    return read_json(path) if path.is_file() else {}


def is_release(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of the released MoVA's layout."""
    return config.get("mm_projector_type") == PROJECTOR


def source_name(source: Path) -> str:
    """What a source is called in a report: its folder, or its repository in the hub's cache."""
    if source.parent.name == "snapshots":
        return source.parent.parent.name.removeprefix("models--").replace("--", "/")
    return source.resolve().name
