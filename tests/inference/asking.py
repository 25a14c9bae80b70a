"""How the tests hand questions to an engine, and what they expect from `Mova` for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

from PIL import Image

from openmova import Mova
from openmova.inference.engine import Engine, Event, Failure, Piece, Question, Reply, Ticket
from openmova.inference.limits import GenerationLimits
from openmova.inference.sampling import Sampling
from openmova.inference.session import Picture, user_turn
from openmova.model.processing_mova import MovaProcessor
from openmova.routing.selection import ExpertSelection
from tiny import tiny_model, tiny_question_tokenizer, tiny_tokenizer

SECONDS = 60
CALIBRATION = {"weights": {"mean": 1.0, "least": 0.5, "routing": 1.0}, "bias": 0.5}


def tiny_mova(**changes: Any) -> Mova:
    model = tiny_model(**changes)
    processor = MovaProcessor.from_config(
        model.config, tiny_tokenizer(), tiny_question_tokenizer(), max_side=64
    )
    return Mova(model, processor)


def saved(mova: Mova, folder: Path) -> str:
    """The folder, with the model as a checkpoint."""
    mova.model.save_pretrained(folder)
    mova.processor.save_pretrained(folder)
    return str(folder)


def question(
    mova: Mova,
    picture: Image.Image,
    text: str = "what is this ?",
    *,
    experts: Any = None,
    max_experts: int | None = None,
    max_new_tokens: int = 12,
    max_seconds: float | None = None,
    temperature: float = 0.0,
    seed: int | None = None,
    **options: Any,
) -> Question:
    return Question(
        messages=[user_turn(text, [Picture.of(picture, mova.processor)])],
        selection=ExpertSelection.of(experts, max_experts, mova.experts),
        limits=GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=max_seconds),
        sampling=Sampling(temperature=temperature, seed=seed),
        **options,
    )


class Asked:
    """A question that was handed in, and its events."""

    def __init__(self, engine: Engine, question: Question) -> None:
        self.events: Queue[Event] = Queue()
        self.answers = question.answers
        self.ticket: Ticket = engine.submit(question, self.events.put)

    def until(self, kind: type) -> Event:
        while not isinstance(event := self.events.get(timeout=SECONDS), kind):
            pass
        return event

    def replies(self) -> tuple[list[Reply], list[Piece]]:
        """All that came, until the last answer; raises the error if there was one."""
        replies: list[Reply] = []
        pieces: list[Piece] = []
        while len(replies) < self.answers:
            event = self.events.get(timeout=SECONDS)
            if isinstance(event, Failure):
                raise event.error
            if isinstance(event, Reply):
                replies.append(event)
            elif isinstance(event, Piece):
                pieces.append(event)
        return sorted(replies, key=lambda reply: reply.number), pieces

    def ended(self, reply: Reply) -> float:
        return self.ticket.submit_time + reply.answer.timings["total"]

    def reply(self) -> Reply:
        (reply,), _ = self.replies()
        return reply


@contextmanager
def running(mova: Mova, **options: Any) -> Iterator[Engine]:
    engine = Engine(mova, **options)
    try:
        yield engine
    finally:
        engine.close()
