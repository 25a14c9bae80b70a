"""openmova: a mixture of vision experts, chosen by the question.

Importing it makes transformers' Auto classes know the model type "openmova" (see `_auto.py`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from openmova import _auto

if TYPE_CHECKING:
    from openmova.answer import Answer
    from openmova.configuration_mova import MovaConfig
    from openmova.image_processing_mova import MovaImageProcessor
    from openmova.images.boxes import Box, Polygon
    from openmova.modeling_mova import MovaForConditionalGeneration, MovaModel
    from openmova.mova import Mova
    from openmova.processing_mova import MovaProcessor

# Where each public name lives; a name is imported when it is first used.
_HOMES = {
    "Answer": "openmova.answer",
    "Box": "openmova.images.boxes",
    "Mova": "openmova.mova",
    "MovaConfig": "openmova.configuration_mova",
    "MovaForConditionalGeneration": "openmova.modeling_mova",
    "MovaImageProcessor": "openmova.image_processing_mova",
    "MovaModel": "openmova.modeling_mova",
    "MovaProcessor": "openmova.processing_mova",
    "Polygon": "openmova.images.boxes",
}

__all__ = [
    "Answer",
    "Box",
    "Mova",
    "MovaConfig",
    "MovaForConditionalGeneration",
    "MovaImageProcessor",
    "MovaModel",
    "MovaProcessor",
    "Polygon",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


_auto.install()
