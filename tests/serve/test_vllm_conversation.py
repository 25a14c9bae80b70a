"""A chat completion's messages for vLLM; all of it without vLLM."""

from __future__ import annotations

from typing import Any

import pytest

from inference.asking import tiny_mova
from openmova.errors import UserError
from openmova.inference.session import Picture
from openmova.serve.vllm.conversation import picture_messages, picture_questions
from tiny import pictures

IMAGE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:..."}}


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def test_images_stand_in_front_and_each_has_the_question_asked_about_it() -> None:
    processor = tiny_mova().processor
    shown = [Picture.of(picture, processor) for picture in pictures(3)]
    first, second, third = ({"type": "image_pil", "image_pil": one.image} for one in shown)
    messages = [
        {"role": "system", "content": "be short"},
        user(text("what"), IMAGE, text("is this ?")),
        {"role": "assistant", "content": [text("a cat")]},
        {"role": "user", "content": "red ?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        user(IMAGE, IMAGE, text("how many dogs ?")),
    ]
    rewritten = picture_messages(messages, shown, processor)
    assert rewritten == [
        {"role": "system", "content": "be short"},
        user(first, text("what\nis this ?")),
        *messages[2:5],
        user(second, third, text("how many dogs ?")),
    ]
    assert picture_questions(rewritten, processor) == ["red ?", *["how many dogs ?"] * 2]


def test_what_a_person_wrote_stands_for_no_picture() -> None:
    processor = tiny_mova().processor
    (message,) = picture_messages([user(text("what is <image> this ?"))], [], processor)
    assert message == user(text("what is  this ?"))
    assert picture_questions([message], processor) == []


def test_only_the_user_shows_images() -> None:
    processor = tiny_mova().processor
    shown = [Picture.of(picture, processor) for picture in pictures(1)]
    with pytest.raises(UserError, match="only the user shows"):
        picture_messages([{**user(IMAGE), "role": "system"}], shown, processor)
