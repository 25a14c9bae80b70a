"""What the answers to a data set say together: which experts are used where, how the gates weigh
them, whom the router takes for whom, and what each encoder is worth to the answers.

A function of the kept rows alone (data_inspection.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from openmova.analysis.calibration import Calibration
from openmova.analysis.masking import without
from openmova.evaluate.statistics import Difference, Share
from openmova.inference.answer import matches
from openmova.runtime.run_store import Row
from openmova.train.domain_statistics import NO_DOMAIN

LEFT_OUT = "left_out"
"""The key of the reason, in the row of a sample that was not asked."""
NONE = "none"
"""In the place of an expert: no expert at all."""
MISTAKES, REASONS = 10, 20
"""Wrong choices, and reasons why samples are left out, that are listed, the commonest first."""


def key(experts: Sequence[str]) -> str:
    """A set of experts, in the pool's order, as a key in JSON."""
    return ",".join(experts)


def summary(rows: Sequence[Row], pool: Sequence[str]) -> dict[str, Any]:
    """Plain JSON types; shares and differences with their 95% intervals.

    asked: how many samples; left_out: the others, and why. overall and domains: see `_group`;
    routing: see `_routing`, None without annotated samples; calibration: of the scores of annotated
    samples, over all experts and the error of each, None likewise.
    """
    asked = [row for row in rows if LEFT_OUT not in row]
    reasons = Counter(row[LEFT_OUT] for row in rows if LEFT_OUT in row)
    domains = sorted({row["domain"] for row in asked})
    annotated = [row for row in asked if row["annotated"] is not None]
    return {
        "asked": len(asked),
        LEFT_OUT: {"n": reasons.total(), "reasons": dict(reasons.most_common(REASONS))},
        "pool": list(pool),
        "overall": _group(asked, pool),
        "domains": {
            domain or NO_DOMAIN: _group([r for r in asked if r["domain"] == domain], pool)
            for domain in domains
        },
        "routing": _routing(annotated, pool) if annotated else None,
        "calibration": _calibration(annotated, pool) if annotated and pool else None,
    }


def _group(rows: Sequence[Row], pool: Sequence[str]) -> dict[str, Any]:
    """Of some samples: their number; accuracy (exact answers) as routed, with no expert, with all;
    how many were routed exactly as annotated; how often each expert was chosen, and how many of
    them; their mean gate in each block where they were chosen; and their contribution."""
    routed = [_is_right(row, row["chosen"]) for row in rows]
    return {
        "n": len(rows),
        "accuracy": {
            "routed": Share.of(routed).to_dict(),
            "none": Share.of([_is_right(row, ()) for row in rows]).to_dict(),
            "all": Share.of([_is_right(row, pool) for row in rows]).to_dict(),
        },
        "routed_as_annotated": _exact(rows),
        "chosen": {n: Share.of([n in row["chosen"] for row in rows]).to_dict() for n in pool},
        "chosen_each": {
            str(count): found
            for count, found in sorted(Counter(len(row["chosen"]) for row in rows).items())
        },
        "gates": {
            name: _mean_gates(some)
            for name in pool
            if (some := [[b[name] for b in r["gates"]] for r in rows if name in r["chosen"]])
        },
        "contribution": {name: _contribution(rows, name) for name in pool},
    }


def _contribution(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """What is lost if an expert is switched off: drop, of the accuracy over all the samples;
    drop_where_chosen, over those that had chosen it; changed: the share of these whose answer
    becomes another, right or wrong."""

    def drop(some: Sequence[Row]) -> dict[str, object]:
        had = [_is_right(row, row["chosen"]) for row in some]
        has = [_is_right(row, without(row["chosen"], name)) for row in some]
        return Difference.of(had, has).to_dict()

    chose = [row for row in rows if name in row["chosen"]]
    changed = [
        row["answers"][key(row["chosen"])] != row["answers"][key(without(row["chosen"], name))]
        for row in chose
    ]
    return {
        "chosen": len(chose),
        "drop": drop(rows),
        "drop_where_chosen": drop(chose),
        "changed": Share.of(changed).to_dict(),
    }


def _routing(rows: Sequence[Row], pool: Sequence[str]) -> dict[str, Any]:
    """Annotation against choice, of samples that have both.

    exact: the same set. experts: precision and recall of each. confusion: of the samples annotated
    with an expert (or with none), the share in which each expert (or none) was chosen; a row of
    samples with several experts counts for each of them. mistakes: pairs of sets.
    """
    pairs = [(tuple(row["annotated"]), tuple(row["chosen"])) for row in rows]
    wrong = Counter(
        (tuple(name for name in pool if name in wanted), chosen)
        for wanted, chosen in pairs
        if set(wanted) != set(chosen)
    )
    names = [*pool, NONE]
    return {
        "n": len(rows),
        "exact": _exact(rows),
        "experts": {
            name: {
                "precision": Share.of([name in w for w, c in pairs if name in c]).to_dict(),
                "recall": Share.of([name in c for w, c in pairs if name in w]).to_dict(),
            }
            for name in pool
        },
        "confusion": {
            wanted: {
                "n": len(chosen),
                "chosen": {
                    name: round(sum(name in (c or (NONE,)) for c in chosen) / len(chosen), 4)
                    for name in names
                },
            }
            for wanted in names
            if (chosen := [c for w, c in pairs if wanted in (w or (NONE,))])
        },
        "mistakes": [
            {"annotated": list(wanted), "chosen": list(chosen), "n": count}
            for (wanted, chosen), count in wrong.most_common(MISTAKES)
        ],
    }


def _calibration(rows: Sequence[Row], pool: Sequence[str]) -> dict[str, Any]:
    def of(names: Sequence[str]) -> Calibration:
        pairs = [(r["scores"][name], name in r["annotated"]) for r in rows for name in names]
        return Calibration.of([score for score, _ in pairs], [is_right for _, is_right in pairs])

    return {**of(pool).to_dict(), "experts": {name: round(of([name]).error, 4) for name in pool}}


def _is_right(row: Row, experts: Sequence[str]) -> bool:
    return matches(row["answers"][key(experts)], row["expected"])


def _exact(rows: Sequence[Row]) -> dict[str, object] | None:
    """None, where no sample is annotated."""
    same = [set(r["annotated"]) == set(r["chosen"]) for r in rows if r["annotated"] is not None]
    return Share.of(same).to_dict() if same else None


def _mean_gates(samples: Sequence[Sequence[float]]) -> list[float]:
    """[samples][blocks] -> [blocks]."""
    return [round(sum(block) / len(block), 4) for block in zip(*samples, strict=True)]
