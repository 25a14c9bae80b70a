"""Importing openmova is light, and makes transformers' Auto classes know its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = """
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, MODEL_FOR_MULTIMODAL_LM_MAPPING, MODEL_MAPPING
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
import openmova
config = CONFIG_MAPPING["openmova"]
assert config is openmova.MovaConfig
assert MODEL_MAPPING[config] is openmova.MovaModel
assert MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[config] is openmova.MovaForConditionalGeneration
assert MODEL_FOR_MULTIMODAL_LM_MAPPING[config] is openmova.MovaForConditionalGeneration
assert PROCESSOR_MAPPING[config] is openmova.MovaProcessor
assert IMAGE_PROCESSOR_MAPPING[config] == {"pil": openmova.MovaImageProcessor}
"""


ORDERS = [
    "import openmova",
    "import openmova; from transformers import LlamaForCausalLM",
    "import openmova.model.configuration_mova",
    "from transformers import AutoProcessor; import openmova",
]


def test_auto_classes_know_ours_in_whatever_order_things_are_imported() -> None:
    """Each order in a fork of a process that has torch, which takes longest to import."""
    code = f"""
import os, sys, torch._dynamo
assert "transformers" not in sys.modules
for first in {ORDERS}:
    if os.fork() == 0:
        exec(first + {CHECK!r})
        os._exit(0)
    assert os.wait()[1] == 0, first
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors() -> None:
    import openmova

    assert "MovaModel" in dir(openmova)
    with pytest.raises(AttributeError, match="no attribute 'Moova'"):
        _ = openmova.Moova
