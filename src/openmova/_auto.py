"""Lets transformers' Auto classes know ours, without importing transformers for it.

transformers has no entry point for other people's models, and importing its Auto classes takes
seconds. Our modules register their classes at their end; here it is seen to that each of them is
imported right after transformers' module of the same kind, by whoever needs that one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

# Module of transformers -> ours that registers with it.
_FOLLOWERS = {
    "transformers.models.auto.configuration_auto": "openmova.configuration_mova",
    "transformers.models.auto.modeling_auto": "openmova.modeling_mova",
    "transformers.models.auto.image_processing_auto": "openmova.image_processing_mova",
    "transformers.models.auto.processing_auto": "openmova.processing_mova",
}


class _AfterImport(MetaPathFinder):
    """Finds these modules as Python does, and imports ours once they are executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _FOLLOWERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_follow(module: ModuleType) -> None:
            execute(module)
            importlib.import_module(_FOLLOWERS[name])

        spec.loader.exec_module = execute_and_follow  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Register now where transformers' module is imported, and elsewhere as soon as it is."""
    sys.meta_path.insert(0, _AfterImport())
    for name, follower in _FOLLOWERS.items():
        if name in sys.modules:
            importlib.import_module(follower)
