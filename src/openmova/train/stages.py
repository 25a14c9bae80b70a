"""The stages of training: which parts of a model learn, each with its learning rate (section 3.4).

The experts never learn. A part that does not learn is also kept in evaluation mode, so that
nothing in it, dropout or the averages of a batch norm, follows the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from openmova.model.adapter import AdapterBlock, DynamicGate
from openmova.train.language_lora import lora_matrices

if TYPE_CHECKING:
    from openmova.model.modeling_mova import MovaForConditionalGeneration

PARTS: dict[str, Callable[[MovaForConditionalGeneration], tuple[nn.Module, ...]]] = {
    "adapter": lambda model: (model.model.adapter,),
    "gate": lambda model: tuple(
        module for module in model.model.adapter.modules() if isinstance(module, DynamicGate)
    ),
    "base": lambda model: (model.model.base,),
    "gate_text": lambda model: (model.model.gate_text_encoder,),
    "language_model": lambda model: (model.model.language_model, model.lm_head),
    "lora": lora_matrices,
    "router_lora": lambda model: (
        () if model.model.router_lora is None else (model.model.router_lora,)
    ),
}
"""The parts that can learn, by the names that a recipe gives them."""

NEWEST: dict[str, Callable[[MovaForConditionalGeneration], tuple[nn.Module, ...]]] = {
    "extractor": lambda model: tuple(block.extractors[-1] for block in _blocks(model)),
    "gate_column": lambda model: tuple(block.gate.score for block in _blocks(model)),
}
"""The same of the pool's last expert in the adapter: all that learns in the stage expert. Of the
gates' scores, its column alone."""

GATE_SHARE = 0.1
"""Of the adapter's learning rate: that of its gates, unless a recipe names theirs. At the same rate
they tend to give all to one expert before the others are of use (docs/training.md)."""

STAGES: dict[str, tuple[str, ...]] = {
    "pretrain": ("adapter", "gate", "base"),
    "finetune": ("adapter", "gate", "base", "gate_text", "language_model"),
    "probe": ("adapter", "gate", "language_model"),
    "lora": ("adapter", "gate", "lora"),
    "router-lora": ("router_lora",),
    "grpo": ("language_model",),
    "expert": tuple(NEWEST),
    "teach": ("router_lora",),
}
"""Which parts learn: the paper's two stages; the models that its routing data is made with; the
language model by LoRA; as in the paper's first version, a LoRA that only the routing pass sees; the
language model by reward; an expert that was added (`openmova add-expert`); and names that the
object expert learns without gradients, the router only where it must (`openmova.train.teach`)."""


@dataclass(frozen=True, kw_only=True)
class TrainableParts:
    """What a stage left: the optimizer's groups, and the modules that don't learn."""

    groups: list[dict[str, Any]]
    frozen: tuple[nn.Module, ...]

    def eval_frozen(self) -> None:
        """Undo `train()` where nothing learns.

        Gradients go through frozen layers too, and a layer is only checkpointed while it trains: so
        such a layer does, but nothing in it, unless it has a dropout of its own.
        """
        for module in self.frozen:
            module.eval()
            for layer in module.modules():
                if getattr(layer, "gradient_checkpointing", False):
                    layer.training = not getattr(layer, "dropout", 0.0)


def set_stage(
    model: MovaForConditionalGeneration,
    stage: str,
    *,
    learning_rate: float,
    learning_rates: Mapping[str, float],
    weight_decay: float = 0.0,
) -> TrainableParts:
    """Let the parts of a stage learn, in float32, and freeze all others as they are.

    learning_rates: of single parts; 0 freezes a part. Decay is for matrices only.
    """
    model.requires_grad_(False)
    rates = {part: learning_rates.get(part, learning_rate) for part in STAGES[stage]}
    for part, whole in (("gate", "adapter"), ("gate_column", "extractor")):
        if part in rates:
            rates[part] = learning_rates.get(part, GATE_SHARE * rates[whole])
    known = PARTS | NEWEST if stage == "expert" else PARTS
    parts = {part: modules_of(model) for part, modules_of in known.items()}
    gate = {p for module in parts["gate"] for p in module.parameters()}  # are in the adapter, too
    groups: list[dict[str, Any]] = []
    frozen: list[nn.Module] = [model.model.experts]
    for part, modules in parts.items():
        rate = rates.get(part, 0.0)
        if not rate:
            frozen += modules
            for module in modules:
                module.requires_grad_(False)
            continue
        for module in modules:
            module.requires_grad_(True).float()
        apart = gate if part == "adapter" else ()
        # A tied head is the embedding: counted once.
        parameters = dict.fromkeys(p for m in modules for p in m.parameters() if p not in apart)
        if part == "gate_column":
            weight_decay = 0.0  # which would change the others' too
            for parameter in parameters:
                parameter.register_hook(_of_last)
        for decay, wanted in ((weight_decay, True), (0.0, False)):
            chosen = [p for p in parameters if (p.ndim > 1) == wanted]
            if chosen:
                groups.append({"params": chosen, "part": part, "lr": rate, "weight_decay": decay})
    return TrainableParts(groups=groups, frozen=tuple(frozen))


def _blocks(model: MovaForConditionalGeneration) -> list[AdapterBlock]:
    return [block for block in model.model.adapter.modules() if isinstance(block, AdapterBlock)]


def _of_last(gradient: Tensor) -> Tensor:
    """The gradient of a gate's scores [E, ...] with that of the last expert alone."""
    return torch.cat([torch.zeros_like(gradient[:-1]), gradient[-1:]])


def saved_buffers(model: nn.Module) -> dict[str, Tensor]:
    """What is stored besides parameters, by name; the experts' apart, which never change."""
    saved = {
        f"model.{part}.{name}"
        for part, module in model.get_submodule("model").named_children()
        if part != "experts"  # whose state would be read first
        for name in module.state_dict()
    }
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}
