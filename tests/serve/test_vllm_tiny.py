"""Both passes in vLLM, on the tiny model: what it writes is what `Mova` writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from torch import Tensor

from inference.asking import saved
from openmova import Mova
from openmova.errors import UserError
from openmova.inference.answer import Answer
from openmova.model import two_pass
from openmova.serve.http.http_server import bound_socket
from serve.http.served import asked, data_url
from serve.vllm_tiny import TOKENS, vllm_mova
from tiny import pictures

pytest.importorskip("vllm", reason="vLLM is not installed (CONTRIBUTING.md says how)")
from vllm import SamplingParams

from openmova.serve.vllm.offline import MovaLLM, MovaOutput

pytestmark = pytest.mark.slow
SPACE = {"VLLM_CPU_KVCACHE_SPACE": "1"}
OPTIONS: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256}
GREEDY = SamplingParams(temperature=0.0, max_tokens=TOKENS)
TEXTS = ("what is this ?", "how many dogs ?", "red cat ?", "answer : what is blue ?")
ITEMS = [(picture, text) for picture in pictures(4) for text in TEXTS]
SERVER = Path(__file__).with_name("vllm_tiny.py")
START = 300
"""Seconds"""


def offline(mova: Mova, folder: Path, patch: pytest.MonkeyPatch) -> MovaLLM:
    """In this process, which knows the tests' experts."""
    for name, value in {**SPACE, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}.items():
        patch.setenv(name, value)
    return MovaLLM(saved(mova, folder), **OPTIONS)


def compare(outputs: Sequence[MovaOutput], answers: Sequence[Answer]) -> None:
    for output, answer in zip(outputs, answers, strict=True):
        assert output.routing.raw == answer.routing.raw
        assert output.routing.experts == answer.routing.experts
        assert output.text == answer.text


def compare_scores(outputs: Sequence[MovaOutput], answers: Sequence[Answer]) -> None:
    for output, answer in zip(outputs, answers, strict=True):
        assert output.routing.scores == pytest.approx(answer.routing.scores, abs=1e-4)


@pytest.fixture(scope="module")
def tiny() -> Mova:
    return vllm_mova(seed=3)


@pytest.fixture(scope="module")
def llm(tiny: Mova, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MovaLLM]:
    with pytest.MonkeyPatch.context() as patch:
        yield offline(tiny, tmp_path_factory.mktemp("vllm"), patch)


def ask(mova: Mova, **options: Any) -> list[Answer]:
    return [mova.ask(*item, max_new_tokens=TOKENS, **options) for item in ITEMS]


@pytest.fixture(autouse=True)
def scores_without_the_image_token(monkeypatch: pytest.MonkeyPatch, tiny: Mova) -> None:
    """vLLM's logits have none, so that it shares in no probability; here it has a large one."""
    image = tiny.model.config.image_token_id

    def scores(logits: Sequence[Tensor], *given: Any, run: Any = two_pass.letter_scores) -> Tensor:
        masked = [one.index_fill(1, torch.tensor([image]), -torch.inf) for one in logits]
        found: Tensor = run(masked, *given)
        return found

    monkeypatch.setattr(two_pass, "letter_scores", scores)


def test_one_call_is_ask_for_each_question(llm: MovaLLM, tiny: Mova) -> None:
    answers = ask(tiny)
    assert len({answer.routing.experts for answer in answers}) > 1
    outputs = llm.generate(ITEMS, GREEDY)
    compare(outputs, answers)
    compare_scores(outputs, answers)


@pytest.mark.parametrize("options", [{"experts": "all"}, {"experts": []}, {"max_experts": 1}])
def test_who_decides_may_be_said(llm: MovaLLM, tiny: Mova, options: dict[str, Any]) -> None:
    compare(llm.generate(ITEMS, GREEDY, **options), ask(tiny, **options))


def test_a_wrong_number_of_image_tokens_harms_its_own_answer_alone(
    llm: MovaLLM, tiny: Mova
) -> None:
    (picture, text), *_ = ITEMS
    (right,) = llm.generate([(picture, text)], GREEDY, experts=["two"])
    wrong = [llm.requests.answer(picture, text, ["two"], tokens) for tokens in (1, 10**6)]
    assert len(llm.llm.generate(wrong, GREEDY, use_tqdm=False)) == len(wrong)
    (again,) = llm.generate([(picture, text)], GREEDY, experts=["two"])
    assert again.text == right.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "say which experts look"),
        ({"experts": ["one"], "question": "what ?"}, "follows the experts' maps"),
        ({"experts": ["onee"], "question": "what ?"}, "did you mean one"),
    ],
)
def test_a_request_that_does_not_say_enough_is_refused(
    llm: MovaLLM, options: dict[str, Any], told: str
) -> None:
    request = {**llm.requests.answer(*ITEMS[0], "none"), "mm_processor_kwargs": options}
    with pytest.raises(ValueError, match=told):
        llm.llm.generate([request], use_tqdm=False)
    with pytest.raises(UserError, match="question is empty"):
        llm.generate([(ITEMS[0][0], " ")])


