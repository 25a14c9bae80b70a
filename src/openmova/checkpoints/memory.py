"""What a model needs: parameters and bytes of each part, before anything is loaded.

The model is built on the meta device, from its config alone. Counted are the weights and the cache
of keys and values for a stated number of tokens; what a forward pass needs besides (activations)
is not, so a tenth of a memory is left free for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from openmova.errors import UserError
from openmova.experts.pool import EXPERTS_FOLDER
from openmova.experts.registry import build_expert, expert_class
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.quantization import QUANTIZATIONS, quantized_weights

MODES = ("bf16", "8bit", "4bit")
"""Weights in bfloat16, or the language model's linear layers in bitsandbytes' 8 or 4 bits."""
BF16_BYTES = 2
LEFT_FREE = 0.1
"""Share of a memory that is left for activations."""
GIB = 2**30
COMMON_GIB = (8, 16, 24, 48, 80)
"""Memory of GPUs that people have."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a model."""

    name: str
    role: str
    """"language model", "router LoRA", "base", "adapter", "text encoder" or "expert"."""
    parameters: int
    bytes: dict[str, int]
    """By mode; only the language model's differ."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The memory that a model needs."""

    parts: list[Part]
    tokens: int
    cache_bytes: int
    """Of the keys and values of so many tokens, in bfloat16."""

    @property
    def experts(self) -> list[Part]:
        return [part for part in self.parts if part.role == "expert"]

    def expert_bytes(self, *, offload: bool) -> int:
        """Experts on the device at once: all of them, or with offload the largest."""
        sizes = [part.bytes["bf16"] for part in self.experts]
        return max(sizes, default=0) if offload else sum(sizes)

    def total(self, mode: str, *, offload: bool) -> int:
        """Bytes on the device when every expert has been used."""
        others = sum(part.bytes[mode] for part in self.parts if part.role != "expert")
        return others + self.expert_bytes(offload=offload) + self.cache_bytes

    def fitting(self, memory: int, *, offload: bool = True) -> list[tuple[str, bool]]:
        """The (mode, offload) that fit in a memory of so many bytes, the best answers first.

        offload: False for a memory that idle experts can't leave, that of the CPU itself.
        """
        room = memory * (1 - LEFT_FREE)
        return [
            (mode, away)
            for mode in MODES
            for away in ((False, True) if offload else (False,))
            if self.total(mode, offload=away) <= room
        ]


def measure(config: MovaConfig, folder: Path | None = None, *, tokens: int = 2048) -> Needs:
    """Count the parts of a model.

    folder: its checkpoint folder, if there is one; only needed for experts that don't say their
    size without their files. Raises UserError if a file that such an expert needs is missing.
    """
    with torch.device("meta"):
        model = MovaForConditionalGeneration(config, folder)
    core = model.model
    router = "router LoRA"
    return Needs(
        parts=[
            _language_model(model),
            *([] if core.router_lora is None else [_part(router, router, core.router_lora)]),
            _part(config.base["name"], "base", core.base),
            _part("adapter", "adapter", core.adapter),
            _part("text encoder", "text encoder", core.gate_text_encoder),
            *(_expert(spec, folder) for spec in config.experts),
        ],
        tokens=tokens,
        cache_bytes=cache_bytes(config, tokens),
    )


def cache_bytes(config: MovaConfig, tokens: int) -> int:
    """The keys and values of so many tokens, for one row, in bfloat16: two vectors a layer."""
    text = config.text_config.to_dict()
    heads = text["num_attention_heads"]
    width = text.get("head_dim") or text["hidden_size"] // heads
    shared = text.get("num_key_value_heads") or heads
    return 2 * BF16_BYTES * text["num_hidden_layers"] * shared * width * tokens


def _language_model(model: MovaForConditionalGeneration) -> Part:
    """The decoder with its embeddings and head; a head tied to the embeddings counts once."""
    head, decoder = "lm_head.", "model.language_model."
    tensors = {
        name: tensor
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
        if name.startswith((head, decoder))
    }
    linear = quantized_weights(model)
    rest = _bytes(tensor for name, tensor in tensors.items() if name not in linear)
    shapes = [tensors[name].shape for name in linear]
    small = {
        mode: rest + sum(QUANTIZATIONS[mode].bytes(rows, columns) for rows, columns in shapes)
        for mode in MODES[1:]
    }
    return Part(
        name=model.config.text_config.model_type,
        role="language model",
        parameters=sum(
            tensor.numel() for name, tensor in model.named_parameters() if name in tensors
        ),
        bytes={"bf16": _bytes(tensors.values()), **small},
    )


def _expert(spec: dict[str, Any], folder: Path | None) -> Part:
    """An expert of the pool, by its class where that is enough, else by its file."""
    cls = expert_class(spec["kind"])
    keywords = {key: value for key, value in spec.items() if key != "kind"}
    more = cls.file_bytes(keywords, folder=folder)
    file = None if folder is None else folder / EXPERTS_FOLDER / f"{spec['name']}.safetensors"
    if file is not None and file.is_file() and not cls.on_meta:
        tensors = _stored(file)
        count = sum(tensor.numel() for tensor in tensors)
        sizes = dict.fromkeys(MODES, _bytes(tensors) + more)
        return Part(name=spec["name"], role="expert", parameters=count, bytes=sizes)
    with torch.device("meta" if cls.on_meta else "cpu"), no_init_weights():
        built = build_expert(spec, folder=folder)
    return _part(spec["name"], "expert", built, more)


def _part(name: str, role: str, module: nn.Module, more: int = 0) -> Part:
    """A part that quantisation leaves as it is; more: bytes that it has in other files."""
    size = _bytes((*module.parameters(), *module.buffers())) + more
    count = sum(parameter.numel() for parameter in module.parameters())
    return Part(name=name, role=role, parameters=count, bytes=dict.fromkeys(MODES, size))


def _stored(file: Path) -> list[Tensor]:
    """The tensors of a file, without their numbers."""
    try:
        with safe_open(file, "pt") as opened:
            shapes = [opened.get_slice(name).get_shape() for name in opened.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"can't read {file.name}: download the checkpoint again") from error
    return [torch.empty(shape, device="meta") for shape in shapes]


def _bytes(tensors: Iterable[Tensor]) -> int:
    """With floating numbers in bfloat16."""
    return sum(
        tensor.numel() * (BF16_BYTES if tensor.is_floating_point() else tensor.element_size())
        for tensor in tensors
    )
