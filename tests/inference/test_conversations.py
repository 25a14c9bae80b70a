"""Conversations with a system message, with several pictures, and with none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from inference.asking import Asked, question, running
from openmova import Mova
from openmova.errors import UserError
from openmova.inference.engine import Question, RoutingEvent
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, assistant_turn, system_turn, user_turn
from openmova.inference.timing import StageTimer
from openmova.routing.selection import ExpertSelection
from tiny import pictures

ASKED, NEXT = "what is this ?", "how many dogs ?"
TOKENS = 9


@pytest.fixture
def looked(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many pictures each run of the base encoder saw."""
    runs: list[int] = []
    encode = mova.model.model.encode_base

    def count(pixel_values: Any, sizes: Any) -> Any:
        runs.append(len(pixel_values))
        return encode(pixel_values, sizes)

    monkeypatch.setattr(mova.model.model, "encode_base", count)
    yield runs


def written(mova: Mova, prompt: str, tokens: torch.Tensor | None) -> str:
    """What the language model goes on with."""
    ids = torch.tensor([mova.processor.prompt_ids(prompt)])
    options = {"max_new_tokens": TOKENS, "do_sample": False}
    new = mova.model.generate(ids, image_tokens=tokens, **options)[0, ids.shape[1] :]
    return mova.processor.tokenizer.decode(new, skip_special_tokens=True).strip()


def tokens_of(mova: Mova, picture: Any, text: str) -> torch.Tensor:
    """The image tokens of one picture that is asked about by itself."""
    turn = user_turn(text, [Picture.of(picture, mova.processor)])
    inputs = mova.prepare([[turn]], [ExpertSelection()], GenerationLimits())
    return mova.model.encode_images(inputs).tokens


def test_without_a_picture_the_language_model_answers_alone(mova: Mova, looked: list[int]) -> None:
    chat = mova.chat()
    answer = chat.ask(ASKED, max_new_tokens=TOKENS)
    assert answer.text == written(mova, f"<s><user> {ASKED} <assistant>", None)
    assert answer.routing.experts == answer.looks == answer.boxes == ()
    assert answer.to_dict()["routing"]["scores"] == {}
    chat.ask(NEXT, max_new_tokens=TOKENS)
    assert looked == []


def test_a_picture_may_come_later(mova: Mova) -> None:
    picture, chat = pictures(1)[0], mova.chat()
    first = chat.ask(ASKED, max_new_tokens=TOKENS).text
    answer = chat.ask(NEXT, more=[picture], max_new_tokens=TOKENS)
    said = f"<s><user> {ASKED} <assistant> {first} <user> <image>\n{NEXT} <assistant>"
    assert answer.text == written(mova, said, tokens_of(mova, picture, NEXT))


def test_each_picture_is_looked_at_for_the_last_question_before_others(
    mova: Mova, looked: list[int]
) -> None:
    shown, chat = pictures(3), mova.chat()
    first = chat.ask(ASKED, shown[0], more=[shown[1]], max_new_tokens=TOKENS).text
    second = chat.ask(NEXT, max_new_tokens=TOKENS).text
    answer = chat.ask("what red ?", more=[shown[2]], max_new_tokens=TOKENS)
    assert sum(looked) == 3  # what is known of the pictures is kept
    asked = [NEXT, NEXT, "what red ?"]
    tokens = [tokens_of(mova, *one) for one in zip(shown, asked, strict=True)]
    prompt = (
        f"<s><user> <image>\n<image>\n{ASKED} <assistant> {first} <user> {NEXT} <assistant> "
        f"{second} <user> <image>\nwhat red ? <assistant>"
    )
    assert answer.text == written(mova, prompt, torch.cat(tokens, dim=1))
    for look, picture, text in zip(answer.looks, shown, asked, strict=True):
        alone = mova.ask(picture, text, max_new_tokens=1)
        assert look.routing.experts == alone.routing.experts
        torch.testing.assert_close(look.gates, alone.gates)


