"""Shares with their confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A share of ``n`` with its 95% Wilson score interval."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, outcomes: Sequence[bool]) -> Share:
        """The share of true outcomes; all zeros and the interval [0, 1] for none at all."""
        n = len(outcomes)
        if n == 0:
            return cls(0.0, 0.0, 1.0, 0)
        z, p = 1.959964, sum(outcomes) / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return cls(p, max(0.0, centre - half), min(1.0, centre + half), n)

    def to_dict(self) -> dict[str, object]:
        """``{"value": ..., "ci95": [low, high], "n": ...}`` with four decimals."""
        interval = [round(self.low, 4), round(self.high, 4)]
        return {"value": round(self.value, 4), "ci95": interval, "n": self.n}


def majority(kinds: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """What always giving the commonest answer of each kind of question would score."""
    commonest: dict[str, str] = {}
    for kind in set(kinds):
        counts = Counter(a for k, a in zip(kinds, answers, strict=True) if k == kind)
        commonest[kind] = min(counts, key=lambda answer: (-counts[answer], answer))
    return [commonest[k] == a for k, a in zip(kinds, answers, strict=True)]
