"""Files that come beside the code: nano's weights, examples, recipes."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = "examples"
NANO_WEIGHTS = "models/nano"
RECIPES = "recipes"


def asset_folder(name: str) -> Path:
    """A folder of the repository, or of the installed package's copy of it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parents[1] / name


def shipped(path: Path) -> Path:
    """The file itself; for one under recipes/ that is not here, openmova's own of that name."""
    if path.exists() or path.parts[:1] != (RECIPES,):
        return path
    return asset_folder(RECIPES).joinpath(*path.parts[1:])
