"""Stage 4: what was trained, in half precision, into the folder that the repository carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from openmova.experts.base import Expert
from openmova.experts.lite import LiteEncoder
from openmova.train.nano.align import Aligned
from openmova.train.nano.loop import read_tensors, write_tensors
from openmova.train.nano.picture_expert import FIRST


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    return {k: v.detach().to(torch.float16) for k, v in kept.items()}


def export(folder: Path, experts: Sequence[Expert], aligned: Aligned, assets: Path) -> None:
    """Writes ``assets/<expert>.safetensors``, ``adapter.safetensors`` and ``lora.safetensors``."""
    for expert in experts:
        state = expert.state_dict()
        if isinstance(expert, LiteEncoder):  # the rest is the package's
            tuned = tuple(f"blocks.{i}." for i in range(FIRST, len(expert.blocks)))
            state = {
                k: v for k, v in state.items() if k.startswith(tuned) and "norm.running" not in k
            }
        write_tensors(assets / "experts" / f"{expert.name}.safetensors", _half(state))
    assert aligned.base.neck is not None
    neck = {f"base.neck.{k}": v for k, v in aligned.base.neck.state_dict().items()}
    adapter = {f"adapter.{k}": v for k, v in aligned.adapter.state_dict().items()}
    write_tensors(assets / "adapter.safetensors", _half(neck | adapter))
    trained, _ = read_tensors(folder / "instruction.safetensors")
    lora = {
        key.removeprefix("model/lm.base_model.model.").replace(".default", ""): value
        for key, value in trained.items()
        if key.startswith("model/") and ".lora_" in key
    }
    write_tensors(assets / "lora.safetensors", _half(lora))
