"""Models for the benchmarks. But for nano their weights are random: times do not depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer

from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.nano import (
    CHAT_TEMPLATE,
    IMAGE_TOKEN,
    language_model_folder,
    nano_parts,
)
from openmova.inference.mova import Mova
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor

PARTS = ("width", "mlp", "heads", "neck", "downsample", "layers")


def thin(spec: dict[str, Any], by: int) -> dict[str, Any]:
    """An encoder's spec with so many times less width and layers, and the same view."""
    made = {key: value // by if key in PARTS else value for key, value in spec.items()}
    if "global_layers" in made:
        made["global_layers"] = [made["layers"] - 1]
    return made


def reduced(pool: int = 7, dtype: torch.dtype = torch.float32) -> Mova:
    """The adapter at full size (width 1024, 48 x 48, three blocks); all beside it is small.

    The experts are the paper's seven, over and over up to `pool`; they keep their views, and their
    widths and layers are an eighth. The base runs two layers of CLIP's. The language model and the
    gate's text encoder are nano's in shape.
    """
    full = mova_8b()
    gate = AutoConfig.from_pretrained(nano_parts().text_encoder)
    text = AutoConfig.from_pretrained(language_model_folder())
    seven, channels = full["experts"], full["adapter"]["expert_channels"]
    return random_model(
        dtype=dtype,
        text_config=text,
        base={**full["base"], "layers": 3},  # of which the last is not used
        experts=[
            {**thin(seven[j % 7], 8), "name": f"{seven[j % 7]['name']}-{j // 7}"}
            for j in range(pool)
        ],
        adapter={
            "text_width": gate.hidden_size,
            "output_width": text.hidden_size,
            "expert_channels": [channels[j % 7] // 8 for j in range(pool)],
        },
        gate_text_config=gate.to_dict(),
    )


def full() -> Mova:
    """MoVA-8B's shape in bfloat16 on the accelerator, with nano's tokenizers."""
    return random_model("cuda", torch.bfloat16, **mova_8b())


def random_model(device: str = "cpu", dtype: torch.dtype = torch.float32, **fields: Any) -> Mova:
    """A model of these fields of a config, whose prompts are read by nano's tokenizers."""
    tokenizer = AutoTokenizer.from_pretrained(language_model_folder())
    fields["image_token_id"] = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    config = MovaConfig(**fields)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = MovaForConditionalGeneration(config).to(device, dtype)
        for j in range(len(config.experts)):
            model.model.experts.get(j)
        for weight in model.model.adapter.parameters():  # some of them begin as zeros
            nn.init.normal_(weight, std=0.02)
    torch.set_default_dtype(before)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    processor = MovaProcessor.from_config(
        config,
        tokenizer,
        AutoTokenizer.from_pretrained(nano_parts().text_encoder),
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )
    return Mova(model, processor)


class Script:
    """Makes a language model of random weights name experts, as a trained router would.

    While the router writes, every call of the head says the next token of the given texts.
    """

    def __init__(self, mova: Mova) -> None:
        self._tokenizer = mova.processor.tokenizer
        self._ids: list[list[int]] = []
        self._step: int | None = None
        mova.model.lm_head.register_forward_hook(self._say)
        route = mova.model.route

        def scripted(*given: Any, **options: Any) -> Any:
            with self.writing():
                return route(*given, **options)

        mova.model.route = scripted

    def say(self, texts: Sequence[str]) -> None:
        """From now on, these texts, row by row, and then the end."""
        self._ids = [self._tokenizer(text, add_special_tokens=False).input_ids for text in texts]

    @contextmanager
    def writing(self) -> Any:
        self._step = 0
        try:
            yield
        finally:
            self._step = None

    def _say(self, head: nn.Module, given: Any, logits: Tensor) -> Tensor | None:
        if self._step is None:
            return None
        end = self._tokenizer.eos_token_id
        said = [row[self._step] if self._step < len(row) else end for row in self._ids]
        self._step += 1
        ids = torch.tensor(said[: len(logits)], device=logits.device)
        return logits.scatter(-1, ids[:, None, None], 1e4)
