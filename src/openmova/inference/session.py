"""A conversation whose answers an engine writes: what the terminal and the page talk through.

As `Mova.chat` holds it: one picture, with the first question; every answer sees what was said
before. Here the answer comes in events, and may be stopped.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from queue import SimpleQueue

from openmova.errors import UserError
from openmova.images.boxes import Size
from openmova.images.opening import DEFAULT_LIMITS, ImageLimits, ImageSource, load_image
from openmova.inference.encoding import Message, assistant_turn, user_turn
from openmova.inference.engine import Engine, Event, Failure, Question, Reply
from openmova.inference.feature_cache import fingerprint
from openmova.inference.questions import check_question
from openmova.inference.request import Choice, Limits


class Talk:
    """Questions about one picture, one after the other."""

    def __init__(self, engine: Engine, limits: ImageLimits = DEFAULT_LIMITS) -> None:
        self.engine = engine
        self.messages: list[Message] = []
        """What was said; the picture is in the first message."""
        self.size: Size = (0, 0)
        """Of the picture as it was given."""
        self._picture: object = None
        self._fingerprint: bytes | None = None
        self._limits = limits

    def show(self, image: ImageSource) -> None:
        """A new conversation, about this picture. Raises UserError for what is no picture."""
        picture = load_image(image, self._limits)
        seen = self.engine.mova.processor.image_processor.picture(picture)
        self._picture, self._fingerprint = seen, fingerprint(seen)
        self.size = picture.size
        self.forget()

    def forget(self) -> None:
        """A new conversation about the same picture."""
        self.messages = []

    @property
    def said(self) -> list[tuple[str, str]]:
        """Role ("user" or "assistant") and text of each turn."""
        return [(turn["role"], turn["content"][-1]["text"]) for turn in self.messages]

    def ask(
        self, question: str, choice: Choice, limits: Limits, *, attended: bool = False
    ) -> Generator[Event, None, None]:
        """The next answer as it comes about: Routed, Pieces of text, and at last the Reply.

        attended: whether Routed tells where the adapter looks. Only a whole answer is remembered.
        Closing the iterator stops the model. Raises UserError for a question that does not do,
        Unavailable, and what went wrong in the model.
        """
        text = check_question(question)
        if self._picture is None:
            raise UserError("a conversation is about a picture: give one first")
        messages = [*self.messages, user_turn(text, None if self.messages else self._picture)]
        events: SimpleQueue[Event] = SimpleQueue()
        asked = self._question(messages, choice, limits, watched=True, attended=attended)
        ticket = self.engine.submit(asked, events.put)
        try:
            while not isinstance(event := events.get(), Reply):
                if isinstance(event, Failure):
                    raise event.error
                yield event
        finally:
            self.engine.cancel(ticket)
        self.messages = [*messages, assistant_turn(event.answer.text)]
        yield event

    def again(
        self, choices: Sequence[Choice], limits: Limits
    ) -> Generator[tuple[int, Reply], None, None]:
        """The last question under each of these choices, as the answers come: number and Reply.

        Nothing of it is remembered. Closing the iterator stops the model. Raises UserError if
        nothing was asked yet, Unavailable, and what went wrong in the model.
        """
        if not self.messages:
            raise UserError("nothing was asked yet: ask a question first")
        events: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        tickets = []
        try:
            for number, choice in enumerate(choices):
                asked = self._question(self.messages[:-1], choice, limits)
                told = partial(_numbered, events, number)
                tickets.append(self.engine.submit(asked, told))
            waited = len(tickets)
            while waited:
                number, event = events.get()
                if isinstance(event, Failure):
                    raise event.error
                if isinstance(event, Reply):
                    waited -= 1
                    yield number, event
        finally:
            for ticket in tickets:
                self.engine.cancel(ticket)

    def _question(
        self,
        messages: Sequence[Message],
        choice: Choice,
        limits: Limits,
        *,
        watched: bool = False,
        attended: bool = False,
    ) -> Question:
        return Question(
            messages=messages,
            size=self.size,
            choice=choice,
            limits=limits,
            watched=watched,
            attended=attended,
            fingerprint=self._fingerprint,
        )


def _numbered(events: SimpleQueue[tuple[int, Event]], number: int, event: Event) -> None:
    events.put((number, event))
