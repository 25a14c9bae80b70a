"""What the buttons of the page do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from openmova.errors import UserError
from openmova.images.boxes import Size
from openmova.images.opening import ImageLimits
from openmova.inference.answer import Answer
from openmova.inference.engine import Engine, Piece, Question, Reply, RoutingEvent, Unavailable
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, Session
from openmova.routing.selection import ExpertSelection
from openmova.serve.ui.rendering import Card, about, nothing_yet, side_by_side

SHOWN = 960
"""Pixels."""
ROUTER, ALWAYS, NEVER = "router", "always", "never"
"""The places of an expert's switch."""
NO_ANSWER = "Ask something, and it is told here: which experts looked, how much of each, and where."
NO_COMPARISON = "The last question, answered with other experts, is shown here side by side."

Turns = list[dict[str, str]]
"""A conversation as Gradio shows it."""


@dataclass
class PageState:
    """One visitor's conversation, and what it is about."""

    session: Session
    size: Size
    """Of the picture as it was given."""
    path: str
    """The file of the picture, as Gradio keeps it."""
    preview: Image.Image
    """A copy of it, its longer side at most SHOWN."""
    answer: Answer | None = None
    """The last one."""

    def turns(self) -> Turns:
        """What was said, as Gradio shows it."""
        return [_turn(role, text) for role, text in self.session.turns]


class PageHandlers:
    """Gradio calls these; a user's mistake becomes a message on the page."""

    def __init__(self, engine: Engine, limits: GenerationLimits, images: ImageLimits) -> None:
        self._engine = engine
        self._mova = engine.mova
        self._limits = limits
        self._images = images

    def ask(
        self, visit: PageState | None, path: str | None, question: str, *switches: str
    ) -> Iterator[tuple[PageState, Turns, str, str]]:
        """The visit, the conversation as it grows, the emptied question, and what is told of it."""
        try:
            yield from self._ask(visit, path, question, self._selection(switches))
        except (UserError, Unavailable) as error:
            raise _told(error) from error

    def compare(self, visit: PageState | None, *switches: str) -> Iterator[str]:
        """The last question's answers with other experts, as they come."""
        try:
            yield from self._compare(visit, self._selection(switches))
        except (UserError, Unavailable) as error:
            raise _told(error) from error

    def begin(self) -> tuple[None, Turns, str, str]:
        """A new conversation: no visit, nothing said, nothing told."""
        return None, [], nothing_yet(NO_ANSWER), nothing_yet(NO_COMPARISON)

    def stopped(self, visit: PageState | None) -> Turns:
        """The conversation without the question that was stopped."""
        return [] if visit is None else visit.turns()

    def _ask(
        self, visit: PageState | None, path: str | None, question: str, selection: ExpertSelection
    ) -> Iterator[tuple[PageState, Turns, str, str]]:
        if path is None:
            raise UserError("there is no image: upload or paste one, or pick an example")
        if visit is None or visit.path != path:
            visit = self._visit(path)
        before, text, html = visit.turns(), "", ""
        routing = None
        events = self._engine.converse(
            visit.session, question, selection, self._limits, attention=True
        )
        for event in events:
            if isinstance(event, RoutingEvent):
                routing = event
                html = about(self._mova, visit.preview, question, routing)
            elif isinstance(event, Piece):
                text += event.text
            elif isinstance(event, Reply) and routing is not None:
                visit.answer, text = event.answer, event.answer.text
                html = about(self._mova, visit.preview, question, routing, event.answer, visit.size)
            said = [_turn("user", question.strip()), _turn("assistant", text or "…")]
            yield visit, [*before, *said], "", html

    def _compare(self, visit: PageState | None, selection: ExpertSelection) -> Iterator[str]:
        if visit is None or visit.answer is None:
            raise UserError("nothing was answered yet: ask a question first")
        selections = self._others(visit.answer.routing.experts, selection)
        question = next(text for role, text in reversed(visit.session.turns) if role == "user")
        replies: list[Reply | None] = [None] * len(selections)
        assert visit.session.picture is not None
        again = [
            Question(
                messages=visit.session.messages[:-1],
                picture=visit.session.picture,
                selection=other,
                limits=self._limits,
            )
            for other in selections.values()
        ]

        def html() -> str:
            cards = [Card(what, reply) for what, reply in zip(selections, replies, strict=True)]
            return side_by_side(question, cards)

        yield html()
        for number, reply in self._engine.replies(again):
            replies[number] = reply
            yield html()

    def _others(
        self, chosen: Sequence[str], switched: ExpertSelection
    ) -> dict[str, ExpertSelection]:
        """What is compared, and with which experts; no set of experts twice."""
        pool = self._mova.experts
        others = {"The router’s choice": ExpertSelection()}
        if switched.forced or switched.forbidden:
            others["With your switches"] = switched
        sets: dict[tuple[str, ...], str] = {(): "No expert, the base encoder alone"}
        for name in chosen:
            sets.setdefault(tuple(n for n in chosen if n != name), f"Without {name}")
        sets.setdefault(tuple(pool), "All experts")
        for names, what in sets.items():
            others[what] = ExpertSelection.of(names, None, pool)
        return others

    def _selection(self, switches: Sequence[str]) -> ExpertSelection:
        """switches: of each expert of the pool."""
        placed = list(zip(self._mova.experts, switches, strict=True))
        return ExpertSelection(
            forced=frozenset(name for name, switch in placed if switch == ALWAYS),
            forbidden=frozenset(name for name, switch in placed if switch == NEVER),
        )

    def _visit(self, path: str) -> PageState:
        """A new conversation about the picture in this file."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError("the image is not kept any more: upload it again") from error
        session, picture = Session(), Picture.of(data, self._mova.processor, self._images)
        session.open(picture)
        preview = picture.image.copy()
        preview.thumbnail((SHOWN, SHOWN))
        return PageState(session, picture.size, path, preview)


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _told(error: Exception) -> gr.Error:
    """The message; it stays until it is closed."""
    return gr.Error(str(error), duration=None, title="This did not work", print_exception=False)
