"""The engine: concurrent questions share the model's passes. No HTTP here.

One thread owns the model. It takes what waits, as far as there are places, runs base encoder,
routing, experts and adapter for all of it at once, and lets the answers join the shared decode.
Then every answer gets a token, and the thread looks again at what waits. Callers are told of
everything by events, from that thread.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Condition, Thread

from torch import Tensor

from openmova.errors import UserError
from openmova.images.boxes import Size
from openmova.inference.answer import Answer
from openmova.inference.attention import of_rows, watched
from openmova.inference.encoding import Clock, Message, answer_from, check_room, look, prepare
from openmova.inference.feature_cache import MEGABYTE, Features, Remembering
from openmova.inference.mova import Mova
from openmova.inference.request import Choice, Limits
from openmova.inference.sampling import Sampler, Sampling
from openmova.inference.shared_decode import SharedDecode
from openmova.inference.text_stream import Ending, Finish, Writing
from openmova.routing import Routing

GREEDY = Sampling()
FEATURES = 256 * MEGABYTE


class Unavailable(Exception):
    """No answer now: the queue is full, the time is up, or the engine is closing.

    full: whether it is the queue; retry_after: seconds after which asking again makes sense.
    """

    def __init__(self, message: str, *, retry_after: int, full: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.full = full


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and how. max_seconds of the limits count from the moment it is handed in."""

    messages: Sequence[Message]
    """A conversation with one picture, as `Mova.chat` would have it; the user has the last word."""
    size: Size
    """Of the picture as it was given."""
    choice: Choice
    limits: Limits
    sampling: Sampling = GREEDY
    stops: Sequence[str] = ()
    answers: int = 1
    """How many; each with a seed of its own."""
    watched: bool = False
    """Whether pieces of text are wanted."""
    fingerprint: bytes | None = None
    """Of the picture, if its features may be kept for questions to come."""
    attended: bool = False
    """Whether it is wanted where the adapter looks."""


@dataclass(frozen=True)
class Routed:
    """The picture was looked at: which experts, and how much of each."""

    routing: Routing
    gates: Tensor
    """[blocks, chosen experts]"""
    attention: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    """Of each chosen expert, for each block: [H, W] of its map; empty unless it was wanted."""


@dataclass(frozen=True)
class Piece:
    """More text of one of the answers."""

    number: int
    text: str


@dataclass(frozen=True)
class Reply:
    """One of the answers is whole."""

    number: int
    answer: Answer
    finish: Finish
    tokens: int


@dataclass(frozen=True)
class Failure:
    """There will be no answer, or no more of them."""

    error: Exception


Event = Routed | Piece | Reply | Failure
"""Routed comes first; the last one is Failure, or the Reply that makes them complete."""


@dataclass(eq=False)
class Ticket:
    """A question that was handed in."""

    question: Question
    deliver: Callable[[Event], None]
    handed_in: float = field(default_factory=time.perf_counter)
    cancelled: bool = False
    """Set it when nobody wants the answer any more; its place is free before the next token."""
    prompt_tokens: int = 0
    routed: Routed | None = None
    clock: Clock | None = None
    waited: float = 0.0

    def fail(self, error: Exception) -> None:
        """The last event: what went wrong."""
        self.cancelled = True
        self.deliver(Failure(error))

    @property
    def deadline(self) -> float | None:
        seconds = self.question.limits.max_seconds
        return None if seconds is None else self.handed_in + seconds


@dataclass(frozen=True, eq=False)
class _Place:
    """Whose answer a row of the decode is."""

    ticket: Ticket
    number: int
    writing: Writing


