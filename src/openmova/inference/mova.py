"""Mova: a picture and a question in, an answer with its routing and gates out.

The Python surface over model and processor. Shapes: B batch, T tokens.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Self

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import AutoProcessor, BatchFeature

from openmova.checkpoints.loading import DAMAGED, check_options, damaged, load_model
from openmova.checkpoints.locate import checkpoint_folder
from openmova.errors import UserError
from openmova.images.opening import ImageSource
from openmova.inference.answer import Answer, Look
from openmova.inference.fast_linear import (
    multiplies_in_bfloat16,
    multiply_in_bfloat16,
    quicken_single_rows,
)
from openmova.inference.feature_cache import FeatureMemory, ImageFeatures, PromptStart
from openmova.inference.limits import GenerationLimits, check_question
from openmova.inference.sampling import Sampler, Sampling
from openmova.inference.session import Message, Picture, Session, pictures_in, user_turn
from openmova.inference.shared_decode import SharedDecode
from openmova.inference.text_stream import StopRules, TextStream
from openmova.inference.timing import StageTimer
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from openmova.model.splicing import tokens_of_rows
from openmova.routing.selection import Experts, ExpertSelection


class Mova:
    """A model and its processor, ready to be asked."""

    def __init__(self, model: MovaForConditionalGeneration, processor: MovaProcessor) -> None:
        self.model = model.eval()
        for part in (model.model.language_model, model.lm_head):
            quicken_single_rows(part)
        self.processor = processor
        self._start = PromptStart()
        self.model.tokenizer = processor.tokenizer
        self.model.processor = processor

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

        device: default the GPU where there is one; dtype: default as the checkpoint says, with
        products in bfloat16 where the processor has them (`fast_linear`).
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
        mova = cls(model, processor)
        is_quantized = getattr(model, "is_quantized", False)
        if dtype is None and not is_quantized and multiplies_in_bfloat16():
            for part in (model.model.language_model, model.model.adapter):
                multiply_in_bfloat16(part)
        return mova

    @property
    def experts(self) -> tuple[str, ...]:
        """The names of the pool, in the order of their letters."""
        return tuple(self.model.config.expert_names)

    @property
    def end(self) -> frozenset[int]:
        """The tokens that end an answer."""
        end = self.model.generation_config.eos_token_id
        return frozenset([end] if isinstance(end, int) else end or ())

    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        budget: str | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Answer:
        """Answer one question about one picture, greedily.

        experts: None lets the router choose; "all", "none" or names replace it. max_experts: at
        most so many of the router's choice, the best scored. budget: what its choice may cost
        together, "0.5s" or "20G" operations, of which the best set is taken; what did not run for
        it is in `routing.left_out`. The answer ends at its own end, after max_new_tokens, or (cut
        short) after max_seconds.
        """
        limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        selection = ExpertSelection.of(experts, max_experts, self.experts, budget)
        question = check_question(question)
        timer = StageTimer(self.model.device)
        turn = user_turn(question, [Picture.of(image, self.processor)])
        return self.answer([[turn]], selection, limits, timer)[0]

    def ask_batch(
        self,
        items: Iterable[tuple[ImageSource, str]],
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        budget: str | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
        batch_size: int = 8,
    ) -> list[Answer]:
        """Answer (picture, question) pairs, in order; each as if it were asked alone.

        batch_size: how many run together; max_seconds counts for each such batch. The other
        options as for `ask`.
        """
        asked = [(image, check_question(question)) for image, question in items]
        limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        selection = ExpertSelection.of(experts, max_experts, self.experts, budget)
        answers: list[Answer] = []
        for start in range(0, len(asked), batch_size):
            timer = StageTimer(self.model.device)
            turns = [
                [user_turn(question, [Picture.of(image, self.processor)])]
                for image, question in asked[start : start + batch_size]
            ]
            answers += self.answer(turns, selection, limits, timer)
        return answers

    def stream(
        self,
        image: ImageSource,
        question: str,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
        budget: str | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Iterator[str]:
        """The answer in pieces, as they are written; together they are the text that `ask` gives.

        Options as for `ask`. Mistakes are raised by the call itself, not by the first piece.
        Stops the model when the iterator is closed.
        """
        limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        selection = ExpertSelection.of(experts, max_experts, self.experts, budget)
        question = check_question(question)
        timer = StageTimer(self.model.device)
        turn = user_turn(question, [Picture.of(image, self.processor)])
        inputs = self.prepare([[turn]], [selection], limits)
        memory = self.memory([ImageFeatures()])
        context = self.model.encode_images(inputs, selections=[selection], memory=memory)
        return self._pieces(inputs, context.tokens, limits, timer)

    def chat(self, system: str | None = None) -> "Chat":
        """A conversation that remembers what was said. system: what the model is told before it."""
        return Chat(self, system)

    def prepare(
        self,
        conversations: Sequence[Sequence[Message]],
        selections: Sequence[ExpertSelection],
        limits: GenerationLimits,
    ) -> BatchFeature:
        """The model's inputs for a batch of conversations, on its device: one processor call.

        Of the visual ones a row is a picture, in order.
        """
        processor = self.processor
        inputs = processor(
            images=[[p.image for p in pictures_in(messages)] for messages in conversations],
            text=[self.render(messages) for messages in conversations],
            questions=[processor.picture_questions(messages) for messages in conversations],
            with_routing=any(selection.fixed is None for selection in selections),
            add_special_tokens=False,
            return_tensors="pt",
        )
        self.check_room(inputs["input_ids"].shape[1], limits)
        return inputs.to(self.model.device)

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt of a conversation. Raises UserError if the chat template does not take it."""
        try:
            return self.processor.render(messages)
        except TemplateError as error:
            raise UserError(f"the model's chat template takes no such messages: {error}") from error

    def memory(self, features: Sequence[ImageFeatures]) -> FeatureMemory:
        """Runs what is not known of these pictures; of their prompts, what all share is known."""
        return FeatureMemory(self.model, features, self._start)

    def look(
        self,
        inputs: BatchFeature,
        pictures: Sequence[int],
        selections: Sequence[ExpertSelection],
        memory: FeatureMemory,
        timer: StageTimer,
    ) -> tuple[Tensor | None, list[list[Look]]]:
        """The image tokens [B, M, D] of prepared conversations, and how each picture was looked at.

        pictures: how many each conversation has; selections: of each conversation.
        """
        if not sum(pictures):
            return None, [[] for _ in pictures]
        each = [one for one, count in zip(selections, pictures, strict=True) for _ in range(count)]
        context = self.model.encode_images(inputs, selections=each, memory=memory, timer=timer)
        looks = map(Look, context.routing, context.row_gates())
        return (
            tokens_of_rows(context.tokens, pictures),
            [list(islice(looks, count)) for count in pictures],
        )

    def check_room(self, tokens: int, limits: GenerationLimits) -> None:
        """Raises UserError if a prompt of so many tokens leaves no room for the answer."""
        room = self.model.config.text_config.max_position_embeddings - limits.max_new_tokens
        if tokens > room:
            raise UserError(
                f"the prompt takes {tokens} tokens and the model has room for {max(room, 0)} "
                "beside the answer: shorten the question, start a new chat, or lower "
                "max_new_tokens"
            )

    def answer(
        self,
        conversations: Sequence[Sequence[Message]],
        selection: ExpertSelection,
        limits: GenerationLimits,
        timer: StageTimer,
        features: Sequence[ImageFeatures] = (),
    ) -> list[Answer]:
        """One answer to each conversation, greedy. features: of all their pictures, in order, if
        any are known."""
        inputs = self.prepare(conversations, [selection] * len(conversations), limits)
        timer.seconds["prepare"] = timer.total()
        shown = [picture for messages in conversations for picture in pictures_in(messages)]
        memory = self.memory(features or [ImageFeatures() for _ in shown])
        return self.answer_inputs(inputs, conversations, selection, limits, timer, memory)

    def answer_inputs(
        self,
        inputs: BatchFeature,
        conversations: Sequence[Sequence[Message]],
        selection: ExpertSelection,
        limits: GenerationLimits,
        timer: StageTimer,
        memory: FeatureMemory,
    ) -> list[Answer]:
        """The same of what `prepare` has made. memory: what is known of the pictures."""
        selections = [selection] * len(conversations)
        shown = [pictures_in(messages) for messages in conversations]
        tokens, looks = self.look(inputs, list(map(len, shown)), selections, memory, timer)
        rules = self._stop_rules(limits, timer)
        tokenizer = self.processor.tokenizer
        texts = [TextStream(tokenizer, Sampler(Sampling()), rules) for _ in conversations]
        with timer("answer"):
            decode = SharedDecode(self.model)
            decode.join([[t] for t in texts], inputs["input_ids"], inputs["attention_mask"], tokens)
            decode.finish()
        timings = {**timer.seconds, "total": timer.total()}
        return [
            Answer.of(
                text.text(),
                pictures[-1].size if pictures else None,
                self.model.config,
                log_probs=text.log_probs,
                looks=looked,
                timings=dict(timings),
            )
            for text, pictures, looked in zip(texts, shown, looks, strict=True)
        ]

    def _stop_rules(self, limits: GenerationLimits, timer: StageTimer) -> StopRules:
        return StopRules(
            tokens=self.end,
            max_new_tokens=limits.max_new_tokens,
            deadline=limits.deadline(timer.started),
        )

    def _pieces(
        self, inputs: BatchFeature, tokens: Tensor, limits: GenerationLimits, timer: StageTimer
    ) -> Iterator[str]:
        rules = self._stop_rules(limits, timer)
        text = TextStream(self.processor.tokenizer, Sampler(Sampling()), rules, stream=True)
        decode = SharedDecode(self.model)
        decode.join([[text]], inputs["input_ids"], inputs["attention_mask"], tokens)
        while True:
            if piece := text.piece():
                yield piece
            if text.finish is not None:
                return
            decode.step()


