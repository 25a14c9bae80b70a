"""Models for the benchmarks, with random weights: times do not depend on them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.nano import (
    CHAT_TEMPLATE,
    IMAGE_TOKEN,
    language_model_folder,
    nano_parts,
)
from openmova.configuration_mova import MovaConfig
from openmova.modeling_mova import MovaForConditionalGeneration
from openmova.mova import Mova
from openmova.processing_mova import MovaProcessor

PARTS = ("width", "mlp", "heads", "neck", "downsample", "layers")


def thin(spec: dict[str, Any], by: int) -> dict[str, Any]:
    """An encoder's spec with so many times less width and layers, and the same view."""
    made = {key: value // by if key in PARTS else value for key, value in spec.items()}
    if "global_layers" in made:
        made["global_layers"] = [made["layers"] - 1]
    return made


def named(pool: int) -> list[dict[str, Any]]:
    """The specs of the paper's seven experts, over and over, thin, with names of their own."""
    seven = mova_8b()["experts"]
    return [
        {**thin(seven[j % 7], 8), "name": f"{seven[j % 7]['name']}-{j // 7}"} for j in range(pool)
    ]


def reduced(pool: int) -> Mova:
    """The adapter at full size (width 1024, 48 x 48, three blocks); all beside it is small.

    The experts keep the paper's views; their widths and layers are an eighth. The base runs two
    layers of CLIP's. The language model and both tokenizers are of nano's kind.
    """
    folder, text_encoder = language_model_folder(), nano_parts().text_encoder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    full, gate = mova_8b(), AutoConfig.from_pretrained(text_encoder)
    text = AutoConfig.from_pretrained(folder)
    channels = [c // 8 for c in full["adapter"]["expert_channels"]]
    config = MovaConfig(
        text_config=text,
        base={**full["base"], "layers": 3},  # of which the last is not used
        experts=named(pool),
        adapter={
            "text_width": gate.hidden_size,
            "output_width": text.hidden_size,
            "expert_channels": [channels[j % 7] for j in range(pool)],
        },
        gate_text_config=gate.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    )
    torch.manual_seed(0)
    model = MovaForConditionalGeneration(config)
    for j in range(pool):
        model.model.experts.get(j)
    for weight in model.model.adapter.parameters():  # some of them begin as zeros
        torch.nn.init.normal_(weight, std=0.02)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    processor = MovaProcessor.from_config(
        config,
        tokenizer,
        AutoTokenizer.from_pretrained(text_encoder),
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )
    return Mova(model, processor)
