"""A data set, asked sample by sample with experts switched off: which experts are used where, how
the gates weigh them, whom the router takes for whom, and what each encoder is worth to the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from PIL import Image

from openmova.analysis.ablation import Names, ask_ablated, without
from openmova.data.bad_samples import BadSample
from openmova.data.contact_sheet import evenly
from openmova.data.sample import Sample, check_experts
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.evaluate.intervals import Difference, Share
from openmova.inference.answer import Answer, matches
from openmova.inference.limits import check_question
from openmova.inference.mova import Mova
from openmova.inference.session import Message, Picture, user_turn
from openmova.runtime.run_store import Journal, Row
from openmova.train.domain_statistics import NO_DOMAIN

LEFT_OUT = "left_out"
"""The key of the reason, in the row of a sample that was not asked."""
NONE = "none"
"""In the place of an expert: no expert at all."""
BINS = 10
"""Of the scores, in a calibration."""
MISTAKES, REASONS = 10, 20
"""Wrong choices, and reasons why samples are left out, that are listed, the commonest first."""


def inspect_data(
    mova: Mova,
    samples: Samples,
    *,
    most: int | None = None,
    max_new_tokens: int = 128,
    batch: int = 8,
    journal: Journal | None = None,
) -> dict[str, Any]:
    """Ask the first question of every sample, or of `most` evenly spaced ones; returns `summary`.

    Samples without a picture, routing instructions, and what can't be read or asked are left out,
    and counted. journal: keeps the answers, and has those of an earlier start.
    Raises UserError if no sample is left.
    """
    rows = ask_samples(
        mova, samples, partial(_ask, mova, max_new_tokens), most=most, batch=batch, journal=journal
    )
    return {"source": samples.name, "samples": len(samples), **summary(rows, mova.experts)}


Ask = Callable[[Sequence[Sample]], list[Row]]
"""The row of each sample. Raises UserError for one that can't be asked."""


def ask_samples(
    mova: Mova,
    samples: Samples,
    ask: Ask,
    *,
    most: int | None,
    batch: int,
    journal: Journal | None,
    tell_seconds: Callable[[float], None] | None = None,
) -> list[Row]:
    """What `ask` makes of every sample, or of `most`; of one that can't be asked, the reason.

    tell_seconds: is told what the rest will take, after the first batch. Raises UserError if no
    sample is left.
    """
    journal = journal or Journal()
    items = {str(index): index for index in evenly(len(samples), most or len(samples))}
    make = partial(sample_rows, mova, samples, ask)
    complete = partial(journal.complete, make=make, batch=batch, name=samples.name)
    if tell_seconds is not None and (first := complete(dict(list(items.items())[:batch]))):
        left = sum(key not in journal.rows for key in items)
        tell_seconds(sum(row["seconds"] for row in first) / len(first) * left)
    rows = complete(items)
    left_out = [row[LEFT_OUT] for row in rows if LEFT_OUT in row]
    if len(left_out) == len(rows):
        raise nothing_asked(samples, left_out[0] if left_out else "")
    return rows


def nothing_asked(samples: Samples, reason: str) -> UserError:
    """reason: why one of them can't be asked."""
    why = f", such as: {reason}" if reason else ""
    return UserError(f"{samples.name} has no sample that can be asked{why}: give other data")


def sample_rows(mova: Mova, samples: Samples, ask: Ask, indices: Sequence[int]) -> list[Row]:
    """What `ask` makes of each sample, or {LEFT_OUT: why it can't be asked}."""
    found = [_open(mova, samples, index) for index in indices]
    made = iter(_tried([s for s in found if isinstance(s, Sample)], ask))
    return [next(made) if isinstance(s, Sample) else {LEFT_OUT: s} for s in found]


def _open(mova: Mova, samples: Samples, index: int) -> Sample | str:
    """A sample that can be asked, or why it can't be."""
    try:
        sample = samples[index].open()
        check_experts(sample, mova.experts)
    except BadSample as bad:
        return bad.reason
    if sample.image is None:
        return "without a picture"
    return "a routing instruction" if sample.routing else sample


def conversation(mova: Mova, sample: Sample) -> list[Message]:
    """The first question about the picture of an open sample. Raises UserError for one that can't
    be asked."""
    assert isinstance(sample.image, Image.Image)
    picture = Picture.of(sample.image, mova.processor)
    return [user_turn(check_question(sample.question), [picture])]


def _tried(samples: Sequence[Sample], ask: Ask) -> list[Row]:
    """The rows; of a question that can't be asked, such as one that is too long, the reason."""
    try:
        return ask(samples) if samples else []
    except UserError as error:
        if len(samples) == 1:
            return [{LEFT_OUT: str(error)}]
    return [row for sample in samples for row in _tried([sample], ask)]


def _ask(mova: Mova, max_new_tokens: int, samples: Sequence[Sample]) -> list[Row]:
    pairs: list[Any] = [(sample.image, sample.question) for sample in samples]
    found = ask_ablated(mova, pairs, max_new_tokens=max_new_tokens, batch=len(pairs))
    return [_row(sample, *of) for sample, of in zip(samples, found, strict=True)]


def _row(sample: Sample, routed: Answer, texts: Mapping[Names, str]) -> Row:
    """What is kept: the gates as one {expert: weight} a block, the answers by their experts."""
    told = routed.to_dict()
    return {
        "id": sample.id,
        "domain": sample.domain,
        "annotated": None if sample.experts is None else list(sample.experts),
        "expected": sample.turns[1].text,
        "chosen": told["routing"]["experts"],
        "scores": told["routing"]["scores"],
        "gates": told["gates"],
        "answers": {_key(names): text for names, text in texts.items()},
    }


def _key(experts: Sequence[str]) -> str:
    """A set of experts, in the pool's order, as a key in JSON."""
    return ",".join(experts)


def summary(rows: Sequence[Row], pool: Sequence[str]) -> dict[str, Any]:
    """What the kept rows say together: plain JSON types; shares and differences with their 95%
    intervals.

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
        row["answers"][_key(row["chosen"])] != row["answers"][_key(without(row["chosen"], name))]
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
    def of(names: Sequence[str]) -> dict[str, Any]:
        pairs = [(r["scores"][name], name in r["annotated"]) for r in rows for name in names]
        return calibration([score for score, _ in pairs], [is_right for _, is_right in pairs])

    return {**of(pool), "experts": {name: of([name])["error"] for name in pool}}


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


def _is_right(row: Row, experts: Sequence[str]) -> bool:
    return matches(row["answers"][_key(experts)], row["expected"])


def _exact(rows: Sequence[Row]) -> dict[str, object] | None:
    """None, where no sample is annotated."""
    same = [set(r["annotated"]) == set(r["chosen"]) for r in rows if r["annotated"] is not None]
    return Share.of(same).to_dict() if same else None


def _mean_gates(samples: Sequence[Sequence[float]]) -> list[float]:
    """[samples][blocks] -> [blocks]."""
    return [round(sum(block) / len(block), 4) for block in zip(*samples, strict=True)]
