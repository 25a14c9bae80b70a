"""Ray Serve's replicas answer as the server does. Runs where `ray[serve]` is installed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from inference.asking import tiny_mova
from serve.http.served import MODEL, QUESTION, asked
from tiny import pictures

TESTS = Path(__file__).parents[2]
SECONDS = 300
PROGRAM = """
import sys

from openmova.serve.http.ray_serve import run_on_ray

def build():
    from openmova.serve.http.chat_api import create_app
    from openmova.serve.http.server_options import ServerOptions
    from inference.asking import tiny_mova
    return create_app(tiny_mova(), ServerOptions(model="tiny"))

run_on_ray(
    build,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    replicas=1,
    at_once=72,
    on_gpu=False,
    drain_seconds=60,
    started=lambda: print("started", flush=True),
)
"""


@pytest.mark.slow
def test_a_replica_answers() -> None:
    pytest.importorskip("grpc_reflection", reason="ray[serve] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    paths = os.pathsep.join([*sys.path, str(TESTS)])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120"},
    )
    try:
        assert "started\n" in iter(process.stdout.readline, "")
        client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=SECONDS
        )
        picture = pictures(1)[0]
        chat = client.chat.completions
        whole = chat.create(model=MODEL, messages=asked(picture), max_tokens=9)
        stream = chat.create(model=MODEL, messages=asked(picture), max_tokens=9, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        expected = tiny_mova().ask(picture, QUESTION, max_new_tokens=9).text
        assert whole.choices[0].message.content == "".join(pieces) == expected
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