def test_the_router_does_not_see_the_system_message(mova: Mova) -> None:
    picture = pictures(1)[0]
    answer = mova.chat("red cat").ask(ASKED, picture, max_new_tokens=TOKENS)
    alone = mova.ask(picture, ASKED, max_new_tokens=TOKENS)
    prompt = f"<s><system> red cat <user> <image>\n{ASKED} <assistant>"
    assert answer.routing == alone.routing
    assert answer.text == written(mova, prompt, tokens_of(mova, picture, ASKED)) != alone.text


def test_in_any_company_as_alone(mova: Mova) -> None:
    """Conversations with none, one and several pictures share the engine's passes."""
    shown = [Picture.of(picture, mova.processor) for picture in pictures(4)]
    talks = [
        [user_turn(ASKED)],
        [user_turn(ASKED, shown[:1])],
        [system_turn("red cat"), user_turn(ASKED, shown[1:3])],
        [user_turn(ASKED, shown[3:]), assistant_turn("dogs"), user_turn(NEXT, shown[:1])],
        [user_turn(NEXT), assistant_turn("blue"), user_turn(ASKED, shown)],
    ]
    limits, selection = GenerationLimits(max_new_tokens=TOKENS), ExpertSelection()
    with running(mova, max_batch_size=5) as engine:
        options = {"selection": selection, "limits": limits}
        for _ in range(2):  # the second time the pictures are known
            handed_in = [Asked(engine, Question(messages=talk, **options)) for talk in talks]
            answers = [one.reply().answer for one in handed_in]
            for talk, answer in zip(talks, answers, strict=True):
                (alone,) = mova.answer([talk], selection, limits, StageTimer(mova.model.device))
                assert answer.text == alone.text
                assert [look.routing.raw for look in answer.looks] == [
                    look.routing.raw for look in alone.looks
                ]


def test_attention_is_that_of_the_last_picture(mova: Mova) -> None:
    shown = [Picture.of(picture, mova.processor) for picture in pictures(2)]
    with running(mova) as engine:
        options = {"experts": "one,two", "attention": True}
        alone = Asked(engine, question(mova, pictures(2)[1], **options))
        both = Asked(
            engine,
            Question(
                messages=[user_turn(ASKED, shown)],
                selection=ExpertSelection.of("one,two", None, mova.experts),
                limits=GenerationLimits(max_new_tokens=1),
                attention=True,
            ),
        )
        expected, found = (one.until(RoutingEvent).attention for one in (alone, both))
    for name in ("one", "two"):
        torch.testing.assert_close(found[name], expected[name])


def test_a_mistake_changes_nothing(mova: Mova) -> None:
    picture, chat = pictures(1)[0], mova.chat()
    chat.ask(ASKED, picture, max_new_tokens=1)
    before = chat.session.messages
    for told, call in {
        "show at most 8": lambda: chat.ask(ASKED, more=[picture] * 8),
        "no file": lambda: chat.ask(ASKED, more=["no/such.png"]),
        "100,000 characters": lambda: mova.chat("x" * 100_000),
        "UTF-8": lambda: mova.chat("\udcff"),
    }.items():
        with pytest.raises(UserError, match=told):
            call()
    assert chat.session.messages is before


def test_a_template_without_a_system_message(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "{{ raise_exception('no system') if messages[0].role == 'system' else 'what' }}"
    monkeypatch.setattr(mova.processor, "chat_template", template)
    with pytest.raises(UserError, match="takes no such messages: no system"):
        mova.chat("red").ask(ASKED)
    with running(mova) as engine, pytest.raises(UserError, match="no system"):
        talk = [system_turn("red"), user_turn(ASKED)]
        options = {"selection": ExpertSelection(), "limits": GenerationLimits()}
        Asked(engine, Question(messages=talk, **options)).reply()
