"""What a model needs: parameters and bytes of each part, before anything is loaded.

`unloaded_model` builds it from its config alone, without memory for its weights, and `weight_bytes`
counts them, for inference and for training. `measure` counts the weights and the cache of keys and
values for a stated number of tokens; what a forward pass needs besides (activations) is not in it,
so a tenth of a memory is left free for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.initialization import no_init_weights

from openmova.experts.base import Expert
from openmova.experts.registry import build_expert, expert_class
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.onnx_language_model import WEIGHTS
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
    part: str
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
        return [part for part in self.parts if part.part == "expert"]

    def expert_bytes(self, *, offload: bool) -> int:
        """Experts on the device at once: all of them, or with offload the largest."""
        sizes = [part.bytes["bf16"] for part in self.experts]
        return max(sizes, default=0) if offload else sum(sizes)

    def total(self, mode: str, *, offload: bool) -> int:
        """Bytes on the device when every expert has been used."""
        others = sum(part.bytes[mode] for part in self.parts if part.part != "expert")
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
    size without their files.
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
    packed = {m: quantized_bytes(model, m) if m in QUANTIZATIONS else {} for m in MODES}

    def part(role: str, *modules: nn.Module, name: str = "", more: int = 0) -> Part:
        """more: bytes that it has in other files."""
        # A tied head is the embedding: counted once.
        tensors = dict.fromkeys(t for m in modules for t in (*m.parameters(), *m.buffers()))
        sizes = {
            mode: weight_bytes(tensors, dtype=torch.bfloat16, packed=packed[mode]) + more
            for mode in MODES
        }
        count = sum(tensor.numel() for tensor in tensors if isinstance(tensor, nn.Parameter))
        return Part(name=name or role, part=role, parameters=count, bytes=sizes)

    def files_of(spec: Mapping[str, Any]) -> int:
        keywords = {key: value for key, value in spec.items() if key != "kind"}
        return expert_class(spec["kind"]).file_bytes(keywords, folder=folder)

    language = config.text_config.model_type
    parts = [part("language model", core.language_model, model.lm_head, name=language)]
    if config.runtime == "onnx":
        parts = [_in_graphs(parts[0], config, folder)]
    if core.router_lora is not None:
        parts.append(part("router LoRA", core.router_lora))
    parts.append(part("base", core.base, name=config.base["name"], more=files_of(config.base)))
    parts += [part("adapter", core.adapter), part("text encoder", core.gate_text_encoder)]
    for expert, spec in zip(experts, config.experts, strict=True):
        parts.append(part("expert", expert, name=expert.name, more=files_of(spec)))
    return Needs(parts=parts, tokens=tokens, cache_bytes=cache_bytes(config, tokens))


def _in_graphs(embeddings: Part, config: MovaConfig, folder: Path | None) -> Part:
    """The language model of an exported folder, of which only the embeddings are a weight."""
    files = 0 if folder is None else sum((folder / name).stat().st_size for name in WEIGHTS)
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(config.text_config)
    return replace(
        embeddings,
        parameters=sum(parameter.numel() for parameter in whole.parameters()),
        bytes={mode: size + files for mode, size in embeddings.bytes.items()},
    )


def unloaded_model(
    config: MovaConfig, folder: Path | None = None
) -> tuple[MovaForConditionalGeneration, list[Expert]]:
    """A model and all its experts, without memory for their weights.

    folder: see `measure`. An expert whose own code does not run so (an ONNX graph) is built in host
    memory, uninitialised.
    """
    with torch.device("meta"):
        model = MovaForConditionalGeneration(config, folder)
    return model, [unloaded_expert(spec, folder) for spec in config.experts]


def unloaded_expert(spec: Mapping[str, Any], folder: Path | None = None) -> Expert:
    """One expert, as `unloaded_model` has it."""
    device = "meta" if expert_class(spec["kind"]).on_meta else "cpu"
    with torch.device(device), no_init_weights():
        return build_expert(spec, folder=folder)


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
