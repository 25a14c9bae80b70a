"""What a model needs: parameters and bytes of each part, before anything is loaded.

`unloaded_model` builds it from its config alone, without memory for its weights, and `weight_bytes`
counts them, for inference and for training. `measure` counts the weights and the cache of keys and
values for a stated number of tokens; what a forward pass needs besides (activations) is not in it,
so a tenth of a memory is left free for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from openmova.experts.base import Expert
from openmova.experts.registry import build_expert, expert_class
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.quantization import QUANTIZATIONS, quantized_weights

MODES = ("bf16", "8bit", "4bit")
"""Weights in bfloat16, or the language model's linear layers in bitsandbytes' 8 or 4 bits."""
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
    return count_parts(*unloaded_model(config, folder), folder, tokens=tokens)


def count_parts(
    model: MovaForConditionalGeneration,
    experts: Sequence[Expert],
    folder: Path | None = None,
    *,
    tokens: int = 2048,
) -> Needs:
    """The same of an `unloaded_model`."""
    config, core = model.config, model.model
    language = [t for p in (core.language_model, model.lm_head) for t in _tensors(p)]
    language = list(dict.fromkeys(language))  # a tied head is the embedding: counted once
    packed: dict[str, Mapping[Tensor, int]] = {"bf16": {}}
    packed |= {mode: quantized_bytes(model, mode) for mode in MODES[1:]}
    router = "router LoRA"
    return Needs(
        parts=[
            Part(
                name=config.text_config.model_type,
                role="language model",
                parameters=sum(t.numel() for t in language if isinstance(t, nn.Parameter)),
                bytes={
                    mode: weight_bytes(language, dtype=torch.bfloat16, packed=packed[mode])
                    for mode in MODES
                },
            ),
            *([] if core.router_lora is None else [_part(router, router, core.router_lora)]),
            _part(config.base["name"], "base", core.base),
            _part("adapter", "adapter", core.adapter),
            _part("text encoder", "text encoder", core.gate_text_encoder),
            *(
                _part(expert.name, "expert", expert, _file_bytes(spec, folder))
                for expert, spec in zip(experts, config.experts, strict=True)
            ),
        ],
        tokens=tokens,
        cache_bytes=cache_bytes(config, tokens),
    )


def unloaded_model(
    config: MovaConfig, folder: Path | None = None
) -> tuple[MovaForConditionalGeneration, list[Expert]]:
    """A model and all its experts, without memory for their weights.

    folder: see `measure`. An expert whose own code does not run so (an ONNX graph) is built in host
    memory, uninitialised. Raises UserError if a file that an expert needs is missing.
    """
    with torch.device("meta"):
        model = MovaForConditionalGeneration(config, folder)
    experts = []
    for spec in config.experts:
        device = "meta" if expert_class(spec["kind"]).on_meta else "cpu"
        with torch.device(device), no_init_weights():
            experts.append(build_expert(spec, folder=folder))
    return model, experts


def weight_bytes(
    tensors: Iterable[Tensor],
    *,
    dtype: torch.dtype | None = None,
    packed: Mapping[Tensor, int] | None = None,
) -> int:
    """Bytes of weights. dtype: of the floating ones, default as they are; packed: the bytes of
    those that are quantised."""
    known = packed or {}

    def size(tensor: Tensor) -> int:
        if dtype is None or not tensor.is_floating_point():
            return tensor.nbytes
        return tensor.numel() * dtype.itemsize

    return sum(known[tensor] if tensor in known else size(tensor) for tensor in tensors)


def quantized_bytes(model: MovaForConditionalGeneration, quantization: str) -> dict[Tensor, int]:
    """The weights of the language model that a quantization makes smaller, and their bytes then."""
    way = QUANTIZATIONS[quantization]
    weights = [model.get_parameter(name) for name in quantized_weights(model)]
    return {weight: way.bytes(*weight.shape) for weight in weights}


def cache_bytes(config: MovaConfig, tokens: int) -> int:
    """The keys and values of so many tokens, for one row, in bfloat16: two vectors a layer."""
    text = config.text_config.to_dict()
    heads = text["num_attention_heads"]
    width = text.get("head_dim") or text["hidden_size"] // heads
    shared = text.get("num_key_value_heads") or heads
    item = torch.bfloat16.itemsize
    return 2 * item * text["num_hidden_layers"] * shared * width * tokens


def _part(name: str, role: str, module: nn.Module, more: int = 0) -> Part:
    """A part that quantisation leaves as it is; more: bytes that it has in other files."""
    size = weight_bytes(_tensors(module), dtype=torch.bfloat16) + more
    count = sum(parameter.numel() for parameter in module.parameters())
    return Part(name=name, role=role, parameters=count, bytes=dict.fromkeys(MODES, size))


def _file_bytes(spec: Mapping[str, object], folder: Path | None) -> int:
    """What an expert's other files take."""
    keywords = {key: value for key, value in spec.items() if key != "kind"}
    return expert_class(str(spec["kind"])).file_bytes(keywords, folder=folder)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
