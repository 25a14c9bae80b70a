"""Prompts, ids and parsing are the released ones, to the letter (golden set 14 and its like).

Reads the folder named by OPENMOVA_PARITY; every text, id and letter comes from its JSON files.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from openmova.checkpoints.templates import TEMPLATES
from openmova.model.processing_mova import MovaProcessor
from openmova.routing import gate_text, parse_routing, routing_prompt
from tiny import pictures, tiny_config, tiny_question_tokenizer, tiny_tokenizer, toy_tokenizer

from .golden import find, ids

pytestmark = pytest.mark.parity


def sets_with(*keys: str) -> list[Any]:
    """Every JSON of the folder that has these entries."""
    return [
        pytest.param(golden.spec, id=ids(golden))
        for golden in find(lambda module: True)
        if golden.spec.keys() >= set(keys)
    ]


def pool_of(prompt: str) -> tuple[str, list[str]]:
    """The instruction and the descriptions that a released routing prompt was made of."""
    instruction, rest = prompt.split("\nModel pool:\n")
    lines = rest.split("\n\nQuestion:\n")[0].splitlines()
    return instruction, [line.split(". ", 1)[1] for line in lines]


@pytest.mark.parametrize("golden", sets_with("ROUTING_PROMPT"))
def test_routing_prompt_is_made_of_its_pool(golden: dict[str, Any]) -> None:
    instruction, descriptions = pool_of(golden["ROUTING_PROMPT"])
    assert routing_prompt(instruction, descriptions, "") == golden["ROUTING_PROMPT"]


def rendered(template: str, text: str) -> str:
    """A picture and a text in a released template."""
    turns = [{"role": "user", "content": f"<image>\n{text}"}]
    return tiny_tokenizer().apply_chat_template(
        turns, chat_template=TEMPLATES[template], tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize("golden", sets_with("prompts", "ROUTING_PROMPT"))
def test_templates_give_the_released_prompts(golden: dict[str, Any]) -> None:
    instruction, descriptions = pool_of(golden["ROUTING_PROMPT"])
    for question, templates in golden["prompts"].items():
        for name, expected in templates.items():
            routing = routing_prompt(instruction, descriptions, question)
            assert rendered(name, question) == expected["answer"]
            assert rendered(name, routing) == expected["routing"]


@pytest.mark.parametrize("golden", sets_with("routing_parse", "letter_to_expert"))
def test_answers_are_read_by_the_released_rule(golden: dict[str, Any]) -> None:
    letters = list(golden["letter_to_expert"])
    for answer, weights in golden["routing_parse"].items():
        expected = {index for index, weight in enumerate(weights) if weight}
        assert parse_routing(answer, letters) == expected, answer


@pytest.mark.parametrize("golden", sets_with("tokenizer_image_token"))
def test_the_processor_splices_by_the_released_rule(golden: dict[str, Any]) -> None:
    for name, case in golden["tokenizer_image_token"].items():
        others = set(case["ids"]) - set(case["toy_vocab"].values()) - {golden["image_token_index"]}
        tokenizer = toy_tokenizer(
            case["toy_vocab"],
            bos_token_id=others.pop() if others else 1,
            adds_bos=name.endswith("=True"),
        )
        config = tiny_config(image_token_id=tokenizer.convert_tokens_to_ids("<image>"))
        parts = (config, tokenizer, tiny_question_tokenizer())
        processor = MovaProcessor.from_config(*parts, split_at_image=True)
        processor.image_tokens = 1
        count = case["prompt"].count("<image>")
        asked: Any = {"images": [pictures(count)], "questions": [["what"] * count]} if count else {}
        ids = processor(**asked, text=case["prompt"], with_routing=False)["input_ids"]
        expected = torch.tensor([case["ids"]])
        expected[expected == golden["image_token_index"]] = processor.image_token_id
        assert ids == expected.tolist(), name


@pytest.mark.parametrize("golden", sets_with("bert_text"))
def test_gate_text_is_the_released_one(golden: dict[str, Any]) -> None:
    for case in golden["bert_text"]:
        assert gate_text(case["prompts"]) == case["text"]