@pytest.mark.parametrize("changes", [{"lora": True}, {"routing": {"constrained": True}}])
def test_the_routers_own_ways_are_vllms(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "routing" in changes:
        changes = {"routing": {"grid": (1, 2), "max_new_tokens": 4, "constrained": True}}
    mova = vllm_mova(seed=1, **changes)
    outputs, answers = offline(mova, tmp_path, monkeypatch).generate(ITEMS, GREEDY), ask(mova)
    compare(outputs, answers)
    if not mova.model.config.routing.constrained:  # vLLM's are of what may be written
        compare_scores(outputs, answers)


@pytest.fixture(scope="module")
def client(tiny: Mova, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """Of vLLM's own server."""
    folder = tmp_path_factory.mktemp("vllm-server")
    with bound_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "256"]
    options += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, SERVER, "--model", saved(tiny, folder / "model"), *options],
            env={**os.environ, **SPACE, "VLLM_PLUGINS": "openmova"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=START)
    try:
        _wait(client, process, folder / "log")
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START)


def _wait(client: openai.OpenAI, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(START):
        assert process.poll() is None, log.read_text()[-5000:]
        try:
            client.models.list(timeout=5)
            return
        except openai.APIConnectionError:
            time.sleep(1)
    raise AssertionError(log.read_text()[-5000:])


def complete(client: openai.OpenAI, messages: Any, **options: Any) -> Any:
    return client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=TOKENS, **options
    )


def test_one_request_answers_as_ask_does(client: openai.OpenAI, tiny: Mova) -> None:
    for picture, text in ITEMS[::3]:
        answer = tiny.ask(picture, text, max_new_tokens=TOKENS)
        completion = complete(client, asked(picture, text))
        assert completion.choices[0].message.content.strip() == answer.text
        routing = completion.mova["routing"]
        assert tuple(routing["experts"]) == answer.routing.experts
        assert routing["raw"] == answer.routing.raw
        assert routing["scores"] == pytest.approx(answer.routing.scores, abs=1e-4)
        assert set(completion.mova["timings"]) == {"prepare", "routing", "experts", "total"}
        assert completion.usage.completion_tokens <= TOKENS


def test_a_stream_has_the_same_answer_and_the_routing_first(
    client: openai.OpenAI, tiny: Mova
) -> None:
    picture, text = ITEMS[0]
    chunks = list(
        complete(client, asked(picture, text), stream=True, stream_options={"include_usage": True})
    )
    answer = tiny.ask(picture, text, max_new_tokens=TOKENS)
    assert tuple(chunks[0].mova["routing"]["experts"]) == answer.routing.experts
    written = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert written.strip() == answer.text
    assert chunks[-1].usage.total_tokens > 0


def test_a_conversation_of_several_images_is_that_of_chat(
    client: openai.OpenAI, tiny: Mova
) -> None:
    first, second, _ = pictures(3)
    chat = tiny.chat("answer : red")
    messages: list[Any] = [{"role": "system", "content": "answer : red"}]
    for text, shown in (("what is this ?", [first]), ("red ?", []), ("how many ?", [second])):
        opened, more = (shown[0], []) if shown == [first] else (None, shown)
        answer = chat.ask(text, opened, more=more, max_new_tokens=TOKENS)
        parts = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in shown]
        messages.append({"role": "user", "content": [*parts, {"type": "text", "text": text}]})
        completion = complete(client, messages)
        said = completion.choices[0].message.content
        assert said.strip() == answer.text
        experts = [tuple(look.routing.experts) for look in answer.looks]
        looks = completion.mova.get("images", [{"routing": completion.mova["routing"]}])
        assert [tuple(look["routing"]["experts"]) for look in looks] == experts
        messages.append({"role": "assistant", "content": answer.text})


def test_a_conversation_without_images_is_the_language_models(
    client: openai.OpenAI, tiny: Mova
) -> None:
    completion = complete(client, [{"role": "user", "content": "what is this ?"}])
    answer = tiny.chat().ask("what is this ?", max_new_tokens=TOKENS)
    assert completion.choices[0].message.content.strip() == answer.text
    assert completion.mova["routing"] == {"experts": [], "scores": {}, "raw": ""}


BROKEN = "data:image/png;base64,aGVsbG8="


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"mova": {"experts": ["onee"]}}, "did you mean one"),
        ({"mova": {"experts": "all", "max_experts": 1}}, "give only one"),
        ({"mova": {"expert": "all"}}, "mova.expert"),
        ({"mova": 3}, "mova"),
        ({"mova": {"budget": "1G"}}, "openmova serve"),
        ({"mm_processor_kwargs": {"experts": "all", "question": "?"}}, "this server's own"),
        ({"media_io_kwargs": {"image": {"rgba_background_color": [0, 0, 0]}}}, "disabled"),
    ],
)
def test_what_a_client_says_about_experts_is_checked(
    client: openai.OpenAI, body: dict[str, Any], told: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=told):
        complete(client, asked(*ITEMS[0]), extra_body=body)


def test_nothing_else_suffers_from_a_bad_request(client: openai.OpenAI, tiny: Mova) -> None:
    (picture, text), *_ = ITEMS
    whole = asked(picture, text)
    broken = json.loads(json.dumps(whole).replace(data_url(picture), BROKEN))
    for messages, told in (
        (asked(picture, " "), "question is empty"),
        (whole * 9, "At most 8"),
        ([{**whole[0], "role": "system"}], "image"),
        (broken, ""),
    ):
        with pytest.raises(openai.BadRequestError, match=told):
            complete(client, messages)
    answer = tiny.ask(picture, text, max_new_tokens=TOKENS)
    assert complete(client, whole).choices[0].message.content.strip() == answer.text