class Chat:
    """A conversation, about pictures or about none; every answer sees what was said before.

    What the encoders made of the pictures is kept for the next question.
    """

    def __init__(self, mova: Mova, system: str | None = None) -> None:
        self.session = Session(system)
        self._mova = mova
        self._system = system
        self._features: list[ImageFeatures] = []

    def ask(
        self,
        question: str,
        image: ImageSource | None = None,
        *,
        more: Sequence[ImageSource] = (),
        experts: Experts = None,
        max_experts: int | None = None,
        budget: str | None = None,
        max_new_tokens: int = 128,
        max_seconds: float | None = None,
    ) -> Answer:
        """Answer the next question; a picture starts a new conversation. Options as `Mova.ask`.

        more: further pictures, which this question shows. Each picture is looked at for the last
        question before other ones were shown.
        """
        mova, session = self._mova, Session(self._system)
        session.messages = self.session.messages
        limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=max_seconds)
        selection = ExpertSelection.of(experts, max_experts, mova.experts, budget)
        timer = StageTimer(mova.model.device)
        if image is not None:
            session.open(Picture.of(image, mova.processor))
        session.show(*(Picture.of(one, mova.processor) for one in more))
        known = self._features if session.messages else []
        messages = session.ask(question)
        new = len(pictures_in(messages)) - len(known)
        features = [*known, *(ImageFeatures() for _ in range(new))]
        (answer,) = mova.answer([messages], selection, limits, timer, features)
        session.add(messages, answer.text)
        self.session, self._features = session, features
        return answer
