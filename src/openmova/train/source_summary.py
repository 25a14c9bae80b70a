"""The data of a recipe, looked at before a run: every source opened, and some samples encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from openmova.data.bad_samples import BadSample
from openmova.data.contact_sheet import evenly
from openmova.data.mixture import Mixture, WeightedSource
from openmova.errors import UserError
from openmova.model.processing_mova import IGNORED
from openmova.train.collator import Collator, Row
from openmova.train.preparation import open_sources
from openmova.train.training_recipe import TrainingRecipe

LOOKED_AT = 16
"""Samples of each source, evenly spaced; of a stream the first."""


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """What was found of one source."""

    source: str
    samples: int | None = None
    """None: it can't be opened."""
    fault: str | None = None
    """Why it can't be used."""
    looked_at: int = 0
    bad: int = 0
    tokens: float | None = None
    """Of a sample, on average, image tokens included."""
    answered: float | None = None
    """Tokens that are learned."""
    experts: dict[str, float] | None = None
    """Share of the samples that each expert sees."""


@dataclass(frozen=True, kw_only=True)
class AverageSample:
    """A sample as it is on average over the mixture."""

    tokens: int
    answered: int
    experts: dict[str, float]


def summarize_sources(
    recipe: TrainingRecipe, collator: Collator | None
) -> tuple[list[SourceSummary], int | None, AverageSample | None]:
    """Every source of a recipe, those of its evaluation last, how many samples an epoch has, and
    what they are on average.

    The number is None where a source can't be used, the average also without a collator, which
    needs the model's tokenizer. Raises UserError for an annotation with an unknown expert.
    """
    held_out = () if recipe.evaluation is None else recipe.evaluation.data
    sources = (*recipe.data, *held_out)
    opened = open_sources(sources, recipe.seed)
    found = [
        SourceSummary(source=source.path, fault=str(samples))
        if isinstance(samples, UserError)
        else _summary(source.path, samples, collator)
        for source, samples in zip(sources, opened, strict=True)
    ]
    if any(summary.fault for summary in found):
        return found, None, None
    trained = [samples for samples in opened if isinstance(samples, WeightedSource)]
    mixture = Mixture(trained[: len(recipe.data)], seed=recipe.seed)
    if collator is None:
        return found, len(mixture), None
    shares = [(s, n / len(mixture)) for s, n in zip(found, mixture.counts, strict=False)]
    average = AverageSample(
        tokens=max(round(sum((s.tokens or 0.0) * share for s, share in shares)), 1),
        answered=max(round(sum((s.answered or 0.0) * share for s, share in shares)), 1),
        experts={
            name: sum((s.experts or {}).get(name, 0.0) * share for s, share in shares)
            for name in collator.experts
        },
    )
    return found, len(mixture), average


def _summary(path: str, source: WeightedSource, collator: Collator | None) -> SourceSummary:
    samples = source.samples
    indices = evenly(len(samples), LOOKED_AT)
    if not samples.random_access:
        indices = list(range(len(indices)))
    rows: list[Row] = []
    faults: list[str] = []
    for index in indices:
        try:
            sample = samples[index].open()
            if collator is not None:
                rows.append(collator.row(sample))
        except BadSample as bad:
            faults.append(bad.reason)
    fault = None
    if len(faults) == len(indices):
        why = f"such as: {faults[0]}" if faults else "for it is empty"
        fault = f"{samples.name} has no sample that can be used, {why}"
    summary = SourceSummary(
        source=path,
        samples=len(samples),
        fault=fault,
        looked_at=len(indices),
        bad=len(faults),
    )
    if collator is None or not rows:
        return summary
    shares = np.mean([row.routing for row in rows], axis=0).tolist()
    return replace(
        summary,
        tokens=fmean(len(row.input_ids) for row in rows),
        answered=fmean(sum(label != IGNORED for label in row.labels[1:]) for row in rows),
        experts=dict(zip(collator.experts, shares, strict=True)),
    )
