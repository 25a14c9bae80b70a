"""What the buttons of the page do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from openmova.errors import UserError
from openmova.images.opening import ImageLimits, load_image
from openmova.inference.answer import Answer
from openmova.inference.engine import Engine, Piece, Reply, Routed, Unavailable
from openmova.inference.request import Choice, Limits
from openmova.inference.session import Talk
from openmova.serve.ui.showing import Card, about, nothing_yet, side_by_side

SHOWN = 960
"""Pixels."""
ROUTER, ALWAYS, NEVER = "router", "always", "never"
"""The places of an expert's switch."""
NO_ANSWER = "Ask something, and it is told here: which experts looked, how much of each, and where."
NO_COMPARISON = "The last question, answered with other experts, is shown here side by side."

Turns = list[dict[str, str]]
"""A conversation as Gradio shows it."""


@dataclass
class Visit:
    """One visitor's conversation, and what it is about."""

    talk: Talk
    path: str
    """The file of the picture, as Gradio keeps it."""
    picture: Image.Image
    """A copy of it, its longer side at most SHOWN."""
    answer: Answer | None = field(default=None)
    """The last one."""


class Answering:
    """Gradio calls these; a user's mistake becomes a message on the page."""

    def __init__(self, engine: Engine, limits: Limits, images: ImageLimits) -> None:
        self._engine = engine
        self._mova = engine.mova
        self._limits = limits
        self._images = images

    def ask(
        self, visit: Visit | None, path: str | None, question: str, *switches: str
    ) -> Iterator[tuple[Visit, Turns, str, str]]:
        """The visit, the conversation as it grows, the emptied question, and what is told of it."""
        try:
            yield from self._asked(visit, path, question, self._choice(switches))
        except (UserError, Unavailable) as error:
            raise _told(error) from error

    def compare(self, visit: Visit | None, *switches: str) -> Iterator[str]:
        """The last question's answers with other experts, as they come."""
        try:
            yield from self._compared(visit, self._choice(switches))
        except (UserError, Unavailable) as error:
            raise _told(error) from error

    def begin(self) -> tuple[None, Turns, str, str]:
        """A new conversation: no visit, nothing said, nothing told."""
        return None, [], nothing_yet(NO_ANSWER), nothing_yet(NO_COMPARISON)

    def stopped(self, visit: Visit | None) -> Turns:
        """The conversation without the question that was stopped."""
        return [] if visit is None else _turns(visit.talk)

    def _asked(
        self, visit: Visit | None, path: str | None, question: str, choice: Choice
    ) -> Iterator[tuple[Visit, Turns, str, str]]:
        if path is None:
            raise UserError("there is no image: upload or paste one, or pick an example")
        if visit is None or visit.path != path:
            visit = self._visit(path)
        before, text, html = _turns(visit.talk), "", ""
        routed = None
        for event in visit.talk.ask(question, choice, self._limits, attended=True):
            if isinstance(event, Routed):
                routed = event
                html = about(self._mova, visit.picture, question, routed)
            elif isinstance(event, Piece):
                text += event.text
            elif isinstance(event, Reply) and routed is not None:
                visit.answer, text = event.answer, event.answer.text
                size = visit.talk.size
                html = about(self._mova, visit.picture, question, routed, event.answer, size)
            said = [_turn("user", question.strip()), _turn("assistant", text or "…")]
            yield visit, [*before, *said], "", html

    def _compared(self, visit: Visit | None, choice: Choice) -> Iterator[str]:
        if visit is None or visit.answer is None:
            raise UserError("nothing was answered yet: ask a question first")
        choices = self._others(visit.answer.routing.experts, choice)
        question = next(text for role, text in reversed(visit.talk.said) if role == "user")
        replies: list[Reply | None] = [None] * len(choices)

        def html() -> str:
            cards = [Card(what, reply) for what, reply in zip(choices, replies, strict=True)]
            return side_by_side(question, cards)

        yield html()
        for number, reply in visit.talk.again(list(choices.values()), self._limits):
            replies[number] = reply
            yield html()

    def _others(self, looked: Sequence[str], switched: Choice) -> dict[str, Choice]:
        """What is compared, and with which choice; no set of experts twice."""
        pool = self._mova.experts
        choices = {"The router’s choice": Choice.of(None, None, pool)}
        if switched.forced or switched.forbidden:
            choices["With your switches"] = switched
        sets: dict[tuple[str, ...], str] = {(): "No expert, the base encoder alone"}
        for name in looked:
            sets.setdefault(tuple(n for n in looked if n != name), f"Without {name}")
        sets.setdefault(tuple(pool), "All experts")
        return choices | {what: Choice.of(names, None, pool) for names, what in sets.items()}

    def _choice(self, switches: Sequence[str]) -> Choice:
        """switches: of each expert of the pool."""
        placed = list(zip(self._mova.experts, switches, strict=True))
        return Choice(
            fixed=None,
            max_experts=None,
            forced=frozenset(name for name, switch in placed if switch == ALWAYS),
            forbidden=frozenset(name for name, switch in placed if switch == NEVER),
        )

    def _visit(self, path: str) -> Visit:
        """A new conversation about the picture in this file."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError("the image is not kept any more: upload it again") from error
        picture = load_image(data, self._images)
        talk = Talk(self._engine, self._images)
        talk.show(picture)
        picture.thumbnail((SHOWN, SHOWN))
        return Visit(talk, path, picture)


def _turns(talk: Talk) -> Turns:
    return [_turn(role, text) for role, text in talk.said]


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _told(error: Exception) -> gr.Error:
    """The message; it stays until it is closed."""
    return gr.Error(str(error), duration=None, title="This did not work", print_exception=False)
