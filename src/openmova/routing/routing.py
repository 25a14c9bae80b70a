"""The routing as data: how it is asked for, and what came out of it (paper, section 3.1).

Nothing after this point knows who decided: the language model, an annotation, or the user.
Shapes: B batch, E experts of the pool.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor

from openmova.routing.prompt import INSTRUCTION
from openmova.routing.router_lora import RouterLoraConfig

if TYPE_CHECKING:
    from transformers import Cache


@dataclass(frozen=True, kw_only=True)
class RoutingConfig:
    """How the routing pass is done. Raises ValueError for values that make no sense."""

    grid: tuple[int, int] = (12, 12)
    """Rows and columns of the pooled image tokens that the router sees."""
    instruction: str = INSTRUCTION
    """What stands before "Model pool:" in the routing prompt."""
    pool_first: bool = False
    """Whether the picture stands after the pool, so that all pictures share the keys and values of
    what is before; in the released order it comes first."""
    max_experts: int | None = None
    """Keep at most this many, the best scored; None: as many as the answer names."""
    max_new_tokens: int = 16
    constrained: bool = False
    """Let the router write nothing but letters in ascending order, or "none"."""
    text_prior: float = 0.0
    """Weight of the texts' likeness, by which experts are chosen that the router never learned."""
    unlearned: tuple[str, ...] = ()
    """Such experts of the model's own pool; of another pool shown, all whose words are new."""
    lora: RouterLoraConfig | None = None
    """Of a model that learned routing in matrices of their own, seen by the routing pass only."""

    def __post_init__(self) -> None:
        if isinstance(self.lora, Mapping):
            object.__setattr__(self, "lora", RouterLoraConfig(**self.lora))
        object.__setattr__(self, "grid", tuple(self.grid))  # JSON has lists
        object.__setattr__(self, "unlearned", tuple(self.unlearned))
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ValueError(f"routing.grid must be two positive numbers, not {self.grid}")
        if self.max_experts is not None and self.max_experts < 0:
            raise ValueError(f"routing.max_experts must be 0 or more, not {self.max_experts}")
        if self.max_new_tokens < 1:
            raise ValueError(f"routing.max_new_tokens must be 1 or more, not {self.max_new_tokens}")
        if not 0 <= self.text_prior < math.inf:
            raise ValueError(f"routing.text_prior must be 0 or more, not {self.text_prior}")


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which experts answer one question."""

    experts: tuple[str, ...]
    """Names of the chosen ones, in the order of the pool."""
    scores: dict[str, float]
    """Score of every expert of the pool, 0 to 1; empty if no router was asked."""
    raw: str
    """What the router wrote; empty if no router was asked."""
    left_out: tuple[str, ...] = ()
    """Experts that it named and that did not run: for the budget, or another limit."""

    @classmethod
    def of(
        cls,
        chosen: Tensor,
        names: Sequence[str],
        result: RoutingResult | None = None,
        row: int = 0,
    ) -> Self:
        """chosen bool [E] with the names of the pool; result: what the router said in its row."""
        told = cls.given(chosen.tolist(), names)
        if result is None:
            return told
        named = cls.given(result.routing[row].tolist(), names).experts
        return replace(
            told,
            scores=dict(zip(names, result.scores[row].tolist(), strict=True)),
            raw=result.texts[row],
            left_out=tuple(name for name in named if name not in told.experts),
        )

    @classmethod
    def given(cls, fixed: Sequence[bool], names: Sequence[str]) -> Self:
        """Of whoever decided in the router's place: one bool for each of the pool."""
        return cls(
            experts=tuple(n for n, c in zip(names, fixed, strict=True) if c), scores={}, raw=""
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "experts": list(self.experts),
            "scores": self.scores,
            "raw": self.raw,
            **({"left_out": list(self.left_out)} if self.left_out else {}),
        }


class RoutingResult(NamedTuple):
    """What the router said about the questions of a batch."""

    routing: Tensor
    """bool [B, E]: the experts that it named"""
    scores: Tensor
    """float32 [B, E]"""
    texts: list[str]
    """What the router wrote for each row."""
    tokens: Tensor
    """[B, N, D], the image tokens without any expert, which the router saw pooled"""
    past_key_values: Cache | None = None
    """What the language model kept of the prompts and of what it wrote; None: it was not asked"""


def limit_experts(routing: Tensor, scores: Tensor, most: int | None) -> Tensor:
    """Keep at most `most` chosen experts a row, the best scored; of equals, the first.

    routing: bool [B, E]; scores: float [B, E]. Returns bool [B, E]; None keeps all.
    Raises ValueError for a negative number.
    """
    if most is None:
        return routing
    if most < 0:
        raise ValueError(f"max_experts must be 0 or more, not {most}")
    order = scores.masked_fill(~routing, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)  # [B, E], 0 for the best
    return routing & (rank < min(most, routing.shape[1]))  # most may be beyond 64 bits
