"""A conversation through the engine: the answers of `Mova`, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from inference.asking import Asked, question, running
from openmova import Mova
from openmova.inference.answer import Answer
from openmova.inference.attention import watched
from openmova.inference.engine import Engine, Piece, Question, RoutingEvent
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, Session
from openmova.routing.selection import ExpertSelection
from tiny import pictures

ASKED = "what is this ?"
LIMITS = GenerationLimits(max_new_tokens=7, max_seconds=None)
ROUTER = ExpertSelection()
IMAGE = pictures(1)[0]


@pytest.fixture(scope="module")
def engine(mova: Mova) -> Iterator[Engine]:
    with running(mova, max_batch_size=3) as engine:
        yield engine


@pytest.fixture
def session(mova: Mova) -> Session:
    session = Session()
    session.open(Picture.of(IMAGE, mova.processor))
    return session


def answer(engine: Engine, session: Session, selection: ExpertSelection = ROUTER) -> Answer:
    *_, last = engine.converse(session, ASKED, selection, LIMITS)
    return last.answer


def test_the_engine_says_what_mova_chat_says(engine: Engine, session: Session, mova: Mova) -> None:
    chat = mova.chat()
    for asked, shown in ((ASKED, IMAGE), ("how many dogs ?", None)):
        *events, last = engine.converse(session, asked, ROUTER, LIMITS)
        expected = chat.ask(asked, shown, max_new_tokens=7)
        assert last.answer.text == expected.text
        assert "".join(event.text for event in events if isinstance(event, Piece)) == expected.text
    assert [role for role, _ in session.turns] == ["user", "assistant"] * 2
    assert session.turns[-2:] == [("user", "how many dogs ?"), ("assistant", expected.text)]


def test_an_answer_not_read_to_its_end_is_forgotten(engine: Engine, session: Session) -> None:
    everyone = ExpertSelection(forced=frozenset(["one", "two", "three"]))
    events = engine.converse(session, ASKED, everyone, LIMITS)
    assert next(events).attention == {}  # it is not told unless wanted
    events.close()
    assert session.messages == []


def test_a_question_again_with_other_experts(engine: Engine, session: Session, mova: Mova) -> None:
    answer(engine, session)
    before = session.turns
    sets = ["all", "none", "one", "two", "three"]  # more than run at once
    questions = [
        Question(
            messages=session.messages[:-1],
            selection=ExpertSelection.of(names, None, mova.experts),
            limits=LIMITS,
        )
        for names in sets
    ]
    again = dict(engine.replies(questions))
    expected = [mova.ask(IMAGE, ASKED, experts=names, max_new_tokens=7).text for names in sets]
    assert [again[number].answer.text for number in range(len(sets))] == expected
    assert session.turns == before


def test_the_router_chooses_beside_the_forced(engine: Engine, session: Session, mova: Mova) -> None:
    chosen = set(mova.ask(IMAGE, ASKED, max_new_tokens=1).routing.experts)
    for name in mova.experts:
        session.reset()
        forced = answer(engine, session, ExpertSelection(forced=frozenset([name])))
        assert set(forced.routing.experts) == chosen | {name}
        assert forced.routing.scores  # the router was asked
        session.reset()
        without = answer(engine, session, ExpertSelection(forbidden=frozenset([name])))
        assert set(without.routing.experts) == chosen - {name}


def test_switched_experts_answer_as_if_chosen(engine: Engine, session: Session, mova: Mova) -> None:
    switched = ExpertSelection(forced=frozenset(["one", "two"]), forbidden=frozenset(["three"]))
    expected = mova.ask(IMAGE, ASKED, experts="one,two", max_new_tokens=7)
    found = answer(engine, session, switched)
    assert found.text == expected.text
    torch.testing.assert_close(found.gates, expected.gates)
    limited = ExpertSelection(max_experts=0, forced=frozenset(["two"]))
    assert answer(engine, session, limited).routing.experts == ("two",)


def test_attention_is_that_of_the_question_asked_alone(mova: Mova) -> None:
    """In a batch of questions with other experts."""
    shown, sets = pictures(3), ["one,two", "two", "none"]
    with running(mova, max_batch_size=3) as engine:
        handed_in = [
            Asked(engine, question(mova, picture, experts=names, attention=True))
            for picture, names in zip(shown, sets, strict=True)
        ]
        told = [one.until(RoutingEvent).attention for one in handed_in]
    for picture, names, attention in zip(shown, sets, told, strict=True):
        with watched(mova.model.model.adapter) as found:
            mova.ask(picture, ASKED, experts=names, max_new_tokens=1)
        assert list(attention) == ([] if names == "none" else names.split(","))
        for name, blocks in attention.items():
            assert len(blocks) == 2
            for i, block in enumerate(blocks):
                alone = found[i, mova.experts.index(name)][0]
                torch.testing.assert_close(block, alone, rtol=1e-4, atol=1e-6)
