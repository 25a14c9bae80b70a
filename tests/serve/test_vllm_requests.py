"""What is asked of vLLM; all of it without vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.asking import tiny_mova
from openmova.errors import UserError
from openmova.inference.session import user_turn
from openmova.routing import RouterLoraConfig
from openmova.serve.vllm.requests import RequestOptions, Requests
from tiny import pictures

POOL = ("one", "two", "three")
ASKED = "what is this ?"


@pytest.fixture
def requests() -> Requests:
    mova = tiny_mova()
    return Requests(Path(), mova.model.config, mova.processor)


def test_an_answers_prompt_is_that_of_mova_with_one_image_token(requests: Requests) -> None:
    processor = tiny_mova().processor
    (picture,) = pictures(1)
    request = requests.answer(picture, ASKED, ["two"])
    conversation = [user_turn(ASKED, [picture])]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True}
    ids = processor.apply_chat_template(
        conversation, processor_kwargs={"images": [picture]}, **options
    )["input_ids"][0]
    image, given = processor.image_token_id, request["prompt_token_ids"]
    place = given.index(image)
    assert given[:place] + [image] * processor.image_tokens + given[place + 1 :] == ids
    assert request["multi_modal_data"]["image"].size == picture.size
    assert request["mm_processor_kwargs"] == {"experts": ["two"], "question": ASKED}


def test_a_routing_prompt_is_that_of_mova_with_one_image_token(requests: Requests) -> None:
    processor = tiny_mova().processor
    (picture,) = pictures(1)
    request = requests.routing(picture, ASKED)
    image, given = processor.image_token_id, request["prompt_token_ids"]
    place = given.index(image)
    ids = processor(images=[picture], questions=[ASKED])["routing_input_ids"][0]
    assert given[:place] + [image] * processor.routing_tokens + given[place + 1 :] == ids
    assert request["mm_processor_kwargs"] == {"pooled": True}


def test_the_routers_text_becomes_names_in_the_order_of_the_pool(requests: Requests) -> None:
    assert requests.experts("C, A") == ["one", "three"]
    assert requests.experts("none") == []


def test_what_is_written_is_what_is_read(requests: Requests) -> None:
    (picture,) = pictures(1)
    given = requests.answer(picture, ASKED, ["three", "one"])["mm_processor_kwargs"]
    wanted = RequestOptions.of(given, POOL)
    assert wanted == RequestOptions(experts=(True, False, True), question=ASKED, pooled=False)
    given = requests.answer(picture, ASKED, [])["mm_processor_kwargs"]
    assert RequestOptions.of(given, POOL).experts == (False, False, False)
    given = requests.routing(picture, ASKED)["mm_processor_kwargs"]
    assert RequestOptions.of(given, POOL) == RequestOptions(
        experts=(False,) * 3, question="", pooled=True
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "say which experts look"),
        ({"experts": None, "question": ASKED}, "say which experts look"),
        ({"experts": "all"}, 'give mm_processor_kwargs "question"'),
        ({"experts": ["four"], "question": ASKED}, "there is no expert 'four'"),
    ],
)
def test_who_looks_must_be_said(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        RequestOptions.of(given, POOL)


def test_mistakes_are_told_before_vllm_is_asked(requests: Requests) -> None:
    (picture,) = pictures(1)
    with pytest.raises(UserError, match="there is no expert"):
        requests.answer(picture, ASKED, ["four"])
    with pytest.raises(UserError, match="question"):
        requests.answer(picture, " ", "none")


def test_a_router_with_matrices_of_its_own_is_asked_elsewhere() -> None:
    mova = tiny_mova()
    mova.model.model.add_router_lora(RouterLoraConfig(rank=2, alpha=4, targets=("q_proj",)))
    requests = Requests(Path(), mova.model.config, mova.processor)
    with pytest.raises(UserError, match="LoRA of its own"):
        requests.routing(pictures(1)[0], ASKED)
