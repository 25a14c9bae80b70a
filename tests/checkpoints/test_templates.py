"""The released templates as chat templates: rendered, they are the released prompts."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from openmova.checkpoints.templates import TEMPLATES, ConversationTemplate
from openmova.model.processing_mova import MovaProcessor
from tiny import pictures, tiny_config, tiny_question_tokenizer, tiny_tokenizer

QUESTIONS = ["What is shown?\nAnswer 'in' \"one\" word.", " {{ 1 }} {text} é\\n😀 ", "last"]


def processor(template: ConversationTemplate) -> MovaProcessor:
    return MovaProcessor.from_config(
        tiny_config(), tiny_tokenizer(), tiny_question_tokenizer(), chat_template=template.jinja()
    )


def conversation(count: int) -> list[dict[str, Any]]:
    """So many questions about a picture, all but the last one answered."""
    messages = []
    for number, question in enumerate(QUESTIONS[:count]):
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if not number:
            content.insert(0, {"type": "image", "image": pictures(1)[0]})
        messages += [
            {"role": "user", "content": content},
            {"role": "assistant", "content": [{"type": "text", "text": f"said {number}\n"}]},
        ]
    return messages[:-1]


def turns(count: int) -> list[str]:
    """The same as the released scripts hold it."""
    said = [text for number in range(count) for text in (QUESTIONS[number], f"said {number}\n")]
    return [f"<image>\n{said[0]}", *said[1:-1]]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_the_released_prompt(name: str, count: int) -> None:
    template = TEMPLATES[name]
    made = processor(template)
    expected = template.prompt(*turns(count))
    messages = conversation(count)
    assert made.apply_chat_template(messages, add_generation_prompt=True) == expected
    assert made.apply_chat_template(messages) == expected.removesuffix(template.opening)
    as_text = [{"role": "user", "content": turns(count)[0]}, *messages[1:]]
    assert made.apply_chat_template(as_text, add_generation_prompt=True) == expected


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answered_conversation_ends_with_the_answer(name: str) -> None:
    template = TEMPLATES[name]
    messages = [*conversation(1), {"role": "assistant", "content": "a dog"}]
    rendered = processor(template).apply_chat_template(messages)
    answered = template.prompt(turns(1)[0], "a dog").removesuffix(template.opening)
    assert rendered == answered
    assert rendered.endswith(template.assistant.replace("{text}", "a dog"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_system_turn_replaces_the_instruction(name: str) -> None:
    template = TEMPLATES[name]
    messages = [{"role": "system", "content": "Be brief."}, *conversation(2)]
    rendered = processor(template).apply_chat_template(messages, add_generation_prompt=True)
    assert rendered == template.prompt(*turns(2)).replace(template.instruction, "Be brief.")


@pytest.mark.parametrize("role", ["tool", "system"])
def test_another_role_is_an_error(role: str) -> None:
    messages = [*conversation(1), {"role": role, "content": "x"}]
    with pytest.raises(TemplateError, match="of user or assistant"):
        processor(TEMPLATES["mova_llama3"]).apply_chat_template(messages)


@pytest.mark.parametrize("name", TEMPLATES)
def test_survives_saving(name: str, tmp_path: Any) -> None:
    made = processor(TEMPLATES[name])
    made.save_pretrained(tmp_path)
    loaded = MovaProcessor.from_pretrained(tmp_path)
    assert loaded.render(conversation(3)) == made.render(conversation(3))
