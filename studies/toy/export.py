"""What was trained, in half precision, as the small files that the repository carries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from openmova.checkpoints.nano_spec import LORA_RANK, LORA_SCALE
from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.lite import LiteEncoder
from studies.toy.align import Aligned
from studies.toy.loop import write_tensors
from studies.toy.picture_expert import FIRST

LANGUAGE_MODEL = "model.language_model."


def export_aligned(experts: Sequence[Expert], aligned: Aligned, carried: Path) -> None:
    """Write `carried`/experts/<name>.safetensors and `carried`/adapter.safetensors."""
    for expert in experts:
        state = expert.state_dict()
        if isinstance(expert, LiteEncoder):  # the rest is the package's
            tuned = tuple(f"blocks.{i}." for i in range(FIRST, len(expert.blocks)))
            state = {
                k: v for k, v in state.items() if k.startswith(tuned) and "norm.running" not in k
            }
        write_tensors(carried / "experts" / f"{expert.name}.safetensors", _half(state))
    assert aligned.base.neck is not None
    neck = {f"base.neck.{k}": v for k, v in aligned.base.neck.state_dict().items()}
    adapter = {f"adapter.{k}": v for k, v in aligned.adapter.state_dict().items()}
    write_tensors(carried / "adapter.safetensors", _half(neck | adapter))


def export_lora(start: Path, final: Path, carried: Path) -> None:
    """Write `carried`/lora.safetensors: what finetuning added to the language model.

    start, final: the checkpoint folders before and after. Every matrix that changed did so by a
    product B A of rank LORA_RANK, which its singular value decomposition gives back.
    Raises UserError if something else than that changed.
    """
    lora: dict[str, Tensor] = {}
    for name, before, after in _weights(start, final):
        if torch.equal(before, after):
            continue
        added = after.float() - before.float()
        if not name.startswith(LANGUAGE_MODEL) or added.ndim != 2:
            raise UserError(f"{name} was trained too, which nano does not carry: set its rate to 0")
        u, s, v = torch.linalg.svd(added, full_matrices=False)
        if s[LORA_RANK] > 1e-3 * s[0]:
            raise UserError(f"{name} changed by more than rank {LORA_RANK}: finetune by LoRA")
        root = (s[:LORA_RANK] / LORA_SCALE).sqrt()
        stem = f"model.{name.removeprefix(LANGUAGE_MODEL).removesuffix('.weight')}"
        lora[f"{stem}.lora_B.weight"] = u[:, :LORA_RANK] * root
        lora[f"{stem}.lora_A.weight"] = root[:, None] * v[:LORA_RANK]
    write_tensors(carried / "lora.safetensors", _half(lora))


def _weights(start: Path, final: Path) -> list[tuple[str, Tensor, Tensor]]:
    """Every tensor of both folders, by its name."""
    before, after = _read(start), _read(final)
    return [(name, before[name], after[name]) for name in sorted(before)]


def _read(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.exists():
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    tensors: dict[str, Tensor] = {}
    for file in files:
        with safe_open(folder / file, framework="pt") as opened:
            tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return tensors


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    return {k: v.detach().to(torch.float16) for k, v in kept.items()}
