"""How far an answer depends on the picture, and on each expert that looks at it.

With p = exp(-loss) of a sample's answer, D = p(picture, annotated experts) - p(text only), and of
an annotated expert e, D_e = p(picture, annotated experts) - p(picture, the same without e). Where
the model itself is not sure (the first p is below SURE) nobody knows: NaN. A picture or an expert
may hurt, so D lies between -1 and 1. Of our own making: MathVis-Fine (arXiv 2606.17888) has ratings
of this kind, and how they are made was not found.

Shapes: N samples, E experts, S sets of experts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from openmova.annotate.selection import expert_sets
from openmova.data.sample import Sample, dependency_rating
from openmova.train.domain_statistics import NO_DOMAIN

SURE = 0.3
BINS = 20
"""Of the histogram, from -1 to 1."""


class Dependency(NamedTuple):
    """NaN where nobody knows; of experts, also where they were not annotated."""

    picture: NDArray[np.floating]
    """D [N]"""
    experts: NDArray[np.floating]
    """D_e [N, E]"""
    blind: NDArray[np.floating]
    """p(text only) [N]"""

    @classmethod
    def of(
        cls,
        losses: NDArray[np.floating],
        blind: NDArray[np.floating],
        chosen: Sequence[tuple[str, ...]],
        pool: Sequence[str],
    ) -> Dependency:
        """losses [N, 1 + S], the base's first, then in the order of `expert_sets`; blind [N]: with
        the text alone; chosen: the annotated experts of every sample, one of the sets or none."""
        sets = ((), *expert_sets(len(pool)))
        column = {tuple(pool[j] for j in members): at for at, members in enumerate(sets)}
        sure, unseen = np.exp(-losses.astype(np.float64)), np.exp(-blind.astype(np.float64))
        rows = np.arange(len(losses))
        seen = sure[rows, [column[names] for names in chosen]]  # [N]
        experts = np.full((len(losses), len(pool)), np.nan)
        for row, names in enumerate(chosen):
            for name in names:
                rest = tuple(other for other in names if other != name)
                experts[row, pool.index(name)] = seen[row] - sure[row, column[rest]]
        unknown = ~(seen >= SURE)
        experts[unknown] = np.nan
        return cls(np.where(unknown, np.nan, seen - unseen), experts, unseen)

    def value(self, row: int) -> float | None:
        """D of a sample, to four decimals."""
        found = self.picture[row]
        return None if np.isnan(found) else round(float(found), 4)

    def extremes(self, rows: Iterable[int], count: int) -> list[int]:
        """Of these, whose answers depend least, then most: half of `count` each."""
        known = sorted(
            (row for row in rows if not np.isnan(self.picture[row])),
            key=lambda row: float(self.picture[row]),
        )
        half = min(count, len(known)) // 2
        return known[:half] + known[len(known) - half :]

    def summary(self, samples: Mapping[int, Sample], pool: Sequence[str]) -> dict[str, Any]:
        """Ratings, a histogram of D, and by domain its mean, that of every D_e, p(text only), and
        the share of the commonest answer, which can be guessed. samples: those that count, by
        row."""
        ratings = Counter(dependency_rating(self.value(row)) for row in samples)
        known = [value for row in samples if (value := self.value(row)) is not None]
        counts, edges = np.histogram(known, BINS, (-1, 1))
        rows: dict[str, list[int]] = {}
        for row, sample in samples.items():
            rows.setdefault(sample.domain or NO_DOMAIN, []).append(row)
        return {
            "ratings": dict(sorted(ratings.items())),
            "histogram": [
                {"from": round(float(edge), 1), "n": int(n)}
                for edge, n in zip(edges, counts, strict=False)
            ],
            "domains": {
                domain: {
                    "samples": len(own),
                    "dependency": _mean(self.picture[own]),
                    "experts": {n: _mean(self.experts[own, e]) for e, n in enumerate(pool)},
                    "text_only": _mean(self.blind[own])["mean"],
                    "commonest_answer": _commonest([samples[row].turns[1].text for row in own]),
                }
                for domain, own in sorted(rows.items())
            },
        }


def _mean(values: NDArray[np.floating]) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    return {"n": len(known), "mean": float(known.mean()) if len(known) else None}


def _commonest(answers: Sequence[str]) -> float:
    return Counter(answers).most_common(1)[0][1] / len(answers)
