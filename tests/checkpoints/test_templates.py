"""The released templates as chat templates: rendered, they are the released prompts."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.exceptions import TemplateError

from openmova.checkpoints.templates import TEMPLATES
from openmova.model.processing_mova import MovaProcessor
from tiny import pictures, tiny_config, tiny_question_tokenizer, tiny_tokenizer

QUESTIONS = ["What is shown?\nAnswer 'in' \"one\" word.", " {{ 1 }} {text} é\\n😀 ", "last"]


BRIEF = {"role": "system", "content": "Be brief."}
LLAMA3 = "<|start_header_id|>{role}<|end_header_id|>\n\n"
VICUNA = {
    "system": "{text} ",
    "user": "USER: {text} ",
    "assistant": "ASSISTANT: {text}</s>",
    "opened": "ASSISTANT:",
}
PIECES: dict[str, dict[str, str]] = {
    "mova_llama3": {
        "system": "<|begin_of_text|>" + LLAMA3.replace("{role}", "system") + "{text}<|eot_id|>",
        "user": LLAMA3.replace("{role}", "user") + "{text}<|eot_id|>",
        "assistant": LLAMA3.replace("{role}", "assistant") + "{text}<|eot_id|>",
        "opened": LLAMA3.replace("{role}", "assistant"),
    },
    "vicuna_v1": VICUNA,
    "llava_v1": VICUNA,
}
"""The released templates, piece by piece; {text} is what is said."""


def text(content: Any) -> str:
    """A turn as the released scripts hold it."""
    if isinstance(content, str):
        return content
    return "".join("<image>\n" if "image" in part else part["text"] for part in content)


def prompt(name: str, turns: list[dict[str, Any]]) -> str:
    """What the released scripts make of these turns."""
    pieces = PIECES[name]
    return "".join(pieces[t["role"]].replace("{text}", text(t["content"])) for t in turns)


def processor(name: str) -> MovaProcessor:
    return MovaProcessor.from_config(
        tiny_config(), tiny_tokenizer(), tiny_question_tokenizer(), chat_template=TEMPLATES[name]
    )


def conversation(count: int) -> list[dict[str, Any]]:
    """So many questions about a picture, all but the last one answered."""
    turns: list[dict[str, Any]] = []
    for number, question in enumerate(QUESTIONS[:count]):
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if not number:
            content.insert(0, {"type": "image", "image": pictures(1)[0]})
        answer = [{"type": "text", "text": f"said {number}\n"}]
        turns += [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    return turns[:-1]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_the_released_prompt(name: str, count: int) -> None:
    """In place of the template's own system turn, which the golden sets check, stands another."""
    render = processor(name).apply_chat_template
    turns = [BRIEF, *conversation(count)]
    as_text = [{**turn, "content": text(turn["content"])} for turn in turns]
    answered = [*turns, {"role": "assistant", "content": "a dog"}]
    for said in (turns, as_text, answered):
        assert render(said) == prompt(name, said)
        assert (
            render(said, add_generation_prompt=True) == prompt(name, said) + PIECES[name]["opened"]
        )
    own = render(turns[1:])
    assert own.endswith(prompt(name, turns[1:])) and "assistant" in own


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
