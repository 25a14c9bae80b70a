"""Lets transformers' Auto classes know ours, without importing transformers for it.

transformers has no entry point for other people's models, and importing its Auto classes takes
seconds. Our modules register their classes at their end; here it is seen to that they are imported
as soon as somebody imports transformers' Auto classes. "As soon as" means after the outermost
import, because transformers imports its Auto classes in the midst of its other modules.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_AUTO = ("configuration_auto", "modeling_auto", "image_processing_auto", "processing_auto")
_OURS = ("configuration_mova", "modeling_mova", "image_processing_mova", "processing_mova")


class _AfterTransformers(MetaPathFinder):
    """Finds modules as Python does, and knows when the outermost of them has been executed."""

    depth = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in ("transformers", "openmova"):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            self.depth += 1
            try:
                execute(module)
            finally:
                self.depth -= 1
            if self.depth == 0 and self in sys.meta_path and _auto_imported():
                sys.meta_path.remove(self)
                _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _auto_imported() -> bool:
    return any(f"transformers.models.auto.{name}" in sys.modules for name in _AUTO)


def _register() -> None:
    for name in _OURS:
        importlib.import_module(f"openmova.model.{name}")


def install() -> None:
    """Register at once if transformers' Auto classes are imported, otherwise when they are."""
    if _auto_imported():
        _register()
    else:
        sys.meta_path.insert(0, _AfterTransformers())
