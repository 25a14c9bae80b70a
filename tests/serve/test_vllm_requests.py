"""What is asked of vLLM; all of it without vLLM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.asking import tiny_mova
from openmova.errors import UserError
from openmova.inference.session import Picture, user_turn
from openmova.serve.vllm.requests import RequestOptions, Requests
from serve.sparse import sparse_mova
from tiny import pictures, tiny_config

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


@pytest.mark.parametrize("pool_first", [False, True])
def test_a_routing_prompt_is_that_of_mova_with_one_image_token(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, pool_first: bool
) -> None:
    processor = tiny_mova().processor
    for one in (processor, requests.processor):
        monkeypatch.setattr(one, "pool_first", pool_first)
    (picture,) = pictures(1)
    request = requests.routing(picture, ASKED)
    image, given = processor.image_token_id, request["prompt_token_ids"]
    place = given.index(image)
    ids = processor(images=[picture], questions=[ASKED])["routing_input_ids"][0]
    assert given[:place] + [image] * processor.routing_tokens + given[place + 1 :] == ids
    assert request["mm_processor_kwargs"] == {"pooled": True}


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


def test_each_picture_of_a_conversation_has_its_own_options() -> None:
    given = {"pictures": {"aa": {"experts": ["one"], "question": ASKED}, "bb": {"pooled": True}}}
    assert RequestOptions.of(given, POOL, "aa").experts == (True, False, False)
    assert RequestOptions.of(given, POOL, "bb").pooled
    with pytest.raises(UserError, match="say which experts look"):
        RequestOptions.of(given, POOL, "cc")


def test_the_number_of_image_tokens_is_that_of_the_model_or_the_one_that_was_counted() -> None:
    dense = tiny_config().adapter
    sparse = replace(dense, token_grid=dense.grid, summary_grid=(1, 2))
    pooled = RequestOptions.of({"pooled": True}, POOL)
    assert pooled.image_tokens(dense, 2) == pooled.image_tokens(sparse, 2) == 2
    chosen = RequestOptions.of({"experts": ["two"], "question": ASKED}, POOL)
    assert chosen.image_tokens(dense, 2) == dense.tokens
    with pytest.raises(UserError, match="follows the experts' maps"):
        chosen.image_tokens(sparse, 2)
    assert replace(chosen, tokens=7).image_tokens(sparse, 2) == 7
    assert RequestOptions.of({"experts": "none"}, POOL).image_tokens(sparse, 2) == 2
    for wrong, kept in ((-1, 1), (10**9, sparse.tokens)):
        assert replace(chosen, tokens=wrong).image_tokens(sparse, 2) == kept
    with pytest.raises(UserError, match="give a number"):
        RequestOptions.of({"experts": "none", "tokens": "many"}, POOL)


def test_nothing_is_counted_where_the_number_of_image_tokens_is_known(requests: Requests) -> None:
    processor = tiny_mova().processor
    picture = Picture.of(pictures(1)[0], processor)
    assert requests.count(picture, ASKED, ["one"]) is None
    sparse = sparse_mova()
    counting = Requests(Path(), sparse.model.config, sparse.processor)
    assert counting.count(picture, ASKED, []) is None
    pixels, shape, fingerprint, asked, chosen = counting.count(picture, ASKED, ["three"]) or ()
    (values,) = processor.image_processor([picture.image])["pixel_values"]
    assert pixels == values.numpy().tobytes() and shape == list(values.shape)
    assert fingerprint == picture.fingerprint
    assert [asked] == processor.question_inputs([ASKED])["question_input_ids"]
    assert chosen == [False, False, True]
