"""The router's LoRA in PEFT's layout, as vLLM takes it beside a request of the routing pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from openmova.checkpoints.tensors import open_tensors
from openmova.routing import RouterLoraConfig

NAME = "router"
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Of which vLLM's `max_lora_rank` is one."""
PREFIX = "model.router_lora."
SIDES = {"down": "lora_A", "up": "lora_B"}


def max_rank(lora: RouterLoraConfig) -> int:
    """vLLM's `max_lora_rank` for it."""
    return next((rank for rank in RANKS if rank >= lora.rank), lora.rank)


def write_adapter(checkpoint: Path, lora: RouterLoraConfig, folder: Path) -> None:
    """Into an empty folder."""
    tensors = open_tensors(checkpoint)
    kept = {name: tensors.read(name) for name in tensors if name.startswith(PREFIX)}
    save_file(peft_names(kept), folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": list(lora.targets),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def peft_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors of `RouterLora`, by the names that PEFT gives such matrices."""
    named = {}
    for name, tensor in tensors.items():
        layer, side = name.removeprefix(PREFIX).rsplit(".", 1)
        named[f"base_model.model.model.language_model.{layer}.{SIDES[side]}.weight"] = tensor
    return named
