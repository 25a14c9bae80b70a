"""Whatever is sent, the answer is one that the OpenAPI document promises, and the server goes on.

Requests are drawn from the server's own document: what it allows, and what it does not. Of the
conversations some are mended: their turns alternate and the first has a picture, so that the model
is asked, too.

OPENMOVA_REQUESTS=100000 pytest -s tests/serve/http/test_properties.py sends more, from other seeds.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from inference.asking import tiny_mova
from openmova.images.opening import ImageLimits
from openmova.serve.http.protocol import ChatChunk, ErrorAnswer
from serve.http.served import MODEL, QUESTION, Served, asked, data_url, png, serving
from tiny import pictures

REQUESTS = int(os.environ.get("OPENMOVA_REQUESTS", "60"))
SEED = int(os.environ.get("OPENMOVA_SEED", "0"))
PART = 1000
"""Requests of one seed."""
SECONDS = 60
"""An answer that takes longer is one that hangs."""
PICTURES = pictures(3)
MOST_TOKENS = 6
load_all_checks()
CONFORMS = [
    CHECKS.get_one(f"{part}_conformance")
    for part in ("status_code", "content_type", "response_schema")
]
URLS = [data_url(picture) for picture in PICTURES]
schemathesis.openapi.format(
    "uri",
    st.one_of(
        st.sampled_from(URLS),
        st.binary(max_size=50).map(lambda data: f"data:image/png;base64,{data.hex()}"),
        st.text(max_size=50),
    ),
)


def fuzz(served: Served, requests: int, start: int) -> Counter[tuple[str, int]]:
    """Send about so many requests; how many answers of which status each operation gave."""
    document = served.app.openapi()
    answers: Counter[tuple[str, int]] = Counter()
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        asks = operation.method == "post"
        parameters = asks or "{" in operation.path
        for mode in GenerationMode if parameters else [GenerationMode.POSITIVE]:
            share = max(1, requests * (4 if asks else 1) // 10 if parameters else 1)
            _fuzz(served, operation, mode, share, start, answers)
    return answers


def _fuzz(
    served: Served,
    operation: APIOperation[Any, Any, Any, Any],
    mode: GenerationMode,
    requests: int,
    start: int,
    answers: Counter[tuple[str, int]],
) -> None:
    @seed(start)
    @settings(
        max_examples=requests,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.data())
    def ask(case: Case, data: st.DataObject) -> None:
        if operation.method == "post":
            mend(case, data)
        response = case.call(base_url=f"http://127.0.0.1:{served.port}", timeout=SECONDS)
        answers[operation.label, response.status_code] += 1
        assert response.status_code < 500 or response.status_code == 503, response.text
        case.validate_response(response, checks=CONFORMS)
        if response.status_code >= 400:
            ErrorAnswer.model_validate_json(response.content)
        elif "text/event-stream" in response.headers.get("content-type", [""])[0]:
            *chunks, done = response.text.removesuffix("\n\n").split("\n\n")
            assert response.stream_cut_short or done == "data: [DONE]"  # by who reads it
            for chunk in chunks:
                ChatChunk.model_validate_json(chunk.removeprefix("data: "))

    ask()


def mend(case: Case, data: st.DataObject) -> None:
    """Half of the conversations become one that can be answered."""
    if not isinstance(case.body, dict) or data.draw(st.booleans()):
        return
    if case.media_type == "multipart/form-data":
        turn = {"role": "user", "content": data.draw(st.text(min_size=1, max_size=30))}
        request = {"model": MODEL, "max_tokens": 2, "messages": [turn]}
        image = data.draw(st.sampled_from([png(picture) for picture in PICTURES]))
        case.body = {"request": json.dumps(request), "image": image}
        return
    body = dict(case.body)
    turns = body.get("messages")
    turns = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    turns = (turns or [{}])[: len(turns) - 1 + len(turns) % 2 or 1]
    shown = {"type": "image_url", "image_url": {"url": data.draw(st.sampled_from(URLS))}}
    body["messages"] = [
        {
            **turn,
            "role": ("user", "assistant")[number % 2],
            "content": [
                {"type": "text", "text": _text(turn.get("content")) or QUESTION},
                *([shown] if number == 0 else []),
            ],
        }
        for number, turn in enumerate(turns)
    ]
    body["model"] = MODEL
    for name in ("max_tokens", "max_completion_tokens", "n"):
        if isinstance(body.get(name), int):
            body[name] = 1 + body[name] % MOST_TOKENS
    case.body = body


def _text(content: Any) -> str:
    """What a drawn message says."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


OPTIONS: dict[str, Any] = {
    "images": ImageLimits(file_bytes=100_000, pixels=10_000),
    "max_tokens": MOST_TOKENS,
    "default_tokens": MOST_TOKENS,
    "max_seconds": 30,
}


def test_any_request_is_answered() -> None:
    mova = tiny_mova()
    answers: Counter[tuple[str, int]] = Counter()
    with serving(mova, **OPTIONS) as served:
        for start in range(0, REQUESTS, PART):
            answers += fuzz(served, min(PART, REQUESTS - start), SEED + start)
            print(f"{answers.total()} requests, seed {SEED + start}: {dict(answers)}", flush=True)
        served.until_free()
        last = {"model": MODEL, "messages": asked(PICTURES[0]), "max_tokens": 5}
        _, answer = served.post(last)
    expected = mova.ask(PICTURES[0], QUESTION, max_new_tokens=5).text
    assert answer["choices"][0]["message"]["content"] == expected
    assert answers.total() >= 0.9 * REQUESTS
    assert answers["POST /v1/chat/completions", 200] > 0.05 * REQUESTS
