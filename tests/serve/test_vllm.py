"""The vLLM plug-in on nano: vLLM answers as `Mova` does, by the experts that the router names or a
request."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from openmova import Mova
from openmova.runtime.assets import EXAMPLES, asset_folder

pytest.importorskip("vllm", reason="vLLM is not installed (CONTRIBUTING.md says how)")
from vllm import SamplingParams

from openmova.serve.vllm.offline import MovaLLM

pytestmark = pytest.mark.slow
TOKENS = 16
GREEDY = SamplingParams(temperature=0.0, max_tokens=TOKENS)


@pytest.fixture(scope="module")
def nano() -> Mova:
    return Mova.from_pretrained("nano", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def llm() -> Iterator[MovaLLM]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        llm = MovaLLM("nano", dtype="float32", enforce_eager=True, max_model_len=2048)
        yield llm
        llm.llm.llm_engine.engine_core.shutdown()


def questions(count: int = 48) -> list[tuple[str, str]]:
    """The examples' questions, first each about its own picture, then any about any."""
    folder = asset_folder(EXAMPLES)
    asked = json.loads((folder / "questions.json").read_text())
    own = [(str(folder / entry["image"]), entry["question"]) for entry in asked]
    pictures, texts = sorted({picture for picture, _ in own}), [text for _, text in own]
    others = [pair for pair in itertools.product(pictures, texts) if pair not in own]
    return [*own, *random.Random(0).sample(others, count - len(own))]


def test_one_call_is_ask_for_each_question(llm: MovaLLM, nano: Mova) -> None:
    """In one batch, in which pictures come again with other questions."""
    asked = questions(200)
    outputs = llm.generate(asked, GREEDY)
    assert len({output.routing.experts for output in outputs}) > 1
    for (picture, question), output in zip(asked, outputs, strict=True):
        answer = nano.ask(picture, question, max_new_tokens=TOKENS)
        assert output.routing.raw == answer.routing.raw, (picture, question)
        assert output.routing.experts == answer.routing.experts
        assert output.routing.scores == pytest.approx(answer.routing.scores, abs=1e-3)
        assert output.text == answer.text, (picture, question)


def test_answers_by_given_experts_equal_those_of_mova(llm: MovaLLM, nano: Mova) -> None:
    choices: list[Any] = ["none", "all", *([name] for name in nano.experts)]
    asked = random.Random(0).sample(questions(), 4)
    for experts in choices:
        outputs = llm.generate(asked, GREEDY, experts=experts)
        for (picture, question), output in zip(asked, outputs, strict=True):
            answer = nano.ask(picture, question, experts=experts, max_new_tokens=TOKENS)
            assert output.text == answer.text, (picture, question, experts)
