"""The data of a recipe, looked at before a run: every source opened, and some samples encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from openmova.data.bad_samples import BadSample
from openmova.data.contact_sheet import evenly
from openmova.data.mixture import Mixture, WeightedSource
from openmova.errors import UserError
from openmova.model.processing_mova import IGNORED
from openmova.train.collator import Collator
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
    experts: dict[str, float] | None = None
    """Share of the samples that each expert sees."""


@dataclass(frozen=True, kw_only=True)
class AverageSample:
    """A sample as it is on average over the mixture."""

    tokens: int
    answered: int
    """Tokens that are learned."""
    experts: dict[str, float]
    """Share of the samples that each expert sees."""


def summarize_sources(
    recipe: TrainingRecipe, collator: Collator | None
) -> tuple[list[SourceSummary], int | None, AverageSample | None]:
    """Every source of a recipe, those of its evaluation last, how many samples an epoch has, and
    what they are on average.

    The number is None where a source can't be used, the average also without a collator, which
    needs the model's tokenizer. Raises UserError for an annotation with an unknown expert.
    """
    opened = open_sources(recipe.data, recipe.seed)
    held_out = () if recipe.evaluation is None else recipe.evaluation.data
    found = [
        SourceSummary(source=source.path, fault=str(samples))
        if isinstance(samples, UserError)
        else _summary(source.path, samples, collator)
        for source, samples in zip(
            (*recipe.data, *held_out),
            (*opened, *open_sources(held_out, recipe.seed)),
            strict=True,
        )
    ]
    weighted = [samples for samples in opened if isinstance(samples, WeightedSource)]
    if any(looked.fault for looked in found):
        return found, None, None
    mixture = Mixture(weighted, seed=recipe.seed)
    if collator is None:
        return found, len(mixture), None
    trained = found[: len(opened)]
    return found, len(mixture), _average(trained, mixture.counts, collator.experts)


def _summary(path: str, source: WeightedSource, collator: Collator | None) -> SourceSummary:
    samples = source.samples
    indices = evenly(len(samples), LOOKED_AT)
    if not samples.random_access:
        indices = list(range(len(indices)))
    tokens = answered = good = 0
    seen: Counter[str] = Counter()
    reasons: list[str] = []
    for index in indices:
        try:
            sample = samples[index].open()
            if collator is not None:
                row = collator.row(sample)
                tokens += len(row.input_ids)
                answered += sum(label != IGNORED for label in row.labels[1:])
                seen.update(n for n, s in zip(collator.experts, row.routing, strict=True) if s)
            good += 1
        except BadSample as bad:
            reasons.append(bad.reason)
    fault = None
    if not good:
        why = f"such as: {reasons[0]}" if reasons else "for it is empty"
        fault = f"{samples.name} has no sample that can be used, {why}"
    measured = collator is not None and good > 0
    return SourceSummary(
        source=path,
        samples=len(samples),
        fault=fault,
        looked_at=len(indices),
        bad=len(reasons),
        tokens=tokens / good if measured else None,
        answered=answered / good if measured else None,
        experts={name: count / good for name, count in seen.items()} if measured else None,
    )


def _average(
    found: Sequence[SourceSummary], counts: Sequence[int], experts: Sequence[str]
) -> AverageSample:
    total = sum(counts)

    def mean(values: Sequence[float | None]) -> float:
        return sum((v or 0.0) * n for v, n in zip(values, counts, strict=True)) / total

    return AverageSample(
        tokens=max(round(mean([looked.tokens for looked in found])), 1),
        answered=max(round(mean([looked.answered for looked in found])), 1),
        experts={n: mean([(looked.experts or {}).get(n) for looked in found]) for n in experts},
    )
