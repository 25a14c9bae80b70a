"""Which encoder does what: scores of sets of encoders, and what each encoder adds to them.

With S the share of right answers of a set of encoders, all the encoders in question, and e one:

Capacity(e) = S({e}), Necessity(e) = S(all) - S(all without e)          arXiv 2606.03879
u(e) = (S(all) - S(all without e)) / S(all), the information gap max u - min u  arXiv 2507.03262

Intervals are at 95%. Scores have Wilson's, differences of them Agresti and Min's; what has several
seeds a set, and all other figures, have percentiles of a bootstrap over questions and seeds. All
sets answer the same questions, so they are drawn together.

Shapes: K seeds, Q questions, E encoders; D the data as they are and all draws of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmova.analysis.ablation import Names, without
from openmova.analysis.ranks import TOKENS_A_CHANNEL
from openmova.errors import UserError
from openmova.evaluate.intervals import Difference, Interval, Share
from openmova.train.domain_statistics import NO_DOMAIN

DRAWS = 2000
WAYS = ("alone", "joint")
PLACES = ("before", "after")


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What sets of encoders answered to the same questions.

    Raises UserError without a set that the figures need.
    """

    source: str
    how: str
    """How the sets came about, in a sentence."""
    pool: Names
    """The encoders in question; what every set has beside them is no part of it."""
    domains: list[str]
    """[Q]"""
    right: Mapping[Names, NDArray[np.bool_]]
    """Of each set, in the pool's order: [K, Q]."""
    parameters: Mapping[str, int | None] = field(default_factory=dict)
    """Of each encoder, None where nobody knows."""
    ranks: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Of each encoder, by WAYS and PLACES: what `TokenSums.measure` tells."""

    def __post_init__(self) -> None:
        pool = self.pool
        needed = [*((name,) for name in pool), *(without(pool, name) for name in pool), pool]
        if lacking := [names for names in needed if names not in self.right]:
            raise UserError(
                f"{self.source} has no answers of {join(lacking[0])}: every encoder alone, all but "
                "one, and all together are needed"
            )


def join(names: Names) -> str:
    """How files and tables call a set."""
    return "+".join(names) or "none"


def expert_subsets(pool: Names) -> list[Names]:
    """All of them, the empty one too, smaller ones first."""
    return [names for size in range(len(pool) + 1) for names in combinations(pool, size)]


def kendall_tau(a: NDArray[np.floating], b: NDArray[np.floating]) -> Any:
    """How far two rankings agree (tau-b): [..., E] each -> [...]; NaN where one ranks nothing."""
    i, j = np.triu_indices(a.shape[-1], 1)
    x, y = (np.sign((v[..., i] - v[..., j]).round(12)) for v in (a, b))
    with np.errstate(invalid="ignore"):
        return (x * y).sum(axis=-1) / np.sqrt((x != 0).sum(axis=-1) * (y != 0).sum(axis=-1))


def residuals(scores: Sequence[float], parameters: Sequence[int]) -> NDArray[np.floating]:
    """What the least-squares line of scores over ln(parameters) leaves: [E]."""
    line = np.stack([np.ones(len(scores)), np.log(parameters)], axis=1)
    return np.asarray(scores - line @ np.linalg.lstsq(line, np.array(scores))[0])


def roles(found: Outcomes) -> dict[str, Any]:
    """All figures as plain JSON types; those with an interval as {value, ci95, n}.

    overall and domains: see `_group`. ranks: see `_ranks`; notes: what could not be computed.
    """
    domains = np.array(found.domains)
    overall = _group(found, np.ones(len(domains), dtype=bool))
    ranks, notes = _ranks(found, overall["encoders"])
    return {
        "source": found.source,
        "how": found.how,
        "encoders": list(found.pool),
        "questions": len(domains),
        "overall": overall,
        "domains": {
            domain or NO_DOMAIN: _group(found, domains == domain) for domain in sorted({*domains})
        },
        "ranks": ranks,
        "notes": notes,
    }


def table(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The figures of `roles` that have an interval, one a row, for CSV."""

    def rows(group: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from (("score", names, of) for names, of in group["scores"].items())
        for name, figures in group["encoders"].items():
            yield from ((figure, name, of) for figure, of in figures.items())
        yield from ((figure, "", group[figure]) for figure in ("information_gap", "tau"))

    for domain, group in {"": found["overall"], **found["domains"]}.items():
        for figure, names, of in rows(group):
            low, high = of["ci95"]
            numbers = {"value": of["value"], "low": low, "high": high, "n": of["n"]}
            yield {"domain": domain, "figure": figure, "encoders": names, **numbers}


class _Scores:
    """Scores of sets [D] over some questions: as they are, then of each draw."""

    def __init__(self, right: Mapping[Names, NDArray[np.bool_]]) -> None:
        self.right = right
        self.n = right[max(right, key=len)].shape[1]
        random = np.random.default_rng(0)
        questions = _draws(random, self.n)
        self.of = {
            names: (questions @ of.T * _draws(random, len(of))).sum(axis=1) / of.size
            for names, of in right.items()
        }

    def score(self, names: Names) -> dict[str, Any]:
        right = self.right[names]
        return self.told(self.of[names], Share.of(right[0].tolist()) if len(right) == 1 else None)

    def difference(self, first: Names, second: Names) -> dict[str, Any]:
        a, b = self.right[first], self.right[second]
        single = len(a) == len(b) == 1
        exact = Difference.of(a[0].tolist(), b[0].tolist()) if single else None
        return self.told(self.of[first] - self.of[second], exact)

    def told(self, drawn: NDArray[np.floating], exact: Interval | None = None) -> dict[str, Any]:
        """drawn [D]; exact: its interval is told in place of the draws'. What has no number is
        None."""
        value, draws = float(drawn[0]), drawn[1:][np.isfinite(drawn[1:])]
        bounds: list[float | None] = [None, None]
        if exact is not None:
            bounds = [exact.low, exact.high]
        elif len(draws) and math.isfinite(value):
            bounds = np.quantile(draws, (0.025, 0.975)).tolist()
        return {"value": value if math.isfinite(value) else None, "ci95": bounds, "n": self.n}


def _draws(random: np.random.Generator, n: int) -> NDArray[np.int64]:
    """How often each of n is there: once, then as drawn with replacement. [D, n]"""
    drawn = random.multinomial(n, [1 / n] * n, DRAWS)
    return np.concatenate([np.ones((1, n), dtype=drawn.dtype), drawn])


def _group(found: Outcomes, kept: NDArray[np.bool_]) -> dict[str, Any]:
    """Of the questions that are kept, bool [Q]: the score of each set; capacity, necessity and cur
    of each encoder, the information gap, and tau, how far the rankings by capacity and by necessity
    agree; of each number of encoders the best set, the mean score and the worst; `_pairs`."""
    scores = _Scores({names: right[:, kept] for names, right in found.right.items()})
    pool, everything = found.pool, scores.of[found.pool][:, None]
    capacity = np.stack([scores.of[(name,)] for name in pool], axis=1)  # [D, E]
    necessity = np.stack([everything[:, 0] - scores.of[without(pool, n)] for n in pool], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cur = necessity / everything
        gap = np.ptp(cur, axis=1)
    return {
        "n": scores.n,
        "scores": {join(names): scores.score(names) for names in scores.of},
        "encoders": {
            name: {
                "capacity": scores.score((name,)),
                "necessity": scores.difference(pool, without(pool, name)),
                "cur": scores.told(cur[:, e]),
            }
            for e, name in enumerate(pool)
        },
        "information_gap": scores.told(gap),
        "tau": scores.told(kendall_tau(capacity, necessity)),
        "sizes": _sizes(scores),
        "pairs": _pairs(scores, pool),
    }


def _sizes(scores: _Scores) -> list[dict[str, Any]]:
    sizes = []
    for size in sorted({len(names) for names in scores.of}):
        values = {names: float(of[0]) for names, of in scores.of.items() if len(names) == size}
        best = max(values, key=lambda names: values[names])  # the first of equals
        mean, worst = sum(values.values()) / len(values), min(values.values())
        told = {"best": list(best), "score": scores.score(best), "mean": mean, "worst": worst}
        sizes.append({"size": size, "sets": len(values), **told})
    return sizes


def _pairs(scores: _Scores, pool: Names) -> dict[str, Any] | None:
    """The two encoders of the highest capacities, the best pair, what it gains over these two, and
    what all encoders gain over it; None unless every pair has answered."""
    pairs = list(combinations(pool, 2))
    if not pairs or any(pair not in scores.of for pair in pairs):
        return None
    ranked = sorted(pool, key=lambda name: -scores.of[(name,)][0])
    top = tuple(name for name in pool if name in ranked[:2])
    best = max(pairs, key=lambda pair: scores.of[pair][0])
    return {
        "top_two": {"encoders": list(top), "score": scores.score(top)},
        "best": {"encoders": list(best), "score": scores.score(best)},
        "best_over_top_two": scores.difference(best, top),
        "all_over_best": scores.difference(pool, best),
    }


def _ranks(found: Outcomes, encoders: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Of every encoder its parameters, what the line of capacity over their logarithm leaves, and
    its ranks by WAYS and PLACES; tau: how far the order by rank, alone and before the projector,
    is that of what is left. And why something is None."""
    pool, notes = found.pool, []
    sizes = [size for name in pool if (size := found.parameters.get(name))]
    left: list[float | None] = [None] * len(pool)
    if len(sizes) < len(pool):
        notes.append("the parameters of some encoders are not known: no residuals")
    elif len(pool) < 3:
        notes.append("a line through two points leaves nothing: no residuals")
    else:
        capacities = [encoders[name]["capacity"]["value"] for name in pool]
        left = residuals(capacities, sizes).tolist()
    for name in pool:
        for way, places in found.ranks.get(name, {}).items():
            for place, rank in places.items():
                if rank["rank"] is None:
                    notes.append(
                        f"{name}, {way}, {place} the projector: {rank['tokens']:,} tokens of "
                        f"{rank['channels']:,} channels are too few for a rank, which needs "
                        f"{TOKENS_A_CHANNEL * rank['channels']:,}: give more pictures"
                    )
    if not found.ranks:
        notes.append("no features: no effective ranks")
    known = [
        (found.ranks[name]["alone"]["before"]["rank"], rest)
        for name, rest in zip(pool, left, strict=True)
        if "alone" in found.ranks.get(name, {})
    ]
    pairs = np.array([pair for pair in known if None not in pair], dtype=float)
    tau = float(kendall_tau(*pairs.T)) if len(pairs) > 1 else math.nan
    told = {
        name: {
            "parameters": found.parameters.get(name),
            "residual": rest,
            **{
                way: {p: found.ranks.get(name, {}).get(way, {}).get(p) for p in PLACES}
                for way in WAYS
            },
        }
        for name, rest in zip(pool, left, strict=True)
    }
    return {"encoders": told, "tau": tau if math.isfinite(tau) else None}, notes
