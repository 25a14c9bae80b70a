"""Whatever is sent, the answer is one that the OpenAPI document promises, and the server goes on.

OPENMOVA_REQUESTS=100000 pytest -s tests/serve/test_properties.py sends more, from other seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from inference.asking import tiny_mova
from openmova.images.opening import ImageLimits
from serve.http.fuzzing import MOST_TOKENS, PICTURES, fuzz
from serve.http.served import MODEL, QUESTION, asked, serving

REQUESTS = int(os.environ.get("OPENMOVA_REQUESTS", "60"))
SEED = int(os.environ.get("OPENMOVA_SEED", "0"))
PART = 1000
"""Requests of one seed."""

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
