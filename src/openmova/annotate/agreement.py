"""How far chosen experts agree with those that the data had before: a known truth, or people's.

The margin is looked for too: it is one number, and few values of it are tried, so what it gains is
not by chance on more than some hundred samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Experts = Sequence[tuple[str, ...]]
"""Of every sample."""
MARGINS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
"""In nats. Those that are tried."""


def agreement(
    given: Experts, choose: Callable[[float], Experts], pool: Sequence[str], *, margin: float
) -> dict[str, Any]:
    """Compare what `choose` chooses at a margin with what was given, for the same samples; at
    least one.

    exact: the share of samples whose chosen experts are those given, no more and no less; experts:
    the precision and recall of each, None where there are no such samples; best_margin: that of
    MARGINS with which `exact` is highest, the smallest of equals, and best_exact.
    """
    chosen = choose(margin)
    found = {other: _exact(given, choose(other)) for other in MARGINS}
    best = max(found, key=lambda other: found[other])  # the first of equals
    return {
        "samples": len(given),
        "exact": _exact(given, chosen),
        "experts": {name: _of_expert(name, given, chosen) for name in pool},
        "best_margin": best,
        "best_exact": found[best],
    }


def _exact(given: Experts, chosen: Experts) -> float:
    same = sum(set(a) == set(b) for a, b in zip(given, chosen, strict=True))
    return same / len(given)


def _of_expert(name: str, given: Experts, chosen: Experts) -> dict[str, float | None]:
    both = sum(name in a and name in b for a, b in zip(given, chosen, strict=True))
    had = sum(name in experts for experts in given)
    got = sum(name in experts for experts in chosen)
    return {"precision": both / got if got else None, "recall": both / had if had else None}
