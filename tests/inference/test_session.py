"""A conversation through the engine: the answers of `Mova`, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from inference.asking import question, running
from openmova import Mova
from openmova.errors import UserError
from openmova.inference.attention import watched
from openmova.inference.engine import Engine, Piece, Question, Reply, RoutingEvent
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, Session
from openmova.routing.selection import ExpertSelection
from tiny import pictures

ASKED = "what is this ?"
LIMITS = GenerationLimits(max_new_tokens=7, max_seconds=None)


@pytest.fixture(scope="module")
def engine(mova: Mova) -> Iterator[Engine]:
    with running(mova, max_batch_size=3) as engine:
        yield engine


@pytest.fixture
def session(mova: Mova) -> Session:
    session = Session()
    session.open(Picture.of(pictures(1)[0], mova.processor))
    return session


ROUTER = ExpertSelection()


def reply(engine: Engine, session: Session, selection: ExpertSelection) -> Reply:
    *_, last = engine.converse(session, ASKED, selection, LIMITS)
    assert isinstance(last, Reply)
    return last


def test_the_engine_says_what_mova_chat_says(engine: Engine, session: Session, mova: Mova) -> None:
    chat, image = mova.chat(), pictures(1)[0]
    for asked, shown in ((ASKED, image), ("how many dogs ?", None)):
        *events, last = engine.converse(session, asked, ROUTER, LIMITS)
        expected = chat.ask(asked, shown, max_new_tokens=7)
        assert isinstance(last, Reply)
        assert last.answer.text == expected.text
        assert "".join(event.text for event in events if isinstance(event, Piece)) == expected.text
    assert [role for role, _ in session.turns] == ["user", "assistant"] * 2
    assert session.turns[-2:] == [("user", "how many dogs ?"), ("assistant", expected.text)]


def test_an_answer_that_is_not_read_to_its_end_is_forgotten(
    engine: Engine, session: Session, mova: Mova
) -> None:
    answer = engine.converse(session, ASKED, ROUTER, LIMITS)
    next(answer)
    answer.close()
    assert session.messages == []


def test_a_question_without_a_picture(engine: Engine) -> None:
    with pytest.raises(UserError, match="give one with the first question"):
        next(engine.converse(Session(), ASKED, ROUTER, LIMITS))


def test_the_last_question_again_with_other_experts(
    engine: Engine, session: Session, mova: Mova
) -> None:
    image = pictures(1)[0]
    reply(engine, session, ROUTER)
    before = session.turns
    assert session.picture is not None
    sets = ["all", "none", "one", "two", "three"]  # more than run at once
    questions = [
        Question(
            messages=session.messages[:-1],
            picture=session.picture,
            selection=ExpertSelection.of(names, None, mova.experts),
            limits=LIMITS,
        )
        for names in sets
    ]
    again = dict(engine.replies(questions))
    expected = [mova.ask(image, ASKED, experts=names, max_new_tokens=7).text for names in sets]
    assert [again[number].answer.text for number in range(len(sets))] == expected
    assert session.turns == before


class TestSwitches:
    """Experts forced and forbidden, the others by the router."""

    def test_the_rest_stays_with_the_router(
        self, engine: Engine, session: Session, mova: Mova
    ) -> None:
        chosen = set(mova.ask(pictures(1)[0], ASKED, max_new_tokens=1).routing.experts)
        for name in mova.experts:
            session.reset()
            forced = reply(engine, session, ExpertSelection(forced=frozenset([name]))).answer
            assert set(forced.routing.experts) == chosen | {name}
            assert forced.routing.scores  # the router was asked
            session.reset()
            without = reply(engine, session, ExpertSelection(forbidden=frozenset([name]))).answer
            assert set(without.routing.experts) == chosen - {name}

    def test_the_answer_is_that_of_the_experts(
        self, engine: Engine, session: Session, mova: Mova
    ) -> None:
        switched = ExpertSelection(forced=frozenset(["one", "two"]), forbidden=frozenset(["three"]))
        expected = mova.ask(pictures(1)[0], ASKED, experts="one,two", max_new_tokens=7)
        answer = reply(engine, session, switched).answer
        assert answer.text == expected.text
        torch.testing.assert_close(answer.gates, expected.gates)

    def test_the_limit_is_for_the_routers_choice(
        self, engine: Engine, session: Session, mova: Mova
    ) -> None:
        choice = ExpertSelection(max_experts=0, forced=frozenset(["two"]))
        assert reply(engine, session, choice).answer.routing.experts == ("two",)


class TestAttention:
    def test_it_is_that_of_the_question_asked_alone(self, mova: Mova) -> None:
        """In a batch of questions with other experts."""
        shown = pictures(3)
        sets = ["one,two", "two", "none"]
        with running(mova, max_batch_size=3) as engine:
            told: list[list[RoutingEvent]] = [[], [], []]
            asked = [
                question(mova, p, experts=e, attention=True)
                for p, e in zip(shown, sets, strict=True)
            ]
            tickets = [
                engine.submit(one, lambda event, heard=heard: heard.append(event))  # type: ignore[misc]
                for one, heard in zip(asked, told, strict=True)
            ]
            del tickets
        for picture, names, heard in zip(shown, sets, told, strict=True):
            with watched(mova.model.model.adapter) as found:
                mova.ask(picture, ASKED, experts=names, max_new_tokens=1)
            chosen = [] if names == "none" else names.split(",")
            attention = heard[0].attention
            assert list(attention) == chosen
            for name, blocks in attention.items():
                assert len(blocks) == 2
                for i, block in enumerate(blocks):
                    alone = found[i, mova.experts.index(name)][0]
                    torch.testing.assert_close(block, alone, rtol=1e-4, atol=1e-6)

    def test_it_is_not_told_unless_wanted(
        self, engine: Engine, session: Session, mova: Mova
    ) -> None:
        first = next(
            engine.converse(session, ASKED, ExpertSelection.of("all", None, mova.experts), LIMITS)
        )
        assert isinstance(first, RoutingEvent)
        assert first.attention == {}
