"""A checkpoint asked with every set of its experts: what `roles` looks at without any training.

A masked expert is one that is never chosen, so that the gate weighs the others (the routing), or
one whose map is zeros while all are chosen (as arXiv 2507.03262 is said to). Encoders run once a
picture and the router never, so that a set costs the adapter and the language model.

Shapes: B pictures, C channels and h x w grid of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openmova.analysis.ablation import Names
from openmova.analysis.data_inspection import LEFT_OUT, ask_samples, conversation
from openmova.analysis.ranks import TokenSums
from openmova.analysis.roles import PLACES, WAYS, Outcomes, expert_subsets, join
from openmova.data.contact_sheet import evenly
from openmova.data.sample import Sample
from openmova.data.sources import Samples
from openmova.evaluate.judge import judge
from openmova.experts.registry import expert_class
from openmova.inference.feature_cache import FeatureCache, FeatureMemory, ImageFeatures
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.inference.session import pictures_in
from openmova.inference.timing import StageTimer
from openmova.model.adapter import AdapterBlock, ExpertMap
from openmova.routing.selection import ExpertSelection
from openmova.runtime.run_store import Journal, Row

PICTURES = 64
"""That ranks are measured on."""
RANKS = "ranks"
"""Their key in the journal."""


class ZeroMaps(FeatureMemory):
    """As what it stands on, with zeros for the maps of experts that are not seen."""

    def __init__(self, mova: Mova, rows: Sequence[ImageFeatures], seen: Names) -> None:
        super().__init__(mova.model, rows)
        self.seen = {mova.experts.index(name) for name in seen}

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]:
        """As `MovaModel.encode_experts`."""
        found = super().encode_experts(pixel_values, image_sizes, routing)
        return {
            j: made if j in self.seen else ExpertMap(made.rows, torch.zeros_like(made.features))
            for j, made in found.items()
        }


def mask_experts(
    mova: Mova,
    samples: Samples,
    pool: Names,
    *,
    zeros: bool = False,
    most: int | None = None,
    max_new_tokens: int = 128,
    batch: int = 8,
    journal: Journal | None = None,
    tell_seconds: Callable[[float], None] | None = None,
) -> Outcomes:
    """Ask the first question of every sample, or of `most`, with every set of the pool's experts.

    pool: experts of the model; others are never chosen. zeros: which masking. journal: keeps the
    answers, and has those of an earlier start. tell_seconds: see `ask_samples`; so is what is
    raised.
    """
    journal = journal or Journal()
    for name in pool:  # no question should be timed with the reading of weights
        mova.model.model.experts.get(mova.experts.index(name))
    ask = partial(_ask, mova, FeatureCache(), pool, zeros, max_new_tokens)
    rows = ask_samples(
        mova, samples, ask, most=most, batch=batch, journal=journal, tell_seconds=tell_seconds
    )
    asked = [row for row in rows if LEFT_OUT not in row]
    indices = evenly(len(samples), most or len(samples))
    good = [at for at, row in zip(indices, rows, strict=True) if LEFT_OUT not in row]
    some = [good[at] for at in evenly(len(good), PICTURES)]

    def measure(_: object) -> list[Row]:
        return [{RANKS: measure_ranks(mova, [samples[at].open() for at in some], pool)}]

    (ranks,) = journal.complete({RANKS: None}, measure, batch=1, name="effective ranks")
    return Outcomes(
        source=samples.name,
        how=f"Masked by {'zeros' if zeros else 'the routing'} in one checkpoint.",
        pool=pool,
        domains=[row["domain"] for row in asked],
        right={
            names: np.array([[_is_right(row, names) for row in asked]])
            for names in expert_subsets(pool)
        },
        parameters={name: expert_parameters(mova, name) for name in pool},
        ranks=ranks[RANKS],
    )


def _ask(
    mova: Mova,
    cache: FeatureCache,
    pool: Names,
    zeros: bool,
    max_new_tokens: int,
    samples: Sequence[Sample],
) -> list[Row]:
    """The answers of samples that can be asked, with every set. Raises UserError as `Mova.ask`."""
    limits = GenerationLimits(max_new_tokens=max_new_tokens)
    turns = [conversation(mova, sample) for sample in samples]
    everything = ExpertSelection.of(pool, None, mova.experts)
    inputs = mova.prepare(turns, [everything] * len(samples), limits)
    known = cache.of([picture.fingerprint for turn in turns for picture in pictures_in(turn)])
    texts: list[dict[str, str]] = [{} for _ in samples]
    for names in expert_subsets(pool):
        selection, memory = everything, FeatureMemory(mova.model, known)
        if zeros:
            memory = ZeroMaps(mova, known, names)
        else:
            selection = ExpertSelection.of(names, None, mova.experts)
        timer = StageTimer(mova.model.device)
        answers = mova.answer_inputs(inputs, turns, selection, limits, timer, memory)
        for row, answer in zip(texts, answers, strict=True):
            row[join(names)] = answer.text
    cache.trim()
    return [
        {
            "id": sample.id,
            "domain": sample.domain,
            "question": sample.question,
            "expected": sample.turns[1].text,
            "answers": row,
        }
        for sample, row in zip(samples, texts, strict=True)
    ]


def _is_right(row: Row, names: Names) -> bool:
    return judge(row["answers"][join(names)], [row["expected"]], question=row["question"])


@torch.no_grad()
def measure_ranks(mova: Mova, samples: Sequence[Sample], pool: Names) -> dict[str, Any]:
    """The ranks of every expert, by WAYS and PLACES (see `TokenSums.measure`), over open samples.

    before: its map. after: what the last block's cross-attention takes from it (eq. 2), its part of
    what the projector gets; alone: where it is the one chosen expert, joint: where all are.
    """
    sums = {(n, way, place): TokenSums() for n in pool for way in WAYS for place in PLACES}
    block = mova.model.model.adapter.blocks[-1]
    assert isinstance(block, AdapterBlock)
    limits = GenerationLimits(max_new_tokens=1)
    for sample in samples:
        known = ImageFeatures()
        everything = ExpertSelection.of(pool, None, mova.experts)
        inputs = mova.prepare([conversation(mova, sample)], [everything], limits)
        for way, names in [*(("alone", (name,)) for name in pool), ("joint", pool)]:
            places = {name: mova.experts.index(name) for name in names}
            with ExitStack() as hooks:
                for name, j in places.items():
                    after = sums[name, way, "after"].add_output
                    hooks.enter_context(block.extractors[j].register_forward_hook(after))
                mova.model.encode_images(
                    inputs,
                    selections=[ExpertSelection.of(names, None, mova.experts)],
                    memory=FeatureMemory(mova.model, [known]),
                )
            for name, j in places.items():
                sums[name, way, "before"].add(known.experts[j].flatten(1).T)
    return {
        name: {way: {p: sums[name, way, p].measure() for p in PLACES} for way in WAYS}
        for name in pool
    }


def expert_parameters(mova: Mova, name: str) -> int | None:
    """Of an expert; weights in files of their own count as float32. None where none are known."""
    pool, j = mova.model.model.experts, mova.experts.index(name)
    spec = {key: value for key, value in pool.specs[j].items() if key != "kind"}
    files = expert_class(pool.specs[j]["kind"]).file_bytes(spec, folder=pool.folder)
    own = sum(parameter.numel() for parameter in pool.get(j).parameters())
    return own + files // 4 or None
