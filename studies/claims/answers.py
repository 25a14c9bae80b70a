"""Asks the variants: nano's router chooses, a variant makes the image tokens, nano's language model
answers. What an earlier start asked is in the journal, and the model is loaded when first needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.checkpoints.nano_spec import EXPERTS, adapter_config
from openmova.errors import UserError
from openmova.evaluate.suites import Load
from openmova.inference.answer import matches
from openmova.inference.mova import Mova
from openmova.runtime.files import checksum
from openmova.runtime.run_store import Journal, Row
from studies.claims.encoders import FILE, read_encoders
from studies.claims.questions import Question
from studies.claims.training import load_variant, variant_file
from studies.toy.align import Encoded, GateText, encode, word_embeddings

MOST_TOKENS = 8
"""Of an answer; the longest right one has three."""
Asked = tuple[int, tuple[str, ...]]
"""The number of a question, and the experts that are chosen for it."""


class Asker:
    """Answers the suite's questions through any variant.

    load: gives the model whose router and language model are used. folder: of the variants.
    """

    def __init__(
        self,
        load: Load,
        folder: Path,
        asked: Sequence[Question],
        journal: Journal,
        *,
        batch: int,
    ) -> None:
        self.load, self.folder, self.asked = load, folder, list(asked)
        self.journal, self.batch = journal, batch

    @cached_property
    def mova(self) -> Mova:
        """The model under evaluation. Raises UserError if it is no nano."""
        mova = self.load(None)
        width = adapter_config().output_width
        if mova.experts != EXPERTS or mova.model.config.adapter.output_width != width:
            raise UserError(
                "the suite mini asks through visual sides of nano: give --model nano, or a nano "
                "that recipes/nano.sh made"
            )
        return mova

    @cached_property
    def encoded(self) -> Encoded:
        """The images of all questions through the variants' frozen encoders."""
        base, experts = read_encoders(self.folder / FILE)
        return encode([question.sample for question in self.asked], base, experts)

    @cached_property
    def gate_text(self) -> Tensor:
        """[questions, D]"""
        model, processor = self.mova.model.model, self.mova.processor
        texts = GateText(processor.question_tokenizer, model.gate_text_encoder)
        return texts([question.text for question in self.asked])

    @cached_property
    def words(self) -> Tensor:
        """What the alignment aims at: the words' embeddings in the language model, [words, D]."""
        embeddings = self.mova.model.get_input_embeddings().weight.detach()
        return word_embeddings(self.mova.processor.tokenizer, embeddings.float().cpu())

    def routed(self, grid: tuple[int, int] | None = None) -> list[Row]:
        """Whom nano's router chooses for every question, and its scores.

        grid: of the image tokens that the router sees, if it is not nano's own.
        """
        name = "routing" if grid is None else f"routing-{grid[0]}x{grid[1]}"
        items = {f"{name}/{question.key}": question for question in self.asked}
        return self.journal.complete(
            items, partial(self._routed, grid), batch=self.batch, name=name
        )

    def answered(
        self, variant: str, seed: int, routings: Sequence[tuple[str, ...]], name: str
    ) -> list[Row]:
        """What a variant answers to every question with these experts; name: of the bar.

        The same question with the same experts is asked once, whichever rows need it.
        """
        files = (self.folder / FILE, variant_file(self.folder, variant, seed))
        sums = "".join(checksum(file) for file in files)
        prefix = f"{variant}-{seed}@{hashlib.sha256(sums.encode()).hexdigest()[:8]}"
        items = {
            f"{prefix}/{question.key}/{'+'.join(routing) or 'none'}": (number, routing)
            for number, (question, routing) in enumerate(zip(self.asked, routings, strict=True))
        }
        model = cache(partial(load_variant, self.folder, variant, seed))
        return self.journal.complete(
            items, lambda asked: self._answered(model(), asked), batch=self.batch, name=name
        )

    def _routed(self, grid: tuple[int, int] | None, asked: list[Question]) -> Iterator[Row]:
        mova = self.mova
        with _grid(mova, grid):
            inputs = mova.processor(
                images=[question.sample.image for question in asked],
                questions=[question.text for question in asked],
            ).to(mova.model.device)
            context = mova.model.encode_images(inputs)
        for question, routing in zip(asked, context.routing, strict=True):
            yield {
                "question": question.text,
                "needed": list(question.fact.experts),
                "chosen": list(routing.experts),
                "scores": {name: round(score, 4) for name, score in routing.scores.items()},
            }

    @torch.no_grad()
    def _answered(self, model: nn.Module, asked: list[Asked]) -> Iterator[Row]:
        mova = self.mova
        rows = torch.tensor([number for number, _ in asked])
        routing = torch.tensor([[name in chosen for name in EXPERTS] for _, chosen in asked])
        tokens = nearest_words(model(self.encoded, rows, routing, self.gate_text[rows]), self.words)
        turns = [{"type": "text", "text": self.asked[number].text} for number, _ in asked]
        prompts = [
            mova.processor.render([{"role": "user", "content": [{"type": "image"}, turn]}])
            for turn in turns
        ]
        batch = mova.processor.tokenizer.pad(
            {"input_ids": [mova.processor.prompt_ids(prompt) for prompt in prompts]},
            padding_side="left",
            return_tensors="pt",
        ).to(mova.model.device)
        written = mova.model.generate(
            batch["input_ids"],
            attention_mask=batch["attention_mask"],
            image_tokens=tokens.to(mova.model.device),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            num_beams=1,
        )[:, batch["input_ids"].shape[1] :]
        texts = mova.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
        for (number, _), text in zip(asked, texts, strict=True):
            expected = self.asked[number].fact.answer
            yield {
                "question": self.asked[number].text,
                "expected": expected,
                "answer": text.strip(),
                "right": matches(text, expected),
            }


def nearest_words(tokens: Tensor, words: Tensor) -> Tensor:
    """Every token [B, N, D] as the word [words, D] that it is nearest to by direction.

    So the language model reads pages of its own words from every side, and is not better used to
    one side's tokens, or to the lengths that tokens have only after a long training.
    """
    cosines = F.normalize(tokens, dim=-1) @ F.normalize(words, dim=-1).T  # [B, N, words]
    return words[cosines.argmax(dim=-1)]


@contextmanager
def _grid(mova: Mova, grid: tuple[int, int] | None) -> Iterator[None]:
    """The router sees its picture on another grid, inside."""
    if grid is None:
        yield
        return
    processor, config = mova.processor, mova.model.config
    before = processor.routing_tokens, config.routing
    processor.routing_tokens = grid[0] * grid[1]
    config.routing = replace(config.routing, grid=grid)
    try:
        yield
    finally:
        processor.routing_tokens, config.routing = before
