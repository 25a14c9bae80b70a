"""The vLLM plug-in: vLLM answers as `Mova` does, by the experts that a request names."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from openmova import Mova
from openmova.runtime.assets import EXAMPLES, asset_folder
from openmova.serve.vllm.requests import Requests

pytest.importorskip("vllm", reason="vLLM is not installed (CONTRIBUTING.md says how)")
from vllm import LLM, SamplingParams

pytestmark = pytest.mark.slow
TOKENS = 16


@pytest.fixture(scope="module")
def nano() -> Mova:
    return Mova.from_pretrained("nano", device="cpu")


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests.of("nano")


@pytest.fixture(scope="module")
def llm(requests: Requests) -> Iterator[LLM]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        llm = LLM(str(requests.folder), dtype="float32", enforce_eager=True, max_model_len=1024)
        yield llm
        llm.llm_engine.engine_core.shutdown()


def questions() -> list[tuple[str, str]]:
    """The examples, each also with the question of another one, as the gate reads it."""
    folder = asset_folder(EXAMPLES)
    asked = json.loads((folder / "questions.json").read_text())
    pictures = [str(folder / entry["image"]) for entry in asked]
    texts = [entry["question"] for entry in asked]
    return [*zip(pictures, texts, strict=True), *zip(pictures, texts[1:], strict=False)]


def written(llm: LLM, prompts: list[dict[str, Any]], tokens: int) -> list[str]:
    greedy = SamplingParams(temperature=0, max_tokens=tokens)
    outputs = llm.generate(prompts, greedy, use_tqdm=False)
    return [output.outputs[0].text.strip() for output in outputs]


def test_answers_equal_those_of_mova(llm: LLM, requests: Requests, nano: Mova) -> None:
    """In one batch of mixed choices, in which pictures come again with other experts."""
    choices: list[str | list[str]] = ["none", "all", *([name] for name in nano.experts)]
    asked = [(*pair, choice) for pair in questions() for choice in choices]
    asked = random.Random(0).sample(asked, 60)
    texts = written(llm, [requests.answer(*one) for one in asked], TOKENS)
    for (picture, question, experts), text in zip(asked, texts, strict=True):
        answer = nano.ask(picture, question, experts=experts, max_new_tokens=TOKENS)
        assert text == answer.text, (picture, question, experts)


def test_experts_change_answers(llm: LLM, requests: Requests) -> None:
    asked = questions()
    without, together = (
        written(llm, [requests.answer(*one, experts) for one in asked], TOKENS)
        for experts in ("none", "all")
    )
    assert without != together


def test_the_routing_is_that_of_mova(llm: LLM, requests: Requests, nano: Mova) -> None:
    asked = questions()
    texts = written(llm, [requests.routing(*one) for one in asked], requests.routing_tokens)
    chosen = [requests.experts(text) for text in texts]
    assert any(chosen)
    assert chosen == [list(nano.ask(*one, max_new_tokens=1).routing.experts) for one in asked]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "no routing pass: say which experts look"),
        ({"experts": ["chart"]}, "the gate weighs the experts by the question"),
        ({"experts": ["cart"], "question": "?"}, "did you mean chart"),
    ],
)
def test_a_request_that_does_not_say_who_looks_is_refused(
    llm: LLM, requests: Requests, options: dict[str, Any], told: str
) -> None:
    (picture, question), *_ = questions()
    request = {**requests.answer(picture, question, "none"), "mm_processor_kwargs": options}
    with pytest.raises(ValueError, match=told):
        llm.generate([request], use_tqdm=False)
