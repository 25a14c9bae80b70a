"""Mova: a picture and a question in, an answer with its routing and gates out.

The Python surface over model and processor. Shapes: B batch, T tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Event, Thread
from typing import Any, Self

import torch
from torch import Tensor
from transformers import (
    AutoProcessor,
    BatchFeature,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from openmova.checkpoints.loading import DAMAGED, check_options, damaged, load_model
from openmova.checkpoints.locate import checkpoint_folder
from openmova.errors import UserError
from openmova.images.boxes import Size
from openmova.images.opening import ImageSource, load_image
from openmova.inference.answer import Answer
from openmova.inference.encoding import (
    Clock,
    Message,
    Seen,
    answer_from,
    assistant_turn,
    check_room,
    look,
    prepare,
    user_turn,
)
from openmova.inference.feature_cache import Known, Remembering
from openmova.inference.questions import check_question
from openmova.inference.request import Choice, Experts, Limits
from openmova.inference.single_row import quicken_single_rows
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor


class Mova:
    """A model and its processor, ready to be asked.

    Raises UserError wherever the picture, the question, an expert's name or the model does not
    do.
    """

    def __init__(self, model: MovaForConditionalGeneration, processor: MovaProcessor) -> None:
        self.model = model.eval()
        for part in (model.model.language_model, model.lm_head):
            quicken_single_rows(part)
        self.processor = processor
        self.model.tokenizer = processor.tokenizer

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] = "nano",
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        quantization: str | None = None,
        offload: bool = False,
        device_map: str | Mapping[str, Any] | None = None,
        yes: bool = False,
    ) -> Self:
        """Load "nano", the folder of a checkpoint, or a repository of the hub.

        device: default the GPU where there is one; dtype: default as the checkpoint says.
        quantization: the language model in "8bit", "4bit" (bitsandbytes) or "torchao-8bit".
        offload: experts are on the device only while they run. device_map: "auto" spreads the
        model over GPUs and host memory, in place of a device. yes: a repository of the released
        MoVA is downloaded and converted without asking.
        """
        check_options(device=device, quantization=quantization, device_map=device_map)
        folder = checkpoint_folder(source, yes=yes)
        model = load_model(
            folder,
            device=device,
            dtype=dtype,
            quantization=quantization,
            offload=offload,
            device_map=device_map,
        )
        try:
            processor = AutoProcessor.from_pretrained(folder)
        except DAMAGED as error:
            raise damaged(folder, error) from error
        return cls(model, processor)

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the pool, in the order of their letters."""
        return tuple(self.model.config.expert_names)

    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Answer:
        """Answer one question about one picture, greedily.

        experts: None lets the router choose; "all", "none" or names replace it. max_experts: at
        most so many of the router's choice, the best scored. The answer ends at its own end, after
        max_new_tokens, or (cut short) after max_seconds.
        """
        (answer,) = self.ask_batch(
            [(image, question)],
            experts=experts,
            max_experts=max_experts,
            max_new_tokens=max_new_tokens,
            max_seconds=max_seconds,
        )
        return answer

    def ask_batch(
        self,
        items: Iterable[tuple[ImageSource, str]],
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
        batch_size: int = 8,
    ) -> list[Answer]:
        """Answer (picture, question) pairs, in order; each as if it were asked alone.

        batch_size: how many run together; max_seconds counts for each such batch. The other
        options as for `ask`.
        """
        pairs = [(image, check_question(question)) for image, question in items]
        limits = Limits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        choice = Choice.of(experts, max_experts, self.experts)
        answers: list[Answer] = []
        for start in range(0, len(pairs), batch_size):
            clock = Clock(self.model.device)
            with clock("prepare"):
                part = [(load_image(i), q) for i, q in pairs[start : start + batch_size]]
                conversations = [[user_turn(question, picture)] for picture, question in part]
                inputs = self._inputs(conversations, choice, limits)
            sizes = [picture.size for picture, _ in part]
            answers += self._answer(inputs, sizes, choice, limits, clock)
        return answers

    def stream(
        self,
        image: ImageSource,
        question: str,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Iterator[str]:
        """The answer in pieces, as they are written; together they are the text that `ask` gives.

        Options as for `ask`. Mistakes are raised by the call itself, not by the first piece.
        Stops the model when the iterator is closed.
        """
        limits = Limits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        choice = Choice.of(experts, max_experts, self.experts)
        turn = user_turn(check_question(question), load_image(image))
        clock = Clock(self.model.device)
        inputs = self._inputs([[turn]], choice, limits)
        seen = self._look(inputs, choice, clock)
        return self._pieces(inputs, seen, limits, clock)

    def chat(self) -> Chat:
        """A conversation about a picture that remembers what was said."""
        return Chat(self)

    def _inputs(
        self, conversations: list[list[Message]], choice: Choice, limits: Limits
    ) -> BatchFeature:
        """One processor call; the prompts must leave room for the answer."""
        inputs = prepare(self.model, self.processor, conversations, [choice] * len(conversations))
        check_room(self.model, inputs["input_ids"].shape[1], limits)
        return inputs

    def _look(
        self, inputs: BatchFeature, choice: Choice, clock: Clock, known: Known | None = None
    ) -> Seen:
        """known: of the picture, if there is one row."""
        choices = [choice] * len(inputs["input_ids"])
        if known is None:
            return look(self.model, inputs, choices, clock)
        remembering = Remembering(self.model, [known])
        return look(self.model, inputs, choices, clock, remembering, remembering.route)

    def _generate(
        self, inputs: BatchFeature, seen: Seen, limits: Limits, clock: Clock, **options: Any
    ) -> Tensor:
        """The answers' new ids [B, T], greedy, ending at the end token."""
        if limits.max_seconds is not None:
            options["max_time"] = max(limits.max_seconds - clock.total(), 0.0)
        ids = inputs["input_ids"]
        generated: Tensor = self.model.generate(
            ids,
            attention_mask=inputs["attention_mask"],
            image_tokens=seen.tokens,
            max_new_tokens=limits.max_new_tokens,
            do_sample=False,
            num_beams=1,
            **options,
        )
        return generated[:, ids.shape[1] :]

    def _answer(
        self,
        inputs: BatchFeature,
        sizes: Sequence[Size],
        choice: Choice,
        limits: Limits,
        clock: Clock,
        known: Known | None = None,
    ) -> list[Answer]:
        """One answer a row; sizes: of the pictures as they were given; known: as `_look`."""
        seen = self._look(inputs, choice, clock, known)
        with clock("answer"):
            new_ids = self._generate(inputs, seen, limits, clock)
            texts = self.processor.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
        timings = {**clock.seconds, "total": clock.total()}
        return [
            answer_from(self.model, text.strip(), size, routing, gates, dict(timings))
            for text, size, routing, gates in zip(
                texts, sizes, seen.routing, seen.gates, strict=True
            )
        ]

    def _pieces(
        self, inputs: BatchFeature, seen: Seen, limits: Limits, clock: Clock
    ) -> Iterator[str]:
        """Generate in a thread; hand over its pieces, and its error if there was one."""
        streamer = TextIteratorStreamer(
            self.processor.tokenizer, skip_prompt=True, skip_special_tokens=True
        )
        stop = _Stop()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                self._generate(
                    inputs,
                    seen,
                    limits,
                    clock,
                    streamer=streamer,
                    stopping_criteria=StoppingCriteriaList([stop]),
                )
            except BaseException as error:  # noqa: BLE001 - raised again by the reader
                failures.append(error)
            finally:
                streamer.end()

        thread = Thread(target=run, daemon=True)
        thread.start()
        try:
            yield from _stripped(streamer)
        finally:
            stop.asked.set()
            thread.join()
        if failures:
            raise failures[0]


class Chat:
    """A conversation about one picture; every answer sees what was said before.

    What the encoders made of the picture is kept for its next question.
    """

    def __init__(self, mova: Mova) -> None:
        self._mova = mova
        self.messages: list[Message] = []
        self._size: Size = (0, 0)  # of the picture talked about
        self._known = Known()

    def ask(
        self,
        question: str,
        image: ImageSource | None = None,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Answer:
        """Answer the next question; a picture starts a new conversation. Options as `Mova.ask`."""
        if image is None and not self.messages:
            raise UserError("a chat starts with a picture: give image= with the first question")
        mova = self._mova
        limits = Limits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        choice = Choice.of(experts, max_experts, mova.experts)
        question = check_question(question)
        clock = Clock(mova.model.device)
        with clock("prepare"):
            before, size, known = self.messages, self._size, self._known
            picture = None if image is None else load_image(image)
            if picture is not None:
                before, size, known = [], picture.size, Known()
            messages = [*before, user_turn(question, picture)]
            inputs = mova._inputs([messages], choice, limits)
        (answer,) = mova._answer(inputs, [size], choice, limits, clock, known)
        self.messages = [*messages, assistant_turn(answer.text)]
        self._size, self._known = size, known
        return answer


class _Stop(StoppingCriteria):
    """Ends generation when the reader of a stream has gone."""

    def __init__(self) -> None:
        self.asked = Event()

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        return torch.full((len(input_ids),), self.asked.is_set(), device=input_ids.device)


def _stripped(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without white space at the two ends of the whole; empty pieces are left out."""
    begun, held = False, ""
    for piece in pieces:
        text = held + piece if begun else piece.lstrip()
        kept = text.rstrip()
        if kept:
            yield kept
            begun = True
        held = text[len(kept) :]
