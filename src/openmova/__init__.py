"""openmova: a mixture of vision experts, chosen by the question.

Importing it makes transformers' Auto classes know the model type "openmova" (see model/auto.py).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from openmova.model import auto

if TYPE_CHECKING:
    from openmova.images.boxes import Box, Polygon
    from openmova.inference.answer import Answer
    from openmova.inference.mova import Mova
    from openmova.model.configuration_mova import MovaConfig
    from openmova.model.image_processing_mova import MovaImageProcessor
    from openmova.model.modeling_mova import MovaForConditionalGeneration, MovaModel
    from openmova.model.processing_mova import MovaProcessor

# Where each public name lives; a name is imported when it is first used.
_HOMES = {
    "Answer": "openmova.inference.answer",
    "Box": "openmova.images.boxes",
    "Mova": "openmova.inference.mova",
    "MovaConfig": "openmova.model.configuration_mova",
    "MovaForConditionalGeneration": "openmova.model.modeling_mova",
    "MovaImageProcessor": "openmova.model.image_processing_mova",
    "MovaModel": "openmova.model.modeling_mova",
    "MovaProcessor": "openmova.model.processing_mova",
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


auto.install()
