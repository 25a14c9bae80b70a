"""The router's LoRA in PEFT's layout, as vLLM takes it beside a request of the routing pass."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

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
    tensors, named = open_tensors(checkpoint), {}
    for name in tensors:
        if name.startswith(PREFIX):
            layer, side = name.removeprefix(PREFIX).rsplit(".", 1)
            theirs = f"base_model.model.model.language_model.{layer}.{SIDES[side]}.weight"
            named[theirs] = tensors.read(name)
    save_file(named, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "target_modules": list(lora.targets),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
