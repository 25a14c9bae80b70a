"""Files that come beside the code: nano's weights, examples, a suite's pictures."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = "examples"
NANO_WEIGHTS = "models/nano"


def asset_folder(name: str) -> Path:
    """A folder of the repository, or of the installed package's copy of it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parents[1] / name
