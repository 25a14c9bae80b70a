"""What a source is called, and its JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmova.errors import UserError

PROJECTOR = "mov_adapter"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of an object. Raises UserError that names it if there is none to be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent.name!r} lacks {path.name}: download it too") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} is not readable as JSON: download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} is not readable as JSON: download it again")
    return content


def optional_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder or file of weights; empty where there is none."""
    path = folder / "config.json"
    return read_json(path) if path.is_file() else {}


def is_release(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of the released MoVA's layout."""
    return config.get("mm_projector_type") == PROJECTOR


def source_name(source: Path) -> str:
    """What a source is called in a report: its folder, or its repository in the hub's cache."""
    if source.parent.name == "snapshots":
        return source.parent.parent.name.removeprefix("models--").replace("--", "/")
    return source.resolve().name
