"""Clients that people have, beside OpenAI's own: LangChain's, and the command `llm`; and the server
of transformers with our model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from openmova import Mova
from serve.http.served import MODEL, QUESTION, Served, asked, data_url, serving

TOLD = "red cat"
TOKENS = 9


@pytest.fixture(scope="module")
def served(mova: Mova) -> Iterator[Served]:
    with serving(mova, default_tokens=TOKENS) as served:
        yield served


def test_langchain(served: Served, mova: Mova, picture: Image.Image) -> None:
    messages = pytest.importorskip("langchain_core.messages")
    client = pytest.importorskip("langchain_openai").ChatOpenAI(
        model=MODEL, base_url=f"http://127.0.0.1:{served.port}/v1", api_key="none"
    )
    shown = {"type": "image_url", "image_url": {"url": data_url(picture)}}
    text = {"type": "text", "text": QUESTION}
    talk = [messages.SystemMessage(TOLD), messages.HumanMessage([text, shown])]
    chat = mova.chat(TOLD)
    first = chat.ask(QUESTION, picture, max_new_tokens=TOKENS).text
    answer = client.invoke(talk)
    assert answer.content == first
    assert "".join(str(piece.content) for piece in client.stream(talk)) == first
    again = client.invoke([*talk, answer, messages.HumanMessage([text, shown])])
    assert again.content == chat.ask(QUESTION, more=[picture], max_new_tokens=TOKENS).text


def test_llm(served: Served, mova: Mova, picture: Image.Image, tmp_path: Path) -> None:
    """As docs/serving.md has it, with a system message, whole and as a stream."""
    pytest.importorskip("llm")
    picture.save(tmp_path / "picture.png")
    server = f"http://127.0.0.1:{served.port}/v1"
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: mova, model_name: {MODEL}, api_base: '{server}', vision: true}}\n"
    )
    command = [sys.executable, "-m", "llm", "--no-log", "-m", "mova", "-s", TOLD, QUESTION]
    command += ["-a", str(tmp_path / "picture.png")]
    expected = mova.chat(TOLD).ask(QUESTION, picture, max_new_tokens=TOKENS).text
    for more in ([], ["--no-stream"]):
        run = subprocess.run(
            [*command, *more],
            env=os.environ | {"LLM_USER_PATH": str(tmp_path), "LLM_LOAD_PLUGINS": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip() == expected.strip()


def test_transformers_serve(mova: Mova, tiny_folder: str, picture: Image.Image) -> None:
    pytest.importorskip("transformers.cli.serving.model_manager")
    testclient = pytest.importorskip("fastapi.testclient")
    program = pytest.importorskip("transformers.cli.serve").Serve
    served = program(force_model=tiny_folder, non_blocking=True, port=0)
    try:
        (message,) = asked(picture)
        message["content"].reverse()  # the image first, as its template takes a message as it is
        body = {"model": tiny_folder, "messages": [message], "max_tokens": TOKENS}
        client = testclient.TestClient(served.server.config.app)
        told = client.post("/v1/chat/completions", json=body).json()
    finally:
        served.kill_server()
    expected = mova.ask(picture, QUESTION, max_new_tokens=TOKENS).text
    assert told["choices"][0]["message"]["content"].strip() == expected
