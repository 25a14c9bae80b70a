"""Shares, differences of shares, and means, with their confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Z = 1.959964
"""Of 95%."""
DRAWS = 1000
"""Of a bootstrap."""


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


def majority(kinds: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """What always giving the commonest answer of each kind of question would score."""
    commonest: dict[str, str] = {}
    for kind in set(kinds):
        counts = Counter(a for k, a in zip(kinds, answers, strict=True) if k == kind)
        commonest[kind] = min(counts, key=lambda answer: (-counts[answer], answer))
    return [commonest[k] == a for k, a in zip(kinds, answers, strict=True)]


@dataclass(frozen=True)
class Mean(Interval):
    """A mean over ``n`` questions and several seeds."""

    seeds: int

    @classmethod
    def of(cls, outcomes: NDArray[np.float64]) -> Mean:
        """The share of right answers, 0 or 1 each [seeds, questions].

        The interval is that of a bootstrap that draws seeds and questions anew, both with
        replacement: so it holds for other seeds and for other questions. It is a little too wide,
        since what is left over counts in both (Owen 2007, the pigeonhole bootstrap). One seed tells
        nothing about others: then only the questions are drawn. Two questions answered rightly and
        two wrongly by all seeds are drawn with them, so that a share of 0 or 1 is not taken for
        certain (Agresti and Coull 1998).
        """
        return cls._of(outcomes, [0.0, 0.0, 1.0, 1.0])

    @classmethod
    def of_differences(cls, gaps: NDArray[np.float64]) -> Mean:
        """The mean difference of two sides, -1, 0 or 1 each [seeds, questions].

        The interval as for `of`, with one question won and one lost (Agresti and Min 2005).
        """
        return cls._of(gaps, [-1.0, 1.0])

    @classmethod
    def _of(cls, outcomes: NDArray[np.float64], added: list[float]) -> Mean:
        seeds, questions = outcomes.shape
        padded = np.hstack([outcomes, np.tile(added, (seeds, 1))])
        rng = np.random.default_rng(0)
        drawn = [
            rng.multinomial(count, np.full(count, 1 / count), size=DRAWS) / count
            for count in padded.shape
        ]
        means = (drawn[0] @ padded * drawn[1]).sum(axis=1)
        value = float(outcomes.mean())
        low, high = (float(bound) for bound in np.quantile(means, [0.025, 0.975]))
        return cls(value, min(low, value), max(high, value), questions, seeds)

    def to_dict(self) -> dict[str, object]:
        """As `Interval.to_dict`, with the number of seeds."""
        return {**super().to_dict(), "seeds": self.seeds}


def percent(share: Mapping[str, Any]) -> str:
    """A share's dictionary as people read it: "74.0 (68 to 79)", per cent with the interval."""
    low, high = share["ci95"]
    return f"{100 * share['value']:.1f} ({100 * low:.0f} to {100 * high:.0f})"
