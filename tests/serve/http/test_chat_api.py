"""The server: OpenAI's own client gets what `Mova` would say, and everybody else a clear error."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from PIL import Image

from inference.asking import tiny_mova
from openmova import Mova
from openmova.images.opening import ImageLimits, load_image
from openmova.inference import session
from openmova.serve.http import chat_api
from serve.http.served import MODEL, QUESTION, Served, asked, data_url, png, serving
from tiny import pictures

LARGE = Image.new("RGB", (200, 200))
SAID = {"role": "assistant", "content": "a cat"}
NEXT = {"role": "user", "content": "what red ?"}
TOLD = {"role": "system", "content": "red cat"}


@pytest.fixture(scope="module")
def served(mova: Mova) -> Iterator[Served]:
    images = ImageLimits(file_bytes=100_000, pixels=10_000)
    with serving(mova, images=images, max_tokens=200) as served:
        yield served


class TestTheOpenaiClient:
    def test_gets_what_ask_says(self, served: Served, mova: Mova, picture: Image.Image) -> None:
        completion = served.chat(asked(picture), max_tokens=20)
        expected = mova.ask(picture, QUESTION, max_new_tokens=20)
        (choice,) = completion.choices
        assert choice.message.content == expected.text
        assert choice.finish_reason == "length"
        assert completion.usage.completion_tokens == 20
        told, experts = completion.model_extra["mova"], list(expected.routing.experts)
        assert told["routing"]["experts"] == experts
        assert told["routing"]["scores"] == pytest.approx(expected.routing.scores)
        assert [list(block) for block in told["gates"]] == [experts] * 2
        assert told["timings"]["total"] > 0
        assert told["confidence"] is told["unsure"] is None

    def test_streams_the_same(self, served: Served, mova: Mova, picture: Image.Image) -> None:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(served.chat(asked(picture), max_tokens=20, **options))
        pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert "".join(pieces) == mova.ask(picture, QUESTION, max_new_tokens=20).text
        assert len(pieces) > 5
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage.completion_tokens == 20
        assert set(chunks[0].model_extra["mova"]) == {"routing", "gates"}

    @pytest.mark.parametrize(
        ("wish", "options"),
        [
            ({"experts": "none"}, {"experts": "none"}),
            ({"experts": ["one", "three"]}, {"experts": "one,three"}),
            ({"max_experts": 0}, {"max_experts": 0}),
            ({"max_experts": 10**30}, {}),
            ({"budget": "0"}, {"budget": "0"}),
        ],
    )
    def test_may_wish_for_experts(
        self, served: Served, mova: Mova, picture: Image.Image, wish: Any, options: Any
    ) -> None:
        completion = served.chat(asked(picture), max_tokens=9, extra_body={"mova": wish})
        expected = mova.ask(picture, QUESTION, max_new_tokens=9, **options)
        assert completion.choices[0].message.content == expected.text
        routing = completion.model_extra["mova"]["routing"]
        assert routing["experts"] == list(expected.routing.experts)

    def test_may_tell_a_system_message_and_show_no_image(self, served: Served, mova: Mova) -> None:
        chat = mova.chat("red cat")
        first = chat.ask(QUESTION, max_new_tokens=9)
        second = chat.ask(NEXT["content"], max_new_tokens=9)
        said = {"role": "assistant", "content": first.text}
        for role in ("system", "developer"):
            messages = [{**TOLD, "role": role}, {"role": "user", "content": QUESTION}, said, NEXT]
            completion = served.chat(messages, max_tokens=9)
            assert completion.choices[0].message.content == second.text != first.text
        told = completion.model_extra["mova"]
        assert told["routing"] == {"experts": [], "scores": {}, "raw": "", "left_out": None}
        assert told["images"] is None
        *_, last = served.chat(messages, max_tokens=9, stream=True)
        assert last.choices[0].finish_reason

    def test_may_show_several_images(self, served: Served, mova: Mova) -> None:
        shown = pictures(3)
        chat = mova.chat()
        first = chat.ask(QUESTION, shown[0], more=[shown[1]], max_new_tokens=9)
        second = chat.ask(NEXT["content"], more=[shown[2]], max_new_tokens=9)
        said = {"role": "assistant", "content": first.text}
        two = showing(*map(data_url, shown[:2]))
        messages = [*two, said, *asked(shown[2], NEXT["content"])]
        completion = served.chat(messages, max_tokens=9)
        assert served.chat(two, max_tokens=9).choices[0].message.content == first.text
        assert completion.choices[0].message.content == second.text
        told = completion.model_extra["mova"]
        experts = [list(look.routing.experts) for look in second.looks]
        assert [image["routing"]["experts"] for image in told["images"]] == experts
        assert told["routing"] == told["images"][-1]["routing"]

    def test_draws_several_answers_by_a_seed(self, served: Served, picture: Image.Image) -> None:
        def draw(seed: int) -> list[str | None]:
            options = {"max_tokens": 15, "n": 3, "temperature": 1.3, "top_p": 0.95}
            completion = served.chat(asked(picture), seed=seed, **options)
            return [choice.message.content for choice in completion.choices]

        assert draw(3) == draw(3) != draw(4)
        assert len(set(draw(3))) > 1

    def test_stops_at_a_string(self, served: Served, mova: Mova, picture: Image.Image) -> None:
        whole = mova.ask(picture, QUESTION, max_new_tokens=20).text
        stop = whole.split()[2]
        completion = served.chat(asked(picture), max_tokens=20, stop=stop)
        assert completion.choices[0].message.content == whole.partition(stop)[0].strip()
        assert completion.choices[0].finish_reason == "stop"

    def test_is_told_how_likely_each_token_was(
        self, served: Served, mova: Mova, picture: Image.Image
    ) -> None:
        expected = mova.ask(picture, QUESTION, max_new_tokens=12)
        options = {"max_tokens": 12, "logprobs": True, "top_logprobs": 2}
        content = served.chat(asked(picture), **options).choices[0].logprobs.content
        found = [token.logprob for token in content]
        assert found == pytest.approx(expected.log_probs, abs=1e-4)
        assert all(token.top_logprobs[0].token == token.token for token in content)
        assert all(len(token.top_logprobs) == 2 for token in content)
        assert bytes(content[0].bytes).decode() == content[0].token
        chunks = served.chat(asked(picture), stream=True, **options)
        told = [c.choices[0].logprobs.content for c in chunks if c.choices[0].logprobs]
        assert [token.logprob for part in told for token in part] == found
        assert len(told) > 3

    def test_lists_the_model(self, served: Served) -> None:
        (model,) = served.client().models.list().data
        assert model.id == MODEL
        assert served.client().models.retrieve(MODEL).id == MODEL

    def test_many_at_once_get_their_own_answers(self, served: Served, mova: Mova) -> None:
        shown = pictures(3)
        texts = [QUESTION, "how many dogs ?", "what red ?", "blue cat ?"]
        wanted = [(shown[i % 3], texts[i % 4], 3 + i) for i in range(12)]

        def ask(one: tuple[Image.Image, str, int]) -> str | None:
            completion = served.chat(asked(*one[:2]), max_tokens=one[2])
            return completion.choices[0].message.content

        with ThreadPoolExecutor(12) as clients:
            answers = list(clients.map(ask, wanted))
        for (picture, text, tokens), answer in zip(wanted, answers, strict=True):
            assert answer == mova.ask(picture, text, max_new_tokens=tokens).text


def test_a_calibrated_model_tells_how_sure_each_answer_is(picture: Image.Image) -> None:
    mova = tiny_mova(confidence={"weights": {"mean": 1.0}, "bias": 0.0, "unsure_below": 0.9})
    options: dict[str, Any] = {"model": MODEL, "messages": asked(picture), "max_tokens": 5}
    expected = mova.ask(picture, QUESTION, max_new_tokens=5).confidence
    with serving(mova, max_tokens=200) as served:
        create = served.client().chat.completions.create
        *_, last = create(**options, stream=True)
        for answer, count in ((create(**options, n=2), 2), (last, 1)):
            told = answer.model_extra["mova"]
            assert told["confidence"] == pytest.approx([expected] * count, abs=1e-5)
            assert told["unsure"] == [True] * count


def test_a_picture_may_be_uploaded(served: Served, mova: Mova, picture: Image.Image) -> None:
    request = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 5}
    body = (
        b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n'
        + json.dumps(request).encode()
        + b'\r\n--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        + b"Content-Type: image/png\r\n\r\n"
        + png(picture)
        + b"\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    _, data = served.raw("POST", "/v1/chat/completions", body, Content_Type=kind)
    answer = json.loads(data)["choices"][0]["message"]["content"]
    assert answer == mova.ask(picture, QUESTION, max_new_tokens=5).text


def turns(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": list(messages), **fields}


def first(**fields: Any) -> dict[str, Any]:
    return turns(*asked(pictures(1)[0]), **fields)


def showing(*urls: str) -> list[Any]:
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": QUESTION}]}]


def broken(data: str) -> list[Any]:
    return showing(f"data:image/png;base64,{data}")


def pointing(url: str) -> dict[str, Any]:
    return turns(*showing(url))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b"[]", "should be an object"),
        ({}, "model: Field required"),
        (turns(), "messages: List should have at least 1 item"),
        (turns(TOLD), "the last message is of the system"),
        (turns({**TOLD, "content": "x" * 100_000}, NEXT), "the system message has 100,000"),
        (turns(NEXT, TOLD, NEXT), "messages.1 is of the system"),
        (
            turns({"role": "tool", "content": "1"}, NEXT),
            "messages.0.role: Input should be 'system'",
        ),
        (turns(NEXT, {**asked(LARGE)[0], "role": "assistant"}, NEXT), "only the user shows images"),
        (
            turns(*asked(pictures(1)[0]), SAID, *broken("aGVsbG8=")),
            "messages.2: the image is not a picture",
        ),
        (turns(NEXT, SAID, *[*asked(pictures(1)[0]), SAID] * 49, NEXT), "show at most 8"),
        (turns(*asked(LARGE)), "too large"),
        (turns(*asked(pictures(1)[0]), SAID), "the last message is of the assistant"),
        (turns(*asked(pictures(1)[0]), NEXT), "messages.1 is of the user"),
        (turns(*asked(pictures(1)[0], " ")), "the question is empty"),
        (turns(*asked(pictures(1)[0], "what " * 2000)), "4,000"),
        (turns(*asked(pictures(1)[0], "what " * 300)), "the model has room for"),
        (turns(*asked(pictures(1)[0], "what " * 300), stream=True), "the model has room for"),
        (pointing("data:image/png;base64,%%%"), "not base64"),
        (pointing("data:image/png;base64,aGVsbG8="), "not a picture"),
        (pointing("https://example.org/a.png"), "this server reads no others"),
        (pointing("file:///etc/passwd"), "this server reads no others"),
        (pointing("/etc/passwd"), "this server reads no others"),
        (first(max_tokens=0), "greater than or equal to 1"),
        (first(max_tokens=201), "give at most 200"),
        (first(temperature=3), "less than or equal to 2"),
        (first(top_p=0), "greater than 0"),
        (first(n=100), "give at most 8"),
        (first(seed=2**70), "seed"),
        (first(stop=["a", "b", "c", "d", "e"]), "at most 4 items"),
        (first(stop=""), "at least 1 character"),
        (first(tools=[{"type": "function"}]), "tools is not supported"),
        (first(response_format={"type": "json_object"}), "an answer cannot follow a JSON schema"),
        (first(response_format={"type": "xml"}), "response_format.type: Input should be 'text'"),
        (first(top_logprobs=2), "top_logprobs needs logprobs"),
        (first(logprobs=True, top_logprobs=21), "less than or equal to 20"),
        (first(mova={"experts": "seven"}), "there is no expert 'seven'"),
        (first(mova={"experts": "one", "max_experts": 1}), "give only one"),
        (first(mova={"budget": "fast"}), "give seconds (0.5s) or operations (20G)"),
        (first(mova={"expert": "one"}), "mova.expert: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_told_in_openais_shape(served: Served, body: Any, told: str) -> None:
    status, answer = served.post(body)
    assert status == 400
    assert told in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_neutral_fields_and_an_image_token_are_taken(served: Served, picture: Image.Image) -> None:
    fields = {"tools": [], "presence_penalty": 0, "logprobs": None, "user": "me", "store": True}
    body = turns(*asked(picture, "what is <image> this ?"), max_tokens=1, **fields)
    assert served.post(body)[0] == 200


def test_other_paths_models_and_sizes(served: Served) -> None:
    paths = {"/nothing": 404, "/v1/chat/completions": 405, "/v1/models/other": 404}
    for path, expected in paths.items():
        response, data = served.raw("GET", path)
        assert response.status == expected
        assert json.loads(data)["error"]["message"]
    status, answer = served.post({**first(), "model": "gpt"})
    assert status == 404
    assert "this server has 'tiny'" in answer["error"]["message"]
    status, answer = served.post(pointing("data:image/png;base64," + "A" * 2_000_000))
    assert (status, answer["error"]["code"]) == (413, "request_too_large")


def test_says_how_it_is(served: Served) -> None:
    assert served.raw("GET", "/health")[1] == b"ok"
    assert served.raw("GET", "/ready")[1] == b"ready"
    served.post(first(max_tokens=2))
    figures = served.raw("GET", "/metrics")[1].decode()
    assert 'openmova_requests_total{path="/v1/chat/completions",status="200"}' in figures
    assert "openmova_waiting 0.0" in figures
    assert 'openmova_batch_size_count{stage="decode"}' in figures


def test_describes_itself(served: Served) -> None:
    document = json.loads(served.raw("GET", "/openapi.json")[1])
    assert document == served.app.openapi()
    assert set(document["paths"]) >= {"/v1/chat/completions", "/v1/models", "/health", "/metrics"}


def test_a_full_queue_answers_429(mova: Mova, picture: Image.Image) -> None:
    with serving(mova, max_batch_size=1, max_queue=0) as served:
        slow = served.chat(asked(picture), max_tokens=150, stream=True)
        next(iter(slow))
        with pytest.raises(openai.RateLimitError) as refused:
            served.chat(asked(picture))
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        slow.close()
        served.until_free()
        assert served.post(first(max_tokens=1))[0] == 200


def test_few_images_are_opened_at_once(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests are in hand: an open image takes all its pixels' memory."""
    opened, most = 0, 0

    def open_slowly(*given: Any) -> Image.Image:
        nonlocal opened, most
        opened += 1
        most = max(most, opened)
        time.sleep(0.05)
        opened -= 1
        return load_image(*given)

    monkeypatch.setattr(chat_api, "MAX_OPEN_IMAGES", 2)
    monkeypatch.setattr(session, "load_image", open_slowly)
    with serving(mova) as served, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(served.post, [first(max_tokens=1)] * 12))
    assert [status for status, _ in answers] == [200] * 12
    assert most == 2


