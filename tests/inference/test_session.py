"""A conversation through the engine: the answers of `Mova`, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from inference.asking import question, running, tiny_mova
from openmova import Mova
from openmova.errors import UserError
from openmova.inference.attention import watched
from openmova.inference.engine import Engine, Piece, Reply, Routed
from openmova.inference.request import Choice, Limits
from openmova.inference.session import Talk
from tiny import pictures

ASKED = "what is this ?"
LIMITS = Limits(max_new_tokens=7, max_seconds=None)


@pytest.fixture(scope="module")
def mova() -> Mova:
    return tiny_mova()


@pytest.fixture(scope="module")
def engine(mova: Mova) -> Iterator[Engine]:
    with running(mova, places=3) as engine:
        yield engine


@pytest.fixture
def talk(engine: Engine) -> Talk:
    talk = Talk(engine)
    talk.show(pictures(1)[0])
    return talk


def router(mova: Mova, **changes: object) -> Choice:
    return Choice(**{"fixed": None, "max_experts": None, **changes})  # type: ignore[arg-type]


def reply(talk: Talk, choice: Choice) -> Reply:
    *_, last = talk.ask(ASKED, choice, LIMITS)
    assert isinstance(last, Reply)
    return last


def test_a_talk_says_what_mova_chat_says(talk: Talk, mova: Mova) -> None:
    chat, image = mova.chat(), pictures(1)[0]
    for asked, shown in ((ASKED, image), ("how many dogs ?", None)):
        *events, last = talk.ask(asked, router(mova), LIMITS)
        expected = chat.ask(asked, shown, max_new_tokens=7)
        assert isinstance(last, Reply)
        assert last.answer.text == expected.text
        assert "".join(event.text for event in events if isinstance(event, Piece)) == expected.text
    assert [role for role, _ in talk.said] == ["user", "assistant"] * 2
    assert talk.said[-2:] == [("user", "how many dogs ?"), ("assistant", expected.text)]


def test_an_answer_that_is_not_read_to_its_end_is_forgotten(talk: Talk, mova: Mova) -> None:
    answer = talk.ask(ASKED, router(mova), LIMITS)
    next(answer)
    answer.close()
    assert talk.messages == []


def test_a_question_without_a_picture(engine: Engine, mova: Mova) -> None:
    with pytest.raises(UserError, match="give one first"):
        next(Talk(engine).ask(ASKED, router(mova), LIMITS))


class TestAgain:
    def test_under_other_choices(self, talk: Talk, mova: Mova) -> None:
        image = pictures(1)[0]
        reply(talk, router(mova))
        said = talk.said
        sets = ["all", "none", "one", "two", "three"]  # more than there are places
        choices = [Choice.of(names, None, mova.experts) for names in sets]
        again = dict(talk.again(choices, LIMITS))
        expected = [mova.ask(image, ASKED, experts=names, max_new_tokens=7).text for names in sets]
        assert [again[number].answer.text for number in range(len(sets))] == expected
        assert talk.said == said

    def test_before_anything_was_asked(self, talk: Talk, mova: Mova) -> None:
        with pytest.raises(UserError, match="nothing was asked yet"):
            next(talk.again([router(mova)], LIMITS))


class TestSwitches:
    """Experts forced and forbidden, the others by the router."""

    def test_the_rest_stays_with_the_router(self, talk: Talk, mova: Mova) -> None:
        chosen = set(mova.ask(pictures(1)[0], ASKED, max_new_tokens=1).routing.experts)
        for name in mova.experts:
            talk.forget()
            forced = reply(talk, router(mova, forced=frozenset([name]))).answer
            assert set(forced.routing.experts) == chosen | {name}
            assert forced.routing.scores  # the router was asked
            talk.forget()
            without = reply(talk, router(mova, forbidden=frozenset([name]))).answer
            assert set(without.routing.experts) == chosen - {name}

    def test_the_answer_is_that_of_the_experts(self, talk: Talk, mova: Mova) -> None:
        switched = router(mova, forced=frozenset(["one", "two"]), forbidden=frozenset(["three"]))
        expected = mova.ask(pictures(1)[0], ASKED, experts="one,two", max_new_tokens=7)
        answer = reply(talk, switched).answer
        assert answer.text == expected.text
        torch.testing.assert_close(answer.gates, expected.gates)

    def test_the_limit_is_for_the_routers_choice(self, talk: Talk, mova: Mova) -> None:
        choice = router(mova, max_experts=0, forced=frozenset(["two"]))
        assert reply(talk, choice).answer.routing.experts == ("two",)


class TestAttention:
    def test_it_is_that_of_the_question_asked_alone(self, mova: Mova) -> None:
        """In a batch of questions with other experts."""
        shown = pictures(3)
        sets = ["one,two", "two", "none"]
        with running(mova, places=3) as engine:
            told: list[list[Routed]] = [[], [], []]
            asked = [
                question(mova, p, experts=e, attended=True)
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

    def test_it_is_not_told_unless_wanted(self, talk: Talk, mova: Mova) -> None:
        first = next(talk.ask(ASKED, Choice.of("all", None, mova.experts), LIMITS))
        assert isinstance(first, Routed)
        assert first.attention == {}
