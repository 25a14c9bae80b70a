"""response_format: answers that follow a JSON schema, and schemas that are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from openmova import Mova
from openmova.checkpoints.tiny import tiny_mova
from serve.http.served import MODEL, Served, asked, serving
from tiny import pictures

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "dog"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["kind", "count"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Of a model whose tokens are bytes."""
    with serving(Mova(*tiny_mova())) as served:
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