class Engine:
    """Answers questions together.

    places: answers that are written at once; waiting: questions that may wait for one.
    features: bytes of what the model made of pictures, kept for further questions about them.
    on_batch: is told the stage ("look" or "decode") and how many shared it.
    """

    def __init__(
        self,
        mova: Mova,
        *,
        places: int = 8,
        waiting: int = 64,
        features: int = FEATURES,
        on_batch: Callable[[str, int], None] = lambda stage, size: None,
    ) -> None:
        self.mova = mova
        self.places = places
        self.most_waiting = waiting
        self.features = Features(features)
        self._on_batch = on_batch
        self._decode = SharedDecode(mova.model)
        self._running: list[_Place] = []
        self._queue: deque[Ticket] = deque()
        self._taken = 0  # places of answers whose pictures are being looked at
        self._condition = Condition()
        self._closing = False
        self._last_seconds = 1.0
        end = mova.model.generation_config.eos_token_id
        self._end = frozenset([end] if isinstance(end, int) else end or ())
        self._thread = Thread(target=self._work, name="openmova-engine", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._thread.is_alive() and not self._closing

    @property
    def waiting(self) -> int:
        """Questions that wait for a place."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Answers that are being written."""
        return len(self._running)

    @property
    def retry_after(self) -> int:
        """Seconds after which a refused question may find a place: what the last answer took."""
        return max(1, math.ceil(self._last_seconds))

    def submit(self, question: Question, deliver: Callable[[Event], None]) -> Ticket:
        """Hand in a question; `deliver` gets its events, from the engine's thread.

        Raises UserError if there are not so many places; Unavailable if the queue is full or the
        engine is closing.
        """
        if not 1 <= question.answers <= self.places:
            raise UserError(f"{question.answers} answers are asked for: give 1 to {self.places}")
        ticket = Ticket(question, deliver)
        with self._condition:
            if self._closing:
                raise Unavailable("the server is closing: ask again", retry_after=1)
            if len(self._queue) >= self.most_waiting + self._free():
                raise Unavailable(
                    f"{self.most_waiting} questions wait already: ask again later",
                    retry_after=self.retry_after,
                    full=True,
                )
            self._queue.append(ticket)
            self._condition.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants the answer any more. May be called twice, or after the end."""
        with self._condition:
            ticket.cancelled = True
            if ticket in self._queue:
                self._queue.remove(ticket)

    def close(self) -> None:
        """Take no more questions, answer those that were taken, and end."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (self._queue or self._running or self._closing):
                    self._condition.wait()
                if not (self._queue or self._running):
                    return
                admitted = self._take()
                self._taken = sum(ticket.question.answers for ticket in admitted)
            if admitted:
                self._admit(admitted)
                self._taken = 0
            self._leave()
            if self._running:
                self._step()

    def _free(self) -> int:
        return max(0, self.places - len(self._running) - self._taken)

    def _take(self) -> list[Ticket]:
        """What waits, in its order, as far as there are places."""
        free = self._free()
        admitted = []
        while self._queue and self._queue[0].question.answers <= free:
            ticket = self._queue.popleft()
            free -= ticket.question.answers
            admitted.append(ticket)
        return admitted

    def _admit(self, tickets: Sequence[Ticket]) -> None:
        """Look at the pictures of these questions together, and begin their answers."""
        now = time.perf_counter()
        for ticket in tickets:
            ticket.waited = now - ticket.handed_in
            if ticket.deadline is not None and now >= ticket.deadline:
                late = f"no place was free for {ticket.waited:.0f} s: ask again later"
                ticket.fail(Unavailable(late, retry_after=1))
            else:
                self._measure(ticket)
        tickets = [ticket for ticket in tickets if not ticket.cancelled]
        if not tickets:
            return
        try:
            places = self._begin(tickets)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(tickets) == 1:
                tickets[0].fail(error)
            else:  # one question's fault is not its neighbours'
                for ticket in tickets:
                    self._admit([ticket])
            return
        self._running += places
        self._tell()

    def _measure(self, ticket: Ticket) -> None:
        """Whether the prompt leaves room; here, as a tokenizer does not stand several threads."""
        processor, question = self.mova.processor, ticket.question
        try:
            ticket.prompt_tokens = len(processor.prompt_ids(processor.render(question.messages)))
            check_room(self.mova.model, ticket.prompt_tokens, question.limits)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            ticket.fail(error)

    def _begin(self, tickets: Sequence[Ticket]) -> list[_Place]:
        mova, questions = self.mova, [ticket.question for ticket in tickets]
        choices = [question.choice for question in questions]
        clock = Clock(mova.model.device)
        with clock("prepare"):
            messages = [question.messages for question in questions]
            inputs = prepare(mova.model, mova.processor, messages, choices)
        known = self.features.of([question.fingerprint for question in questions])
        remembering = Remembering(mova.model, known)
        attended = any(question.attended for question in questions)
        with ExitStack() as watching:
            found = watching.enter_context(watched(mova.model.model.adapter)) if attended else {}
            seen = look(mova.model, inputs, choices, clock, remembering, remembering.route)
        self.features.trim()
        chosen = [routing.experts for routing in seen.routing]
        attention = of_rows(found, chosen, mova.experts) if attended else [{} for _ in tickets]
        self._on_batch("look", len(tickets))
        places = [
            _Place(ticket, number, self._writing(ticket, number))
            for ticket in tickets
            for number in range(ticket.question.answers)
        ]
        rows = [[place.writing for place in places if place.ticket is t] for t in tickets]
        self._decode.join(rows, inputs["input_ids"], inputs["attention_mask"], seen.tokens)
        told = zip(tickets, seen.routing, seen.gates, attention, strict=True)
        for ticket, routing, gates, received in told:
            ticket.routed, ticket.clock = Routed(routing, gates, received), clock
            ticket.deliver(ticket.routed)
        return places

    def _writing(self, ticket: Ticket, number: int) -> Writing:
        question = ticket.question
        ending = Ending(
            tokens=self._end,
            stops=question.stops,
            max_new_tokens=question.limits.max_new_tokens,
            deadline=ticket.deadline,
        )
        sampler = Sampler(question.sampling, number)
        tokenizer = self.mova.processor.tokenizer
        return Writing(tokenizer, sampler, ending, watched=question.watched)

    def _step(self) -> None:
        self._on_batch("decode", len(self._running))
        try:
            self._decode.step()
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            for ticket in {place.ticket for place in self._running}:
                ticket.fail(error)
        self._tell()

    def _tell(self) -> None:
        """Hand out what was written."""
        for place in self._running:
            ticket, writing = place.ticket, place.writing
            if ticket.cancelled:
                continue
            try:
                if piece := writing.piece():
                    ticket.deliver(Piece(place.number, piece))
                if writing.finish is not None:
                    ticket.deliver(self._reply(place, writing.finish))
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                ticket.fail(error)
        self._leave()

    def _leave(self) -> None:
        """The places of finished and of unwanted answers are free."""
        self._running = [
            place
            for place in self._running
            if place.writing.finish is None and not place.ticket.cancelled
        ]
        self._decode.keep([place.writing for place in self._running])

    def _reply(self, place: _Place, finish: Finish) -> Reply:
        ticket, writing = place.ticket, place.writing
        assert ticket.routed is not None and ticket.clock is not None
        total = time.perf_counter() - ticket.handed_in
        looked = ticket.clock.seconds
        self._last_seconds = total
        timings = {
            "waiting": ticket.waited,
            **looked,
            "answer": total - ticket.waited - sum(looked.values()),
            "total": total,
        }
        answer = answer_from(
            self.mova.model,
            writing.text(),
            ticket.question.size,
            ticket.routed.routing,
            ticket.routed.gates,
            timings,
        )
        return Reply(place.number, answer, finish, len(writing.ids))
