"""LoRA on the language model: small matrices learn beside its frozen ones and are merged later.

So the trained model is a MoVA as any other, and needs no LoRA library. The router's LoRA stays
apart (`openmova.routing.router_lora`): it is on for the routing pass only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from openmova.errors import UserError
from openmova.routing import RouterLoraConfig
from openmova.runtime.yaml_config import Count

if TYPE_CHECKING:
    from openmova.model.modeling_mova import MovaForConditionalGeneration

MATRICES = ("lora_A", "lora_B")


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Of the stages lora and router-lora."""

    rank: Count = 16
    alpha: int = 32
    """What was learned counts alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Layers of the language model, by the ends of their names."""
    quantize: Literal["4bit", "8bit"] | None = None
    """In the stage lora: the frozen weights of the language model in "4bit" or "8bit" (QLoRA)."""


class Lora:
    """The matrices in a model's language model, put there when this is made.

    Raises UserError if no layer is called as the settings say, or peft is not installed.
    """

    def __init__(self, model: MovaForConditionalGeneration, settings: LoraSettings) -> None:
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise UserError("LoRA needs peft: pip install 'openmova[train]'") from error
        config = LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets)
        )
        try:
            self._wrapped: Any = get_peft_model(model.model.language_model, config)
        except ValueError as error:
            raise UserError(
                f"the language model has no layer called {', '.join(settings.targets)}: "
                "give its names as lora.targets"
            ) from error
        self._model = model

    def merge(self) -> None:
        """Add what was learned to the language model's weights; the matrices go."""
        self._wrapped.merge_and_unload()

    @torch.no_grad()
    def merge_into(self, stored: MovaForConditionalGeneration) -> None:
        """Give all that was learned to the same model as it is stored: for one that learned beside
        quantised weights, so that no rounding of these stays."""
        own = dict(stored.named_parameters())
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad and name in own:
                own[name].copy_(parameter)
        for name, layer in self._wrapped.get_base_model().named_modules():
            if hasattr(layer, MATRICES[0]):
                weight = stored.model.language_model.get_submodule(name).weight
                assert isinstance(weight, torch.Tensor)
                (adapter,) = layer.active_adapters
                learned = layer.get_delta_weight(adapter).to(weight.device, torch.float32)
                weight.copy_(weight.float() + learned)


def give_router_lora(model: MovaForConditionalGeneration, settings: LoraSettings) -> None:
    """Put a router's LoRA into a model; one that it has goes on learning.

    Raises UserError if that has other sizes, or no layer is called as the settings say.
    """
    wanted = RouterLoraConfig(rank=settings.rank, alpha=settings.alpha, targets=settings.targets)
    there = model.config.routing.lora
    if there is None:
        model.model.add_router_lora(wanted)
    elif there != wanted:
        raise UserError(
            f"the model has a router's LoRA of rank {there.rank}, alpha {there.alpha} on "
            f"{', '.join(there.targets)}: set lora.rank, lora.alpha and lora.targets to these"
        )


def lora_matrices(model: MovaForConditionalGeneration) -> tuple[nn.Module, ...]:
    """Where the model has LoRA: what learns."""
    named = model.model.language_model.named_modules()
    return tuple(module for name, module in named if name.rpartition(".")[2] in MATRICES)
