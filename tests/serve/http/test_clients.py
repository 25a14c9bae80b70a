"""LangChain's client, beside OpenAI's own; tested where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from openmova import Mova
from serve.http.served import MODEL, QUESTION, Served, data_url, serving

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
