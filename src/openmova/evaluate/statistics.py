"""Shares, and differences of shares, with their confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959964
"""Of 95%."""


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
        z, p = _Z, sum(outcomes) / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return cls(p, max(0.0, centre - half), min(1.0, centre + half), n)

    def to_dict(self) -> dict[str, object]:
        """``{"value": ..., "ci95": [low, high], "n": ...}`` with four decimals."""
        interval = [round(self.low, 4), round(self.high, 4)]
        return {"value": round(self.value, 4), "ci95": interval, "n": self.n}


@dataclass(frozen=True)
class Difference:
    """How much larger one share of ``n`` is than another of the same samples, with 95% interval.

    The interval is Agresti and Min's for matched proportions (Statistics in Medicine 24, 2005):
    Wald's, with half a sample added to each of the four cells.
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> Difference:
        """The share of true outcomes in ``first`` less that in ``second``; zero and the interval
        [-1, 1] for none at all."""
        pairs = list(zip(first, second, strict=True))
        n = len(pairs)
        if n == 0:
            return cls(0.0, -1.0, 1.0, 0)
        gained, lost = pairs.count((True, False)), pairs.count((False, True))
        centre = (gained - lost) / (n + 2)
        half = _Z * math.sqrt((gained + lost + 1) / (n + 2) - centre**2) / math.sqrt(n + 2)
        return cls((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half), n)

    def to_dict(self) -> dict[str, object]:
        """As ``Share.to_dict``."""
        interval = [round(self.low, 4), round(self.high, 4)]
        return {"value": round(self.value, 4), "ci95": interval, "n": self.n}


def majority(kinds: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """What always giving the commonest answer of each kind of question would score."""
    commonest: dict[str, str] = {}
    for kind in set(kinds):
        counts = Counter(a for k, a in zip(kinds, answers, strict=True) if k == kind)
        commonest[kind] = min(counts, key=lambda answer: (-counts[answer], answer))
    return [commonest[k] == a for k, a in zip(kinds, answers, strict=True)]
