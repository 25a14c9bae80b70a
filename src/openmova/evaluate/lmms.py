"""What lmms-eval reads when it starts: that there is a model `openmova`, and where its class is."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """The plug-in's entry, a `ModelManifest`; the class is imported when it is chosen."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="openmova", chat_class_path="openmova.evaluate.lmms_model.OpenMova"
    )
