"""Whether a router's scores mean what they say: reliability by bins, and the calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openmova.evaluate.intervals import Share

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The scores from `low` to `high` (which belongs to the next bin, but for 1)."""

    low: float
    high: float
    score: float
    """Their mean."""
    right: Share
    """For how many of them the expert was annotated."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """bins: of equal width; those without a score are left out. error: the expected calibration
    error, the mean distance of score and share over the bins, weighted by their scores."""

    n: int
    error: float
    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, scores: Sequence[float], right: Sequence[bool]) -> Calibration:
        """Scores from 0 to 1, and for each whether it was right to choose; error 0 without any."""
        held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
        for score, is_right in zip(scores, right, strict=True):
            held[min(int(score * BINS), BINS - 1)].append((score, is_right))
        bins = tuple(
            Bin(
                low=number / BINS,
                high=(number + 1) / BINS,
                score=sum(score for score, _ in pairs) / len(pairs),
                right=Share.of([is_right for _, is_right in pairs]),
            )
            for number, pairs in enumerate(held)
            if pairs
        )
        n = len(scores)
        error = sum(b.right.n * abs(b.score - b.right.value) for b in bins) / n if n else 0.0
        return cls(n=n, error=error, bins=bins)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON, with four decimals."""
        return {
            "n": self.n,
            "error": round(self.error, 4),
            "bins": [
                {
                    "from": b.low,
                    "to": b.high,
                    "score": round(b.score, 4),
                    "annotated": b.right.to_dict(),
                }
                for b in self.bins
            ],
        }
