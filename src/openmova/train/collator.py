"""Samples to the model's inputs, with labels on the answers and the routing of the annotation; and
those of a whole run, where the seed and the place say which one stands where.

Shapes: B batch, T tokens, t tokens of the gate's question, E experts of the pool.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.mixture import Mixture
from openmova.data.sample import Sample
from openmova.errors import UserError
from openmova.model.processing_mova import IGNORED, MovaProcessor
from openmova.routing import gate_text


@dataclass(frozen=True, kw_only=True)
class Row:
    """One sample as the model learns it."""

    name: str
    """Its source and id."""
    domain: str
    image: Image.Image | Tensor
    """A black pixel, where the sample has no picture."""
    input_ids: list[int]
    labels: list[int]
    """The ids of the answers; IGNORED elsewhere."""
    question: str
    """What the gate reads."""
    routing: tuple[bool, ...]
    pooled: bool
    """Whether the picture's tokens are those of the routing pass."""
    unannotated: bool
    """Whether nobody said which experts should see it: the recipe's default did."""
    weight: float
    """Of its loss."""


class Collator:
    """Makes rows of samples, and batches of rows.

    experts: the names of the pool. chosen: who sees a sample: "annotated", "all", "none", or names;
    unannotated: "all" or "none", for a sample without an annotation. dependency: how much of a
    sample's weight its dependency is. Raises UserError for names that are not in the pool, and for
    a tokenizer without a chat template.
    """

    def __init__(
        self,
        processor: MovaProcessor,
        experts: Sequence[str],
        *,
        chosen: str | Sequence[str] = "annotated",
        unannotated: str = "none",
        max_tokens: int = 2048,
        dependency: float = 0.0,
    ) -> None:
        if not processor.chat_template:
            raise UserError(
                "the model's tokenizer has no chat template, so nobody knows where an answer "
                "begins: give the checkpoint a chat_template.jinja"
            )
        self.processor = processor
        self.experts = tuple(experts)
        self.max_tokens = max_tokens
        self.dependency = dependency
        self.unannotated = self._names(unannotated, "unannotated")
        self.fixed = None if chosen == "annotated" else self._names(chosen, "experts")

    def row(self, sample: Sample, experts: Sequence[str] | None = None) -> Row:
        """One opened sample as the model learns it; experts: in place of those that the
        annotation or the recipe chose.

        Raises BadSample where no answer is left within max_tokens, and UserError for an annotation
        with an unknown expert.
        """
        ids, labels = self._ids_and_labels(sample)
        ids, labels = ids[: self.max_tokens], labels[: self.max_tokens]
        if all(label == IGNORED for label in labels[1:]):
            raise BadSample(
                f"no answer within {self.max_tokens} tokens", id=sample.id, source=sample.source
            )
        image = sample.image
        assert image is None or isinstance(image, Image.Image)
        routing, unannotated = self._routing(sample, experts)
        return Row(
            name=f"{sample.source}:{sample.id}",
            domain=sample.domain,
            image=torch.zeros(3, 1, 1, dtype=torch.uint8) if image is None else image,
            input_ids=ids,
            labels=labels,
            question=gate_text([turn.text for turn in sample.turns if turn.role == "user"]),
            routing=routing,
            pooled=sample.routing,
            unannotated=unannotated,
            weight=1 - self.dependency * (1 - max(sample.dependency or 0.0, 0.0)),
        )

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The model's inputs, and of its rows `names`, `domains`, `weights` and the names of
        `unannotated`.

        input_ids, attention_mask and labels [B, T], padded on the right; pixel_values uint8
        [B, 3, H, W], image_sizes [B, 2]; question_input_ids and its mask [B, t]; routing bool
        [B, E]; pooled bool [B].
        """
        processor = self.processor
        pad = processor.tokenizer.pad_token_id or 0  # nothing attends to it
        questions = processor.question_tokenizer(
            [row.question for row in rows],
            padding=True,
            truncation=True,
            max_length=processor.question_length,
            return_tensors="pt",
        )
        return {
            "names": [row.name for row in rows],
            "domains": [row.domain for row in rows],
            "weights": [row.weight for row in rows],
            "unannotated": [row.name for row in rows if row.unannotated],
            "input_ids": _pad([row.input_ids for row in rows], pad),
            "attention_mask": _pad([[1] * len(row.input_ids) for row in rows], 0),
            "labels": _pad([row.labels for row in rows], IGNORED),
            **processor.image_processor([row.image for row in rows], return_tensors="pt"),
            "question_input_ids": questions["input_ids"],
            "question_attention_mask": questions["attention_mask"],
            "routing": torch.tensor([row.routing for row in rows]),
            "pooled": torch.tensor([row.pooled for row in rows]),
        }

    def _ids_and_labels(self, sample: Sample) -> tuple[list[int], list[int]]:
        """The whole conversation's ids, and the same with IGNORED outside of the answers.

        An answer begins where the prompt before it ends, and ends with its end token: where the
        ids of the conversation up to there stop agreeing with those of the whole.
        """
        messages = self._messages(sample)
        render = partial(self.processor.render, add_generation_prompt=False)
        encode = partial(self.processor.prompt_ids, pooled=sample.routing)
        text = render(messages)
        ids = encode(text)
        labels = [IGNORED] * len(ids)
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.processor.render(messages[:number])
            through = render(messages[: number + 1]).rstrip()
            if not (text.startswith(through) and through.startswith(before)):
                raise UserError(
                    "the chat template writes an answered turn differently from an open one, so "
                    "nobody knows where an answer begins: give the checkpoint another template"
                )
            start, end = (_common_length(encode(part), ids) for part in (before, through))
            labels[start:end] = ids[start:end]
        return ids, labels

    def _messages(self, sample: Sample) -> list[dict[str, Any]]:
        """The conversation as the processor renders it, the picture in the first user's turn."""
        turns: list[dict[str, Any]] = [
            {"role": turn.role, "content": [{"type": "text", "text": turn.text}]}
            for turn in sample.turns
        ]
        first, *others = turns
        if sample.routing and sample.image is not None:
            first = self.processor.routing_turn(sample.question)
        elif sample.image is not None:
            first["content"].insert(0, {"type": "image"})
        return [first, *others]

    def _routing(
        self, sample: Sample, experts: Sequence[str] | None
    ) -> tuple[tuple[bool, ...], bool]:
        """Who sees the sample, and whether nobody but the recipe's default said so."""
        unannotated = False
        if sample.routing or sample.image is None:
            chosen: Sequence[str] = ()  # the routing pass sees the base only
        elif experts is not None:
            chosen = experts
        elif self.fixed is not None:
            chosen = self.fixed
        elif sample.experts is None:
            chosen, unannotated = self.unannotated, True
        else:
            chosen = sample.experts
            self._check(chosen, f"the annotation of sample {sample.id!r} ({sample.source})")
        return tuple(name in chosen for name in self.experts), unannotated

    def _names(self, choice: str | Sequence[str], where: str) -> tuple[str, ...]:
        if isinstance(choice, str):
            return self.experts if choice == "all" else ()
        self._check(choice, f"the recipe's {where}")
        return tuple(choice)

    def _check(self, names: Sequence[str], where: str) -> None:
        if unknown := [name for name in names if name not in self.experts]:
            raise UserError(
                f"{where} names {', '.join(unknown)}, but the model's experts are "
                f"{', '.join(self.experts)}: rename them, or take another model"
            )


