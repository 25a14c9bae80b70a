"""Whether a router's scores mean what they say: reliability by bins, and the calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openmova.evaluate.intervals import Share

BINS = 10


def calibration(scores: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """Scores from 0 to 1, and for each whether the expert was annotated; plain JSON types.

    n; error: the expected calibration error, the mean distance of score and share over the bins,
    weighted by their scores, 0 without any; bins: of equal width, each with its mean score and the
    share of annotated experts; one without a score is left out. A score on an edge belongs to the
    bin above, 1 to the last.
    """
    held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, is_right in zip(scores, right, strict=True):
        held[min(int(score * BINS), BINS - 1)].append((score, is_right))
    bins, distance = [], 0.0
    for number, pairs in enumerate(held):
        if pairs:
            mean = sum(score for score, _ in pairs) / len(pairs)
            share = Share.of([is_right for _, is_right in pairs])
            distance += share.n * abs(mean - share.value)
            bounds = {"from": number / BINS, "to": (number + 1) / BINS}
            bins.append({**bounds, "score": round(mean, 4), "annotated": share.to_dict()})
    n = len(scores)
    return {"n": n, "error": round(distance / n, 4) if n else 0.0, "bins": bins}