def test_who_hangs_up_frees_the_place(mova: Mova) -> None:
    with serving(mova, max_batch_size=1) as served:
        body = json.dumps(first(max_tokens=200))
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        kind = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, kind)
        while not served.engine.running:
            time.sleep(0.001)
        connection.close()
        served.until_free()
        assert served.engine.running == 0


def test_keys(mova: Mova, picture: Image.Image) -> None:
    with serving(mova, api_keys=["open", "sesame"]) as served:
        assert served.client("sesame").models.list().data
        with pytest.raises(openai.AuthenticationError):
            served.chat(asked(picture), key="opensesame")
        assert served.raw("GET", "/v1/models")[0].status == 401
        assert served.raw("GET", "/health")[0].status == 200


def test_web_pages_are_named(mova: Mova) -> None:
    preflight = {"Access_Control_Request_Method": "POST"}
    with serving(mova, origins=["https://here.org"]) as served:
        for origin, allowed in (("https://here.org", True), ("https://there.org", False)):
            path = "/v1/chat/completions"
            response, _ = served.raw("OPTIONS", path, None, Origin=origin, **preflight)
            assert (response.getheader("Access-Control-Allow-Origin") == origin) is allowed


def test_our_own_mistake_is_not_shown(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*inputs: Any) -> None:
        raise RuntimeError("secret")

    with serving(mova) as served:
        monkeypatch.setattr(mova.model.model, "encode_base", fail)
        for stream in (False, True):
            status, answer = served.post(first(stream=stream))
            assert status == 500
            assert "secret" not in answer["error"]["message"]
        monkeypatch.undo()
        assert served.post(first(max_tokens=1))[0] == 200
