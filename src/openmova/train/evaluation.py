"""Evaluation while a model learns: its loss on held-out samples, and its answers by both passes.

The loss is that of training, with the experts of the annotation. For the share of exact answers the
model is asked as a user would ask it: the router chooses, only these experts run, it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from accelerate.utils import gather_object

from openmova.data.bad_samples import BadSamples
from openmova.data.mixture import Mixture
from openmova.data.sample import Sample
from openmova.inference.answer import matches
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.routing.selection import ExpertSelection
from openmova.train.answer_loss import answer_loss
from openmova.train.collator import Collator, Row
from openmova.train.domain_statistics import NO_DOMAIN

LONGEST = 32
"""Tokens of an answer that is worth asking for: longer ones are hardly ever exact."""


class SampleResult(NamedTuple):
    """Of one sample; None, where it was not asked, or nobody knows the right routing."""

    domain: str
    tokens: int
    loss: float
    exact: bool | None
    routed: bool | None


UNASKED = (None, None)


class Evaluation:
    """The first `samples` of a mixture, the same each time, `batch` of them at once."""

    def __init__(
        self, mixture: Mixture, collator: Collator, *, samples: int, batch: int, bad: BadSamples
    ) -> None:
        self.mixture = mixture
        self.collator = collator
        self.count = min(samples, len(mixture))
        self.batch = batch
        self.bad = bad

    @torch.no_grad()
    def __call__(
        self, model: MovaForConditionalGeneration, part: int, parts: int
    ) -> dict[str, float]:
        """What this process, one of as many as there are parts, finds together with the others.

        eval_loss, of the answers' tokens; eval_exact, the share of the questions answered exactly;
        eval_routing, the share routed as annotated; each also by domain, as eval_loss/DOMAIN.
        """
        found: list[SampleResult] = []
        model.eval()
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):  # training goes on as without an evaluation
            mine = range(part, self.count, parts)
            for start in range(0, len(mine), self.batch):
                found += self._results(model, mine[start : start + self.batch])
        return _summary(gather_object(found) if parts > 1 else found)

    def _results(
        self, model: MovaForConditionalGeneration, places: Sequence[int]
    ) -> list[SampleResult]:
        rows = [self._open(place) for place in places]
        loss = answer_loss(model, self.collator([row for _, row in rows]))
        tokens, totals = loss.answered.sum(dim=1), loss.losses.sum(dim=1)
        asked = self._answers(model, rows)
        return [
            SampleResult(s.domain or NO_DOMAIN, int(n), float(total), *asked.get(place, UNASKED))
            for place, ((s, _), n, total) in enumerate(zip(rows, tokens, totals, strict=True))
        ]

    def _open(self, place: int) -> tuple[Sample, Row]:
        opened: tuple[Sample, Row] = self.mixture.sample(
            0, place, self.bad, lambda sample: (sample, self.collator.row(sample))
        )
        return opened

    def _answers(
        self, model: MovaForConditionalGeneration, rows: Sequence[tuple[Sample, Row]]
    ) -> dict[int, tuple[bool | None, bool | None]]:
        """By the place of a question about a picture that has a short answer, of a conversation the
        first: whether the answer is exact, and whether it was routed as annotated.

        Where the recipe chose the experts, they are these, and there is no routing to look at.
        """
        processor = self.collator.processor
        lengths = {
            place: len(processor.tokenizer(s.turns[1].text, add_special_tokens=False)["input_ids"])
            for place, (s, _) in enumerate(rows)
            if s.image is not None and not s.routing
        }
        places = [place for place, length in lengths.items() if length <= LONGEST]
        if not places:
            return {}
        asked = [rows[place] for place in places]
        samples = [sample for sample, _ in asked]
        inputs = processor(
            images=[[sample.image] for sample in samples],
            questions=[sample.question for sample in samples],
            return_tensors="pt",
        ).to(model.device)
        fixed = self.collator.fixed is not None
        selections = [ExpertSelection(fixed=row.routing) for _, row in asked] if fixed else None
        context = model.encode_images(inputs, selections=selections)
        annotated = torch.tensor([row.routing for _, row in asked])
        same = (context.chosen.cpu() == annotated).all(dim=1).tolist()
        routed = [
            None if fixed or sample.experts is None else is_same
            for sample, is_same in zip(samples, same, strict=True)
        ]
        prompt = inputs["input_ids"]  # [B, T]
        ids = model.generate(
            prompt,
            attention_mask=inputs["attention_mask"],
            image_tokens=context.tokens,
            do_sample=False,
            # A few more, so that an answer that goes on shows.
            max_new_tokens=max(lengths[place] for place in places) + 4,
        )
        texts = processor.tokenizer.batch_decode(
            ids[:, prompt.shape[1] :], skip_special_tokens=True
        )
        exact = [matches(text, s.turns[1].text) for text, s in zip(texts, samples, strict=True)]
        return dict(zip(places, zip(exact, routed, strict=True), strict=True))


def _summary(found: Sequence[SampleResult]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for domain in (None, *sorted({f.domain for f in found})):
        some = [f for f in found if domain in (None, f.domain)]
        end = "" if domain is None else f"/{domain}"
        numbers[f"eval_loss{end}"] = sum(f.loss for f in some) / sum(f.tokens for f in some)
        for name, outcomes in (
            ("exact", [f.exact for f in some if f.exact is not None]),
            ("routing", [f.routed for f in some if f.routed is not None]),
        ):
            if outcomes:
                numbers[f"eval_{name}{end}"] = sum(outcomes) / len(outcomes)
    return {name: round(number, 6) for name, number in numbers.items()}
