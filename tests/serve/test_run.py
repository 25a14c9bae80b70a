"""The app on a socket: clients that stall, and the end."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from openmova import Mova
from openmova.serve import run
from serve.asking import tiny_mova
from serve.served import MODEL, QUESTION, SECONDS, asked, serving
from tiny import pictures


@pytest.fixture(scope="module")
def mova() -> Mova:
    return tiny_mova()


def test_who_takes_nothing_is_hung_up_on(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE", 0.5)
    body = json.dumps(
        {
            "model": MODEL,
            "messages": asked(pictures(1)[0]),
            "max_tokens": 150,
            "n": 4,
            "stream": True,
        }
    ).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with serving(mova) as served, socket.socket() as client:
        served.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(head.encode() + body)
        while not served.state.in_hand:
            time.sleep(0.001)
        served.until_free()
        client.settimeout(SECONDS)
        received = b""
        while more := client.recv(1 << 16):
            received += more
    assert received.startswith(b"HTTP/1.1 200")
    assert b"[DONE]" not in received


def test_the_end_comes_when_all_in_hand_is_answered(mova: Mova) -> None:
    picture, tokens, clients = pictures(1)[0], 60, 6
    expected = mova.ask(picture, QUESTION, max_new_tokens=tokens).text
    wanted = {"model": MODEL, "messages": asked(picture), "max_tokens": tokens}
    with serving(mova, places=1) as served, ThreadPoolExecutor(clients) as pool:
        answers = [pool.submit(served.post, wanted) for _ in range(clients)]
        while served.state.in_hand < clients:
            time.sleep(0.001)
        served.server.handle_exit(signal.SIGTERM, None)
        ready, said = served.raw("GET", "/ready")
        status, late = served.post(wanted)
        told: list[tuple[int, dict[str, Any]]] = [answer.result() for answer in answers]
        served.join()
    assert [code for code, _ in told] == [200] * clients
    assert {answer["choices"][0]["message"]["content"] for _, answer in told} == {expected}
    assert (ready.status, said) == (503, b"closing")
    assert status == 503
    assert "is closing" in late["error"]["message"]


def test_a_signal_ends_an_idle_server(mova: Mova) -> None:
    with serving(mova) as served:
        served.server.handle_exit(signal.SIGTERM, None)
        served.join()
        with pytest.raises(ConnectionError):
            served.raw("GET", "/health")
