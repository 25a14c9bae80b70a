"""The embedded nano model."""

from __future__ import annotations

from pathlib import Path


def nano_assets() -> Path:
    """The folder of what the project itself made for nano: weights, faces, held-out pictures."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_data" / "models" / "nano"
    return installed if installed.is_dir() else package.parents[1] / "models" / "nano"