class TrainDataset(Dataset[Row]):
    """The samples of a run of any length; bad ones are replaced and noted.

    random_experts: the share of them that a random subset of the pool sees.
    """

    def __init__(
        self,
        mixture: Mixture,
        collator: Collator,
        bad: BadSamples,
        *,
        random_experts: float = 0.0,
    ) -> None:
        self.mixture = mixture
        self.collator = collator
        self.bad = bad
        self.random_experts = random_experts

    def __getitem__(self, index: int) -> Row:
        epoch, place = divmod(index, len(self.mixture))
        experts = random_subset(
            self.collator.experts, share=self.random_experts, seed=self.mixture.seed, place=index
        )
        row: Row = self.mixture.sample(
            epoch, place, self.bad, lambda sample: self.collator.row(sample, experts)
        )
        return row


def random_subset(
    names: Sequence[str], *, share: float, seed: int, place: int
) -> tuple[str, ...] | None:
    """The experts of `names` that see the sample at this place of a run: a third of these samples
    is seen by none, a third by all, and for a third a coin is tossed for each expert.

    So one model learns to answer under any routing, and takes the place of all the probes of
    section 3.2 when routing data is made. A pure function of its arguments; None, where the
    annotation decides: for all but a share.
    """
    rng = random.Random(f"experts-{seed}-{place}")
    if rng.random() >= share:
        return None
    kind = rng.randrange(3)
    if kind < 2:
        return tuple(names) if kind else ()
    return tuple(name for name in names if rng.random() < 0.5)


def _common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids two sequences have in common at the beginning."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))))


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """[B, T], padded on the right."""
    return pad_sequence([torch.tensor(r) for r in rows], batch_first=True, padding_value=value)
