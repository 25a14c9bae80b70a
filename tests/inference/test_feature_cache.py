"""Pictures that are asked about again are not looked at again, and the answers stay the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from inference.asking import Asked, question, running
from openmova import Mova
from openmova.inference.feature_cache import ENTRY, FeatureCache
from openmova.inference.prompt_cache import ReadPrompt
from serve.http.served import MODEL, QUESTION, asked, serving
from tiny import pictures

TEXTS = [QUESTION, "how many dogs ?", "what red ?"]


@pytest.fixture
def runs(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pictures each encoder looked at."""
    seen: Counter[str] = Counter()
    model = mova.model.model

    def encode_base(pictures: Any, sizes: Any, run: Any = model.encode_base) -> Any:
        seen["base"] += len(pictures)
        return run(pictures, sizes)

    def encode_experts(pictures: Any, sizes: Any, routing: Any, run: Any = None) -> Any:
        for name, column in zip(mova.experts, routing.T, strict=True):
            seen[name] += int(column.sum())
        return type(model).encode_experts(model, pictures, sizes, routing)

    monkeypatch.setattr(model, "encode_base", encode_base)
    monkeypatch.setattr(model, "encode_experts", encode_experts)
    return seen


def test_answers_stay_the_same(mova: Mova, runs: Counter[str]) -> None:
    shown = pictures(2)
    wanted = [
        (shown[i], text, experts)
        for text, experts in zip(TEXTS, ["one", "one,two", "three"], strict=True)
        for i in (0, 1)
    ]
    expected = [mova.ask(p, text, experts=e, max_new_tokens=12) for p, text, e in wanted]
    runs.clear()
    with running(mova) as engine:
        replies = [Asked(engine, question(mova, p, t, experts=e)).reply() for p, t, e in wanted]
    assert [reply.answer.text for reply in replies] == [answer.text for answer in expected]
    for reply, answer in zip(replies, expected, strict=True):
        torch.testing.assert_close(reply.answer.gates, answer.gates)
    assert runs == {"base": 2, "one": 2, "two": 2, "three": 2}


def test_a_picture_is_looked_at_once_for_a_batch(mova: Mova, runs: Counter[str]) -> None:
    picture = pictures(1)[0]
    expected = {text: mova.ask(picture, text, experts="all", max_new_tokens=12) for text in TEXTS}
    runs.clear()
    with running(mova, max_batch_size=3) as engine:
        with engine._condition:  # so that all are there when the engine looks
            handed_in = [Asked(engine, question(mova, picture, t, experts="all")) for t in TEXTS]
        for text, one in zip(TEXTS, handed_in, strict=True):
            assert one.reply().answer.text == expected[text].text
    assert runs == {"base": 1, "one": 1, "two": 1, "three": 1}


def test_a_conversation_over_http_is_about_one_picture(mova: Mova, runs: Counter[str]) -> None:
    first = asked(pictures(1)[0])
    said = [{"role": "assistant", "content": "a cat"}, {"role": "user", "content": TEXTS[1]}]
    with serving(mova) as served:
        for messages in (first, first + said):
            status, _ = served.post({"model": MODEL, "messages": messages, "max_tokens": 2})
            assert status == 200
    assert runs["base"] == 1


def test_the_longest_unasked_go_first() -> None:
    features = FeatureCache(3 * (ENTRY + 400))
    for key in (b"a", b"b", b"c", b"a", b"d"):
        (maps,) = features.of([key])
        maps.base = torch.zeros(10, 10)
        features.trim()
        assert features.size <= features.most
    assert len(features) == 3
    bases = [features.of([key])[0].base for key in (b"a", b"b", b"c", b"d")]
    assert [base is None for base in bases] == [False, True, False, False]


def test_prompts_go_before_maps() -> None:
    features = FeatureCache(3 * (ENTRY + 400) + 200)
    for key in (b"a", b"b", b"c"):
        (known,) = features.of([key])
        known.base = torch.zeros(10, 10)
        known.prompt = ReadPrompt([1], torch.zeros(50))
        features.trim()
        assert features.size <= features.most
    kept = features.of([b"a", b"b", b"c"])
    assert all(known.base is not None for known in kept)
    assert [known.prompt is not None for known in kept] == [False, False, True]
