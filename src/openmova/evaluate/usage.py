"""How often a router chose each expert, and how many at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def expert_usage(chosen: Sequence[Collection[str]], pool: Sequence[str]) -> dict[str, Any]:
    """Of questions, each with the experts chosen for it; at least one question.

    share: of the questions for which an expert of the pool was chosen; none: for which nobody was;
    mean_experts: chosen for a question, on average. Four decimals.
    """
    n = len(chosen)
    return {
        "questions": n,
        "share": {name: round(sum(name in names for names in chosen) / n, 4) for name in pool},
        "none": round(sum(not names for names in chosen) / n, 4),
        "mean_experts": round(sum(len(names) for names in chosen) / n, 4),
    }
