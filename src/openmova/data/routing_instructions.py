"""Routing instructions: annotated samples turned into questions for the router (section 3.2).

(image, question, annotated experts) becomes a sample whose user turn is the routing prompt and
whose answer is the letters of the experts, "A, D" or "none", over an augmented pool. 2,000 of them
are mixed into the finetuning data. Of a conversation the first question counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.descriptions import PoolDescriptions
from openmova.data.sample import Sample, Turn, check_experts
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.routing import routing_prompt
from openmova.routing.augment import Augmentation, augmented_pool

COUNT = 2000
DOMAIN = "routing"
"""Of all routing instructions, so that their loss is told apart."""


def routing_sample(
    sample: Sample, pool: PoolDescriptions, *, seed: int, index: int, augmentation: Augmentation
) -> Sample:
    """The routing instruction of an annotated sample: a pure function of its arguments.

    Raises BadSample if it is annotated with an expert that the pool has not.
    """
    check_experts(sample, list(pool.descriptions))
    shown = augmented_pool(
        pool.descriptions, sample.experts or (), seed=seed, index=index, augmentation=augmentation
    )
    prompt = routing_prompt(pool.instruction, shown.descriptions, sample.question)
    turns = (Turn(role="user", text=prompt), Turn(role="assistant", text=shown.answer))
    # The router sees what the base encoder sees: no expert runs.
    return replace(sample, turns=turns, experts=(), domain=DOMAIN, routing=True)


def routing_instructions(
    samples: Samples,
    pool: PoolDescriptions,
    *,
    bad: BadSamples,
    count: int = COUNT,
    seed: int = 0,
    augmentation: Augmentation | None = None,
) -> list[Sample]:
    """Up to `count` routing instructions, of annotated samples with a picture drawn by `seed`.

    They are in the order of the data, and the same sample gives the same instruction whatever the
    count. Bad samples go into `bad`. Raises UserError for too many, and if no sample is annotated.
    """
    places = np.random.default_rng([seed, len(samples)]).permutation(len(samples))
    augmentation = augmentation or Augmentation()

    def candidates() -> Iterator[tuple[int, int, Sample]]:
        for index in range(len(samples)):
            try:
                sample = samples[index]
                if sample.experts is None or sample.image is None or sample.routing:
                    continue
                check_experts(sample, list(pool.descriptions))
            except BadSample as error:
                bad.add(error)
            else:
                bad.add_good()
                yield int(places[index]), index, sample

    drawn = heapq.nsmallest(count, candidates(), key=lambda candidate: candidate[0])
    if not drawn:
        raise UserError(
            f"{samples.name} has no sample with a picture and an experts list that can be used "
            f"({bad.bad} are bad): annotate it first, or see openmova data check"
        )
    return [
        routing_sample(sample, pool, seed=seed, index=index, augmentation=augmentation)
        for _, index, sample in sorted(drawn, key=lambda candidate: candidate[1])
    ]
