"""A budget: the best of the experts that the router named whose costs fit into it together.

The best is the set with the greatest sum of scores (a knapsack, solved exactly).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from openmova.errors import UserError

Unit = Literal["operations", "seconds"]
"""Of one picture; operations are floating-point ones, a multiply-add is two."""
FACTORS = {"": 1.0, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What the experts of one picture may cost together."""

    amount: float
    unit: Unit

    @classmethod
    def of(cls, text: str) -> Self:
        """ "0.5s" is seconds, "20G" (M, G, T) or "2e10" operations. Raises UserError for others."""
        found = re.fullmatch(r"(\d+\.?\d*(?:e\d+)?|\.\d+)([MGT]?|s)", text.strip())
        if found is None:
            raise UserError(f"the budget is {text[:40]!r}: give seconds (0.5s) or operations (20G)")
        number, ending = found.groups()
        if ending == "s":
            return cls(amount=float(number), unit="seconds")
        return cls(amount=float(number) * FACTORS[ending], unit="operations")


def best_set(
    scores: Sequence[float], costs: Sequence[float], budget: float, most: int | None = None
) -> tuple[int, ...]:
    """Of all sets of at most `most` experts that cost at most `budget`, the one with the greatest
    sum of scores; of equals the cheapest.

    Returns indices in rising order; none fits: ().
    """
    # Sets that can still win: no other has as great a score for less, with no more experts.
    sets: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]
    for index, (score, cost) in enumerate(zip(scores, costs, strict=True)):
        wider = [(s + score, c + cost, (*chosen, index)) for s, c, chosen in sets]
        kept: list[tuple[float, float, tuple[int, ...]]] = []
        for s, c, chosen in sorted(sets + wider, key=lambda one: (-one[0], one[1], len(one[2]))):
            fits = c <= budget and (most is None or len(chosen) <= most)
            if fits and not any(k[1] <= c and len(k[2]) <= len(chosen) for k in kept):
                kept.append((s, c, chosen))
        sets = kept
    return max(sets, key=lambda one: (one[0], -one[1]))[2]
