"""Who decides on the experts of a question: the router, within limits, or the user.

Shapes: E experts of the pool.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from openmova.errors import UserError
from openmova.routing.budget import Budget, Unit, best_set
from openmova.routing.routing import limit_experts

Costs = Callable[[int, Unit], float]
"""What the expert of an index costs."""
Experts = str | Sequence[str] | None
"""Who decides: None the router; "all", "none", or names (a list, or "a,b") the user."""


@dataclass(frozen=True, kw_only=True)
class ExpertSelection:
    """Who decides on the experts: `fixed` (one bool for each of the pool), or the router.

    max_experts: at most so many of the router's choice, the best scored; None: as the model's
    config says. budget: what they may cost together. forced: run whatever the router says, and
    beside max_experts and budget; forbidden: don't run.
    """

    fixed: tuple[bool, ...] | None = None
    max_experts: int | None = None
    budget: Budget | None = None
    forced: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        experts: Experts,
        max_experts: int | None,
        pool: Sequence[str],
        budget: str | None = None,
    ) -> Self:
        """budget: as `Budget.of` takes it. Raises UserError for an expert that is not in the pool,
        or limits that don't fit."""
        if max_experts is not None and max_experts < 0:
            raise UserError(f"max_experts is {max_experts}: give 0 or more")
        if experts is None:
            return cls(
                max_experts=max_experts, budget=None if budget is None else Budget.of(budget)
            )
        for limit, given in (("max_experts", max_experts), ("budget", budget)):
            if given is not None:
                raise UserError(
                    f"{limit} limits the router's choice and experts replaces it: give only one"
                )
        names = _names(experts, pool)
        return cls(fixed=tuple(name in names for name in pool))

    def limited(self, max_experts: int | None) -> Self:
        """With this limit where it has none of its own."""
        return self if self.max_experts is not None else replace(self, max_experts=max_experts)

    def apply(
        self, routing: Tensor, scores: Tensor, pool: Sequence[str], costs: Costs | None = None
    ) -> Tensor:
        """The experts that run, of those that the router named.

        routing bool [E], scores float [E] -> bool [E]. costs: of experts, asked of those that were
        named, if there is a budget.
        """
        forced, forbidden = (
            torch.tensor([name in names for name in pool], dtype=torch.bool, device=routing.device)
            for names in (self.forced, self.forbidden)
        )
        allowed = routing & ~forbidden
        if self.budget is None or costs is None:
            kept = limit_experts(allowed[None], scores[None], self.max_experts)[0]
        else:
            named = allowed.nonzero()[:, 0].tolist()
            prices = [costs(j, self.budget.unit) for j in named]
            best = best_set(scores[named].tolist(), prices, self.budget.amount, self.max_experts)
            kept = torch.zeros_like(allowed)
            kept[[named[place] for place in best]] = True
        return kept | forced


def _names(experts: str | Sequence[str], pool: Sequence[str]) -> set[str]:
    """The experts that a user named; "all" and "none" are words for everything and nothing."""
    if experts == "all":
        return set(pool)
    if experts == "none":
        return set()
    named = [name.strip() for name in experts.split(",")] if isinstance(experts, str) else experts
    for name in named:
        if name not in pool:
            near = difflib.get_close_matches(name.lower(), pool, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(
                f"there is no expert {name[:80]!r}: {hint}The pool is {', '.join(pool)}; "
                "'all' and 'none' do too"
            )
    return set(named)
