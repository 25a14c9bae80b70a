"""The released templates as chat templates: rendered, they are the released prompts."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from openmova.checkpoints.templates import TEMPLATES
from openmova.model.processing_mova import MovaProcessor
from tiny import pictures, tiny_config, tiny_question_tokenizer, tiny_tokenizer

QUESTIONS = ["What is shown?\nAnswer 'in' \"one\" word.", " {{ 1 }} {text} é\\n😀 ", "last"]


# The released templates, piece by piece: the system's turn, a user's and an answered one, and the
# opened turn. {text} is what is said.
LLAMA3 = "<|start_header_id|>{role}<|end_header_id|>\n\n"
PIECES: dict[str, tuple[str, str, str, str]] = {
    "mova_llama3": (
        "<|begin_of_text|>" + LLAMA3.replace("{role}", "system") + "{text}<|eot_id|>",
        LLAMA3.replace("{role}", "user") + "{text}<|eot_id|>",
        LLAMA3.replace("{role}", "assistant") + "{text}<|eot_id|>",
        LLAMA3.replace("{role}", "assistant"),
    ),
    "vicuna_v1": ("{text} ", "USER: {text} ", "ASSISTANT: {text}</s>", "ASSISTANT:"),
    "llava_v1": ("{text} ", "USER: {text} ", "ASSISTANT: {text}</s>", "ASSISTANT:"),
}
BRIEF = {"role": "system", "content": "Be brief."}


def prompt(name: str, *turns: str) -> str:
    """What the released scripts make of a system's turn, and user and assistant in turn."""
    system, user, assistant, _ = PIECES[name]
    said = [
        (assistant if number % 2 else user).replace("{text}", turn)
        for number, turn in enumerate(turns)
    ]
    return system.replace("{text}", "Be brief.") + "".join(said)


def processor(name: str) -> MovaProcessor:
    return MovaProcessor.from_config(
        tiny_config(), tiny_tokenizer(), tiny_question_tokenizer(), chat_template=TEMPLATES[name]
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
    """In place of the template's own system turn, which the golden sets check, stands another."""
    made = processor(name)
    expected = prompt(name, *turns(count))
    messages = [BRIEF, *conversation(count)]
    assert made.apply_chat_template(messages) == expected
    opened = expected + PIECES[name][3]
    assert made.apply_chat_template(messages, add_generation_prompt=True) == opened
    as_text = [BRIEF, {"role": "user", "content": turns(count)[0]}, *messages[2:]]
    assert made.apply_chat_template(as_text, add_generation_prompt=True) == opened
    answered = [*messages, {"role": "assistant", "content": "a dog"}]
    assert made.apply_chat_template(answered) == prompt(name, *turns(count), "a dog")
    own = made.apply_chat_template(messages[1:])
    assert own.endswith(expected.split("Be brief.")[1]) and "assistant" in own


@pytest.mark.parametrize("role", ["tool", "system"])
def test_another_role_is_an_error(role: str) -> None:
    messages = [*conversation(1), {"role": role, "content": "x"}]
    with pytest.raises(TemplateError, match="of user or assistant"):
        processor("mova_llama3").apply_chat_template(messages)


@pytest.mark.parametrize("name", TEMPLATES)
def test_survives_saving(name: str, tmp_path: Any) -> None:
    made = processor(name)
    made.save_pretrained(tmp_path)
    loaded = MovaProcessor.from_pretrained(tmp_path)
    assert loaded.render(conversation(3)) == made.render(conversation(3))
