"""The engine: concurrent questions share the model's passes. No HTTP here.

One thread owns the model. It takes what waits, as far as there are places, runs base encoder,
routing, experts and adapter for all of it at once, and lets the answers join the shared decode.
Then every answer gets a token, and the thread looks again at what waits. Callers are told of
everything by events, from that thread.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from queue import SimpleQueue
from threading import Condition, Thread

from torch import Tensor

from openmova.inference.answer import Answer, Look
from openmova.inference.attention import of_rows, watched
from openmova.inference.feature_cache import FeatureCache
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.inference.sampling import Sampler, Sampling
from openmova.inference.schemas import SchemaGuide
from openmova.inference.session import Message, Picture, Session, pictures_in
from openmova.inference.shared_decode import SharedDecode
from openmova.inference.text_stream import Finish, StopRules, TextStream, TokenScore
from openmova.inference.timing import StageTimer
from openmova.routing import Routing
from openmova.routing.selection import ExpertSelection

GREEDY = Sampling()


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
    """A conversation with its pictures, as `Session` keeps it; the user has the last word."""
    selection: ExpertSelection
    limits: GenerationLimits
    sampling: Sampling = GREEDY
    stops: Sequence[str] = ()
    answers: int = 1
    """How many, at most `Engine.max_batch_size`; each with a seed of its own."""
    stream: bool = False
    """Whether pieces of text are wanted."""
    attention: bool = False
    """Whether it is wanted where the adapter looks."""
    scored: int | None = None
    """How many of the likeliest tokens are wanted beside each token; None: no scores at all."""
    guide: SchemaGuide | None = None
    """Of a JSON schema that the answer follows."""

    @cached_property
    def pictures(self) -> list[Picture]:
        """Of the conversation, in order."""
        return pictures_in(self.messages)


@dataclass(frozen=True)
class RoutingEvent:
    """The pictures were looked at: which experts, and how much of each."""

    looks: Sequence[Look]
    """At each picture of the conversation, in order."""
    routing: Routing
    """For the last picture."""
    gates: Tensor
    """[blocks, chosen experts]"""
    attention: Mapping[str, Sequence[Tensor]] = field(default_factory=dict)
    """Of each chosen expert, for each block: [H, W] of its map; empty unless it was wanted."""


@dataclass(frozen=True)
class Piece:
    """More text of one of the answers."""

    number: int
    text: str
    scores: Sequence[TokenScore] = ()
    """Of the tokens since the last piece, if they are wanted."""


@dataclass(frozen=True)
class Reply:
    """One of the answers is whole."""

    number: int
    answer: Answer
    finish: Finish
    tokens: int
    scores: Sequence[TokenScore] = ()
    """Of the tokens that no piece told of, if they are wanted."""


@dataclass(frozen=True)
class Failure:
    """There will be no answer, or no more of them."""

    error: Exception


Event = RoutingEvent | Piece | Reply | Failure
"""RoutingEvent comes first; the last one is Failure, or the Reply that makes them complete."""


@dataclass(eq=False)
class Ticket:
    """A question that was handed in."""

    question: Question
    deliver: Callable[[Event], None]
    submit_time: float = field(default_factory=time.perf_counter)
    cancelled: bool = False
    """Set it when nobody wants the answer any more; its place is free before the next token."""
    prompt_tokens: int = 0
    routing: RoutingEvent | None = None
    timer: StageTimer | None = None
    queue_seconds: float = 0.0

    def fail(self, error: Exception) -> None:
        """The last event: what went wrong."""
        self.cancelled = True
        self.deliver(Failure(error))

    @property
    def deadline(self) -> float:
        return self.question.limits.deadline(self.submit_time)


@dataclass(frozen=True, eq=False)
class _Row:
    """Whose answer a row of the decode is."""

    ticket: Ticket
    number: int
    text: TextStream


class Engine:
    """Answers questions together.

    max_batch_size: answers that are written at once; max_queue: questions that may wait for a
    row. on_batch: is told the stage ("look" or "decode") and how many shared it.
    """

    def __init__(
        self,
        mova: Mova,
        *,
        max_batch_size: int = 8,
        max_queue: int = 64,
        on_batch: Callable[[str, int], None] = lambda stage, size: None,
    ) -> None:
        self.mova = mova
        self.max_batch_size = max_batch_size
        self.max_queue = max_queue
        self.features = FeatureCache()
        self._on_batch = on_batch
        self._decode = SharedDecode(mova.model)
        self._running: list[_Row] = []
        self._queue: deque[Ticket] = deque()
        self._taken = 0  # places of answers whose pictures are being looked at
        self._condition = Condition()
        self._closing = False
        self._last_seconds = 1.0
        self._thread = Thread(target=self._work, name="openmova-engine", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._thread.is_alive() and not self._closing

    @property
    def waiting(self) -> int:
        """Questions that wait for a row."""
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

        Raises Unavailable if the queue is full or the engine is closing.
        """
        ticket = Ticket(question, deliver)
        with self._condition:
            if self._closing:
                raise Unavailable("the server is closing: ask again", retry_after=1)
            if len(self._queue) >= self.max_queue + self._free():
                raise Unavailable(
                    f"{self.max_queue} questions wait already: ask again later",
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

    def converse(
        self,
        session: Session,
        question: str,
        selection: ExpertSelection,
        limits: GenerationLimits,
        *,
        attention: bool = False,
    ) -> Generator[Event, None, None]:
        """The events of the next answer in a session, which keeps it once it is whole.

        Closing the iterator stops the model.
        """
        messages = session.ask(question)
        asked = Question(
            messages=messages,
            selection=selection,
            limits=limits,
            stream=True,
            attention=attention,
        )
        for _, event in self._events([asked]):
            if isinstance(event, Reply):
                session.add(messages, event.answer.text)
            yield event

    def replies(self, questions: Sequence[Question]) -> Generator[tuple[int, Reply], None, None]:
        """The answers to several questions as they come: number and Reply."""
        for number, event in self._events(questions):
            if isinstance(event, Reply):
                yield number, event

    def _events(self, questions: Sequence[Question]) -> Generator[tuple[int, Event], None, None]:
        events: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        tickets: list[Ticket] = []
        try:
            for number, question in enumerate(questions):
                deliver = partial(lambda number, event: events.put((number, event)), number)
                tickets.append(self.submit(question, deliver))
            missing = sum(question.answers for question in questions)
            while missing:
                number, event = events.get()
                if isinstance(event, Failure):
                    raise event.error
                missing -= isinstance(event, Reply)
                yield number, event
        finally:
            for ticket in tickets:
                self.cancel(ticket)

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
        return max(0, self.max_batch_size - len(self._running) - self._taken)

    def _take(self) -> list[Ticket]:
        """What waits, in its order, as far as there are places, and for their pictures, too."""
        free = self._free()
        admitted: list[Ticket] = []
        pictures = 0
        while self._queue and self._queue[0].question.answers <= free:
            pictures += len(self._queue[0].question.pictures)
            if admitted and pictures > self.max_batch_size:
                break
            ticket = self._queue.popleft()
            free -= ticket.question.answers
            admitted.append(ticket)
        return admitted

    def _admit(self, tickets: Sequence[Ticket]) -> None:
        """Look at the pictures of these questions together, and begin their answers."""
        now = time.perf_counter()
        for ticket in tickets:
            ticket.queue_seconds = now - ticket.submit_time
            if now >= ticket.deadline:
                late = f"no place was free for {ticket.queue_seconds:.0f} s: ask again later"
                ticket.fail(Unavailable(late, retry_after=1))
            else:
                self._measure(ticket)
        tickets = [ticket for ticket in tickets if not ticket.cancelled]
        if not tickets:
            return
        try:
            rows = self._begin(tickets)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(tickets) == 1:
                tickets[0].fail(error)
            else:  # one question's fault is not its neighbours'
                for ticket in tickets:
                    self._admit([ticket])
            return
        self._running += rows
        self._tell()

    def _measure(self, ticket: Ticket) -> None:
        """Whether the prompt leaves room; here, as a tokenizer does not stand several threads."""
        processor, question = self.mova.processor, ticket.question
        try:
            ticket.prompt_tokens = len(processor.prompt_ids(self.mova.render(question.messages)))
            self.mova.check_room(ticket.prompt_tokens, question.limits)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            ticket.fail(error)

    def _begin(self, tickets: Sequence[Ticket]) -> list[_Row]:
        mova, questions = self.mova, [ticket.question for ticket in tickets]
        selections = [question.selection for question in questions]
        timer = StageTimer(mova.model.device)
        with timer("prepare"):
            messages = [question.messages for question in questions]
            # Each has its own limit of tokens; whether there is room is checked before.
            shortest = min((q.limits for q in questions), key=lambda limits: limits.max_new_tokens)
            inputs = mova.prepare(messages, selections, shortest)
        known = self.features.of([p.fingerprint for q in questions for p in q.pictures])
        with ExitStack() as watching:
            attention = any(question.attention for question in questions)
            found = watching.enter_context(watched(mova.model.model.adapter)) if attention else {}
            pictures = [len(question.pictures) for question in questions]
            memory = mova.memory(known)
            tokens, looks = mova.look(inputs, pictures, selections, memory, timer)
        self.features.trim()
        chosen = [look.routing.experts for looked in looks for look in looked]
        received = of_rows(found, chosen, mova.experts) if found else [{} for _ in chosen]
        self._on_batch("look", len(tickets))
        answers = [
            _Row(ticket, number, self._text_stream(ticket, number))
            for ticket in tickets
            for number in range(ticket.question.answers)
        ]
        streams = [[row.text for row in answers if row.ticket is ticket] for ticket in tickets]
        self._decode.join(streams, inputs["input_ids"], inputs["attention_mask"], tokens)
        for ticket, looked, end in zip(tickets, looks, accumulate(pictures), strict=True):
            last = looked[-1] if looked else Look.none(mova.model.config)
            maps = received[end - 1] if looked else {}
            ticket.routing = RoutingEvent(looked, last.routing, last.gates, maps)
            ticket.timer = timer
            ticket.deliver(ticket.routing)
        return answers

    def _text_stream(self, ticket: Ticket, number: int) -> TextStream:
        question = ticket.question
        ending = StopRules(
            tokens=self.mova.end,
            stops=question.stops,
            max_new_tokens=question.limits.max_new_tokens,
            deadline=ticket.deadline,
        )
        return TextStream(
            self.mova.processor.tokenizer,
            Sampler(question.sampling, number),
            ending,
            stream=question.stream,
            scored=question.scored,
            guide=question.guide and question.guide.copy(),
        )

    def _step(self) -> None:
        self._on_batch("decode", len(self._running))
        try:
            self._decode.step()
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            for ticket in {row.ticket for row in self._running}:
                ticket.fail(error)
        self._tell()

    def _tell(self) -> None:
        """Hand out what was written."""
        for row in self._running:
            ticket, text = row.ticket, row.text
            if ticket.cancelled:
                continue
            try:
                if piece := text.piece():
                    ticket.deliver(Piece(row.number, piece, text.scores()))
                if text.finish is not None:
                    ticket.deliver(self._reply(row, text.finish))
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                ticket.fail(error)
        self._leave()

    def _leave(self) -> None:
        """The places of finished and of unwanted answers are free."""
        self._running = [
            row for row in self._running if row.text.finish is None and not row.ticket.cancelled
        ]
        self._decode.keep([row.text for row in self._running])

    def _reply(self, row: _Row, finish: Finish) -> Reply:
        ticket, text = row.ticket, row.text
        assert ticket.routing is not None and ticket.timer is not None
        total = time.perf_counter() - ticket.submit_time
        looked = ticket.timer.seconds
        self._last_seconds = total
        timings = {
            "waiting": ticket.queue_seconds,
            **looked,
            "answer": total - ticket.queue_seconds - sum(looked.values()),
            "total": total,
        }
        pictures = ticket.question.pictures
        answer = Answer.of(
            text.text(),
            pictures[-1].size if pictures else None,
            self.mova.model.config,
            log_probs=text.log_probs,
            looks=ticket.routing.looks,
            timings=timings,
        )
        return Reply(row.number, answer, finish, len(text.ids), text.scores())
