"""response_format: answers that follow a JSON schema, and schemas that are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from openmova import Mova
from openmova.images.opening import ImageLimits
from openmova.model.processing_mova import MovaProcessor
from serve.http.served import MODEL, Served, asked, serving
from tiny import TEMPLATE, pictures, tiny_config, tiny_model, tiny_question_tokenizer

pytest.importorskip("llguidance")

SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>", "<user>", "<assistant>", "<system>"]
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "dog"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["kind", "count"],
    "additionalProperties": False,
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte."""
    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=SPECIAL[4:],
        chat_template=TEMPLATE,
        padding_side="left",
    )


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    tokenizer = byte_tokenizer()
    text = tiny_config().text_config.to_dict()
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 1024}
    model = tiny_model(text_config=text)
    processor = MovaProcessor.from_config(
        model.config, tokenizer, tiny_question_tokenizer(), max_side=64
    )
    images = ImageLimits(file_bytes=100_000, pixels=10_000)
    with serving(Mova(model, processor), images=images) as served:
        yield served


def wanted(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "found", "schema": schema}}


def test_answers_follow_the_schema(served: Served) -> None:
    (picture,) = pictures(1)
    options = {"max_tokens": 60, "response_format": wanted(SCHEMA)}
    drawn = served.chat(asked(picture), n=4, temperature=2.0, seed=1, **options)
    greedy = served.chat(asked(picture), logprobs=True, top_logprobs=3, **options)
    chunks = list(served.chat(asked(picture), stream=True, **options))
    for choice in [*drawn.choices, *greedy.choices]:
        found = json.loads(choice.message.content)
        assert choice.finish_reason == "stop"
        assert set(found) == {"kind", "count"}
        assert found["kind"] in ("cat", "dog")
        assert 0 <= found["count"] <= 99
    assert len({choice.message.content for choice in drawn.choices}) > 1
    text = greedy.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert "".join(token.token for token in greedy.choices[0].logprobs.content) == text


def test_company_is_not_masked(served: Served) -> None:
    (picture,) = pictures(1)
    plain = served.chat(asked(picture), max_tokens=20).choices[0].message.content
    masked = served.chat(
        asked(picture), max_tokens=200, response_format=wanted(SCHEMA), stream=True
    )
    next(iter(masked))
    assert served.chat(asked(picture), max_tokens=20).choices[0].message.content == plain
    some = {"type": "json_object"}
    answer = served.chat(asked(picture), max_tokens=20, response_format=some)
    assert answer.choices[0].message.content.startswith("{")
    masked.close()


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "string", "minLength": 3, "maxLength": 1}, "does not do"),
        ({"enum": []}, "does not do"),
        ({"type": "nothing"}, "does not do"),
        ({"$ref": "https://example.org/schema.json"}, "does not do"),
        ({"enum": ["x" * 1_000_000]}, "characters: give at most 20,000"),
        (False, "response_format.json_schema.schema"),
    ],
)
def test_a_schema_that_does_not_do(served: Served, schema: Any, told: str) -> None:
    body = {"model": MODEL, "messages": asked(pictures(1)[0]), "response_format": wanted(schema)}
    status, answer = served.post(body)
    assert status == 400
    assert told in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]
    assert served.post({**body, "response_format": None, "max_tokens": 1})[0] == 200
