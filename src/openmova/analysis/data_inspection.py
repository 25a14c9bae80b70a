"""A data set, asked sample by sample with experts switched off; what is kept of each sample.

What the answers say together is in data_summary.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from openmova.analysis.data_summary import LEFT_OUT, key, summary
from openmova.analysis.masking import Masked, ask_masked
from openmova.data.bad_samples import BadSample
from openmova.data.contact_sheet import evenly
from openmova.data.sample import Sample, check_experts
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.inference.mova import Mova
from openmova.runtime.run_store import Journal, Row


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
    indices = evenly(len(samples), most or len(samples))
    rows = (journal or Journal()).complete(
        {str(index): index for index in indices},
        partial(_rows, mova, samples, max_new_tokens),
        batch=batch,
        name=samples.name,
    )
    left_out = [row[LEFT_OUT] for row in rows if LEFT_OUT in row]
    if len(left_out) == len(rows):
        why = f", such as: {left_out[0]}" if left_out else ""
        raise UserError(f"{samples.name} has no sample that can be asked{why}: give other data")
    return {"source": samples.name, "samples": len(samples), **summary(rows, mova.experts)}


def _rows(mova: Mova, samples: Samples, max_new_tokens: int, indices: Sequence[int]) -> list[Row]:
    """One of each sample: that of `_row`, or why it is left out."""
    found = [_opened(mova, samples, index) for index in indices]
    asked = iter(_masked(mova, [s for s in found if isinstance(s, Sample)], max_new_tokens))
    return [_row(s, next(asked)) if isinstance(s, Sample) else {LEFT_OUT: s} for s in found]


def _opened(mova: Mova, samples: Samples, index: int) -> Sample | str:
    """A sample that can be asked, or why it can't be."""
    try:
        sample = samples[index].opened()
        check_experts(sample, mova.experts)
    except BadSample as bad:
        return bad.reason
    if sample.image is None:
        return "without a picture"
    return "a routing instruction" if sample.routing else sample


def _masked(mova: Mova, samples: Sequence[Sample], max_new_tokens: int) -> list[Masked | str]:
    """The answers of each; of a question that can't be asked, such as one that is too long, the
    reason."""
    pairs: list[Any] = [(sample.image, sample.question) for sample in samples]
    try:
        return [*ask_masked(mova, pairs, max_new_tokens=max_new_tokens, batch=max(len(pairs), 1))]
    except UserError as error:
        if len(samples) == 1:
            return [str(error)]
    return [found for sample in samples for found in _masked(mova, [sample], max_new_tokens)]


def _row(sample: Sample, masked: Masked | str) -> Row:
    """What is kept: the gates as one {expert: weight} a block, the answers by their experts."""
    if isinstance(masked, str):
        return {LEFT_OUT: masked}
    told = masked.routed.to_dict()
    return {
        "id": sample.id,
        "domain": sample.domain,
        "annotated": None if sample.experts is None else list(sample.experts),
        "expected": sample.turns[1].text,
        "chosen": told["routing"]["experts"],
        "scores": told["routing"]["scores"],
        "gates": told["gates"],
        "answers": {key(names): text for names, text in masked.texts.items()},
    }
