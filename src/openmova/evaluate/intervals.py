"""Shares and differences of shares, with their confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_Z = 1.959964
"""Of 95%."""


@dataclass(frozen=True)
class Interval:
    """A number measured on ``n`` samples, with its 95% interval."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, object]:
        """``{"value": ..., "ci95": [low, high], "n": ...}`` with four decimals."""
        bounds = [round(self.low, 4), round(self.high, 4)]
        return {"value": round(self.value, 4), "ci95": bounds, "n": self.n}


class Share(Interval):
    """A share of ``n`` with its Wilson score interval."""

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


class Difference(Interval):
    """How much larger one share of ``n`` is than another of the same samples.

    The interval is Agresti and Min's for matched proportions (Statistics in Medicine 24, 2005):
    Wald's, with half a sample added to each of the four cells.
    """

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


def percent(share: Mapping[str, Any]) -> str:
    """A share's dictionary as people read it: "74.0 (68 to 79)", per cent with the interval."""
    low, high = share["ci95"]
    return f"{100 * share['value']:.1f} ({100 * low:.0f} to {100 * high:.0f})"
