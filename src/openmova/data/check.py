"""Data looked at before training: every sample read, its picture decoded, what it holds counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from openmova.data.bad_samples import BadSample
from openmova.data.sample import Sample, check_experts, dependency_rating
from openmova.data.sources import Samples

Measure = Callable[[Sample], tuple[int, int]]
"""A sample → (all its tokens, those of its answers)."""


QUANTILES = {"least": 0, "median": 50, "p95": 95, "most": 100}


@dataclass(kw_only=True)
class DataReport:
    """What the samples of a source hold.

    looked_at: how many of `samples` were read; bad: of each bad one the id and the reason;
    repeated_ids: samples whose id came before; numbers: by name, the QUANTILES; over: samples
    of more than the allowed tokens, which training cuts; experts: how often each is annotated;
    experts_each: samples by how many they are annotated with, or "not annotated"; dependency:
    samples by their rating, empty if none has one.
    """

    source: str
    samples: int
    looked_at: int = 0
    bad: list[dict[str, str]] = field(default_factory=list)
    repeated_ids: int = 0
    with_image: int = 0
    routing: int = 0
    over: int | None = None
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    experts: dict[str, int] = field(default_factory=dict)
    experts_each: dict[str, int] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)
    dependency: dict[str, int] = field(default_factory=dict)

    @property
    def bad_share(self) -> float:
        return len(self.bad) / self.looked_at if self.looked_at else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {**asdict(self), "bad_share": self.bad_share}


def check(
    samples: Samples,
    *,
    indices: Iterable[int] | None = None,
    experts: Sequence[str] | None = None,
    measure: Measure | None = None,
    max_tokens: int = 2048,
) -> DataReport:
    """Read the samples (or those of `indices`) as training would.

    experts: the pool; an annotation outside of it is bad. measure: tokens by the model's template
    and tokenizer, which may raise BadSample itself.
    """
    report = DataReport(source=samples.name, samples=len(samples))
    numbers: dict[str, list[int]] = {}
    named: Counter[str] = Counter()
    each: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    ratings: Counter[str] = Counter()
    ids: set[str] = set()
    for sample in _read(samples, range(len(samples)) if indices is None else indices):
        report.looked_at += 1
        try:
            if isinstance(sample, BadSample):
                raise sample
            if experts is not None:
                check_experts(sample, experts)
            lengths = _numbers(sample, measure)
        except BadSample as bad:
            report.bad.append({"id": bad.id or sample.id, "reason": bad.reason})
            continue
        for name, value in lengths.items():
            numbers.setdefault(name, []).append(value)
        named.update(sample.experts or ())
        each["not annotated" if sample.experts is None else str(len(sample.experts))] += 1
        domains[sample.domain or "none given"] += 1
        ratings[dependency_rating(sample.dependency)] += 1
        report.with_image += sample.image is not None
        report.routing += sample.routing
        report.repeated_ids += sample.id in ids
        ids.add(sample.id)
    for name, values in numbers.items():
        found = np.percentile(values, [*QUANTILES.values()], method="inverted_cdf")
        report.numbers[name] = dict(zip(QUANTILES, map(int, found), strict=True))
    if measure is not None:
        report.over = sum(count > max_tokens for count in numbers.get("tokens", ()))
    report.experts = dict(named.most_common())
    report.experts_each = dict(sorted(each.items()))
    report.domains = dict(domains.most_common())
    if set(ratings) - {dependency_rating(None)}:
        report.dependency = dict(sorted(ratings.items()))
    return report


def _read(samples: Samples, indices: Iterable[int]) -> Iterator[Sample | BadSample]:
    """The samples with their pictures, which are decoded on all cores, some at once. The records
    are read here, for a stream has one reader."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        places = iter(indices)
        while records := [samples.get(index) for index in islice(places, 2 * threads)]:
            yield from pool.map(_opened, records)


def _opened(sample: Sample | BadSample) -> Sample | BadSample:
    try:
        return sample if isinstance(sample, BadSample) else sample.open()
    except BadSample as bad:
        return bad


def _numbers(sample: Sample, measure: Measure | None) -> dict[str, int]:
    """The lengths of one sample that has its picture decoded."""
    asked, answered = (
        sum(len(turn.text) for turn in sample.turns if turn.role == role)
        for role in ("user", "assistant")
    )
    found = {"turns": len(sample.turns)}
    found |= {"characters asked": asked, "characters answered": answered}
    if isinstance(sample.image, Image.Image):
        found["longest side of the picture"] = max(sample.image.size)
    if measure is not None:
        found["tokens"], found["tokens of answers"] = measure(sample)
    return found
