"""What the buttons of the page do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import gradio as gr

from openmova.errors import UserError
from openmova.images.opening import ImageLimits
from openmova.inference.answer import Answer
from openmova.inference.engine import Engine, Piece, Question, Reply, RoutingEvent, Unavailable
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, Session
from openmova.routing.selection import ExpertSelection
from openmova.serve.ui.rendering import Card, answer_html, comparison_html, empty_html

ROUTER, ALWAYS, NEVER = "router", "always", "never"
"""The places of an expert's switch."""
NO_ANSWER = "Ask something, and it is told here: which experts looked, how much of each, and where."
NO_COMPARISON = "The last question, answered with other experts, is shown here side by side."

Messages = list[dict[str, str]]
"""A conversation as Gradio shows it."""


@dataclass
class PageState:
    """One visitor's conversation about the picture in the file at `path`, or about none."""

    session: Session
    path: str | None
    answers: list[Answer] = field(default_factory=list)

    def messages(self) -> Messages:
        shown = map(str, self.answers)
        return [
            {"role": role, "content": next(shown) if role == "assistant" else text}
            for role, text in self.session.turns
        ]


@contextmanager
def error_messages() -> Iterator[None]:
    """A user's mistake becomes a message on the page; it stays until it is closed."""
    try:
        yield
    except (UserError, Unavailable) as error:
        title = "This did not work"
        raise gr.Error(str(error), duration=None, title=title, print_exception=False) from error


class PageHandlers:
    """Gradio calls these."""

    def __init__(self, engine: Engine, limits: GenerationLimits, images: ImageLimits) -> None:
        self._engine = engine
        self._mova = engine.mova
        self._limits = limits
        self._images = images

    def ask(
        self, state: PageState | None, path: str | None, question: str, *switches: str
    ) -> Iterator[tuple[PageState, Messages, str, str]]:
        """The state, the conversation as it grows, the emptied question, and HTML about it."""
        with error_messages():
            if state is None or state.path != path:
                state = PageState(self._session(path), path)
            messages, text, html = state.messages(), "", ""
            picture, routing = state.session.picture, None
            events = self._engine.converse(
                state.session, question, self._selection(switches), self._limits, attention=True
            )
            for event in events:
                if isinstance(event, RoutingEvent):
                    routing = event
                    html = answer_html(self._mova, picture, question, routing)
                elif isinstance(event, Piece):
                    text += event.text
                elif isinstance(event, Reply) and routing is not None:
                    state.answers.append(event.answer)
                    text = str(event.answer)
                    html = answer_html(self._mova, picture, question, routing, event.answer)
                new = [
                    {"role": "user", "content": question.strip()},
                    {"role": "assistant", "content": text or "…"},
                ]
                yield state, [*messages, *new], "", html

    def compare(self, state: PageState | None, path: str | None, *switches: str) -> Iterator[str]:
        """HTML of the last question's answers with other experts, as they come."""
        with error_messages():
            if state is None or not state.answers or state.path != path:
                raise UserError("nothing was answered yet: ask a question first")
            selections = self._selections(
                state.answers[-1].routing.experts, self._selection(switches)
            )
            question = next(t for role, t in reversed(state.session.turns) if role == "user")
            cards = [Card(name) for name in selections]
            questions = [
                Question(
                    messages=state.session.messages[:-1],
                    selection=selection,
                    limits=self._limits,
                )
                for selection in selections.values()
            ]
            yield comparison_html(question, cards)
            for number, reply in self._engine.replies(questions):
                cards[number] = replace(cards[number], reply=reply)
                yield comparison_html(question, cards)

    def reset(self) -> tuple[None, Messages, str, str]:
        """A new conversation: no state, no messages, nothing about an answer, no comparison."""
        return None, [], empty_html(NO_ANSWER), empty_html(NO_COMPARISON)

    def stop(self, state: PageState | None, path: str | None) -> Messages:
        """The conversation without the question that was stopped."""
        return state.messages() if state is not None and state.path == path else []

    def _selections(
        self, chosen: Sequence[str], switches: ExpertSelection
    ) -> dict[str, ExpertSelection]:
        """What is compared, and with which experts; no set of experts twice."""
        pool = self._mova.experts
        selections = {"The router’s choice": ExpertSelection()}
        if switches.forced or switches.forbidden:
            selections["With your switches"] = switches
        sets: dict[tuple[str, ...], str] = {(): "No expert, the base encoder alone"}
        for name in chosen:
            sets.setdefault(tuple(n for n in chosen if n != name), f"Without {name}")
        sets.setdefault(tuple(pool), "All experts")
        return selections | {
            title: ExpertSelection.of(names, None, pool) for names, title in sets.items()
        }

    def _selection(self, switches: Sequence[str]) -> ExpertSelection:
        """switches: of each expert of the pool."""
        forced, forbidden = (
            frozenset(n for n, s in zip(self._mova.experts, switches, strict=True) if s == place)
            for place in (ALWAYS, NEVER)
        )
        return ExpertSelection(forced=forced, forbidden=forbidden)

    def _session(self, path: str | None) -> Session:
        """A new conversation about the picture in this file, if there is one."""
        session = Session()
        if path is None:
            return session
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError("the image is not kept any more: upload it again") from error
        session.open(Picture.of(data, self._mova.processor, self._images))
        return session
