"""A server with the tiny model on a port of this machine, and what it is asked."""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
from PIL import Image

from openmova import Mova
from openmova.serve.http.chat_api import ServerState, create_app
from openmova.serve.http.http_server import DrainingServer, bound_socket
from openmova.serve.http.server_options import ServerOptions

MODEL = "tiny"
QUESTION = "what is this ?"
SECONDS = 60


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def data_url(picture: Image.Image) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(picture)).decode()}"


def asked(picture: Image.Image, text: str = QUESTION) -> list[Any]:
    shown = {"type": "image_url", "image_url": {"url": data_url(picture)}}
    return [{"role": "user", "content": [{"type": "text", "text": text}, shown]}]


class Served:
    """A server on a port of this machine, in a thread."""

    def __init__(self, mova: Mova, **options: Any) -> None:
        self.app = create_app(mova, ServerOptions(model=MODEL, **options))
        self.state: ServerState = self.app.state.server
        self.engine = self.state.engine
        self.listening = bound_socket("127.0.0.1", 0)
        self.port = self.listening.getsockname()[1]
        started = threading.Event()
        self.server = DrainingServer(self.app, started.set)
        run = self.server.serve(sockets=[self.listening])
        self._thread = threading.Thread(target=asyncio.run, args=[run], daemon=True)
        self._thread.start()
        assert started.wait(SECONDS)

    def stop(self) -> None:
        self.server.should_exit = True
        self.join()

    def join(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0, timeout=SECONDS
        )

    def chat(self, messages: list[Any], key: str = "none", **fields: Any) -> Any:
        """What OpenAI's client gets."""
        return self.client(key).chat.completions.create(model=MODEL, messages=messages, **fields)

    def raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response, data

    def post(self, body: Any) -> tuple[int, dict[str, Any]]:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = "/v1/chat/completions"
        response, data = self.raw("POST", path, text, Content_Type="application/json")
        return response.status, json.loads(data)

    def until_free(self) -> None:
        """Wait until nothing is in hand."""
        for _ in range(SECONDS * 100):
            if not self.engine.running and not self.state.in_hand:
                return
            time.sleep(0.01)
        raise AssertionError("the place is still taken")


@contextmanager
def serving(mova: Mova, **options: Any) -> Iterator[Served]:
    served = Served(mova, **options)
    try:
        yield served
    finally:
        served.stop()
