"""The router's LoRA: small matrices beside the language model's own, for the routing pass only.

The paper's first version learns routing this way, and its second mixes routing instructions into
the finetuning. Here the answers stay to the bit what they were: in a batch only the rows of the
routing pass see the matrices.

Shapes: B batch, b rows of the routing pass, T tokens, r rank.
"""

import math
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError

Rows = tuple[int, Tensor]
"""Over how many dimensions rows are counted, and which of them, long [b]."""
_ROWS: ContextVar[Rows | None] = ContextVar("rows of the routing pass", default=None)


@dataclass(frozen=True, kw_only=True)
class RouterLoraConfig:
    """Sizes of a router's LoRA. Raises ValueError for ones that make no sense."""

    rank: int
    alpha: int
    """What was learned counts alpha / rank."""
    targets: tuple[str, ...]
    """Layers of the language model, by the ends of their names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))  # JSON has lists
        if self.rank < 1:
            raise ValueError(f"routing.lora.rank must be 1 or more, not {self.rank}")


class Branch(nn.Module):
    """scale * up(down(x)) beside one linear layer; zero at the start."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, layer.in_features))
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """[b, T, in] -> [b, T, out]"""
        return F.linear(F.linear(x, self.down), self.up) * self.scale


class RouterLora(nn.Module):
    """The matrices of every targeted layer, by the layer's name in the language model.

    It is a module of its own, so that the language model's layers and the names of its weights are
    those of a model without.
    """

    def __init__(self, language_model: nn.Module, config: RouterLoraConfig) -> None:
        super().__init__()
        self._rows: Rows | None = None
        self._attached = False
        for name, layer in _layers(language_model, config.targets):
            *way, last = name.split(".")
            place: nn.Module = self
            for step in way:
                if step not in place._modules:
                    place.add_module(step, nn.Module())
                place = place.get_submodule(step)
            place.add_module(last, Branch(layer, config.rank, config.alpha / config.rank))

    def begin(self, language_model: nn.Module, pooled: Tensor | None) -> None:
        """A pass through the language model begins; pooled bool [B]: the rows that see the
        matrices, or [B, T]: the single tokens; None: no row does."""
        if not self._attached:
            # Not earlier: where a model is loaded quantised, its layers are put in place late.
            self._attach(language_model)
        rows = None if pooled is None else (pooled.ndim, pooled.flatten().nonzero()[:, 0])
        # Each thread that answers has its own rows. Those of training have to be seen from the
        # threads of the backward pass too, which compute checkpointed layers again.
        _ROWS.set(rows)
        if torch.is_grad_enabled():
            self._rows = rows

    def _attach(self, language_model: nn.Module) -> None:
        for name, branch in self.named_modules():
            if isinstance(branch, Branch):
                layer = language_model.get_submodule(name)
                # Inside of what the stage `lora` has put around it, and will take away again.
                layer = getattr(layer, "base_layer", layer)
                layer.register_forward_hook(partial(self._add_branch, branch))
        self._attached = True

    def _add_branch(self, branch: Branch, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """The layer's output [B, T, out], with the branch's on the rows that see it."""
        rows = self._rows if torch.is_grad_enabled() else _ROWS.get()
        if rows is None:
            return output
        dimensions, index = rows[0], rows[1].to(output.device)
        x, y = (tensor.flatten(0, dimensions - 1) for tensor in (inputs[0], output))
        return y.index_add(0, index, branch(x[index]).to(y)).view_as(output)


def _layers(language_model: nn.Module, targets: tuple[str, ...]) -> Iterator[tuple[str, nn.Linear]]:
    found = set()
    for name, layer in language_model.named_modules():
        target = name.rpartition(".")[2]
        if target in targets and isinstance(layer, nn.Linear):
            found.add(target)
            yield name, layer
    if lacking := [target for target in targets if target not in found]:
        raise UserError(
            f"the language model has no linear layer called {', '.join(lacking)}: give the last "
            "parts of its layers' names as lora.targets"
        )
