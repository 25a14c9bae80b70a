"""The app on a socket: clients that stall, and the end."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from openmova import Mova
from openmova.serve.http import http_server, request_body
from serve.http.served import MODEL, QUESTION, SECONDS, asked, serving
from tiny import pictures

CHAT = "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"


def test_who_takes_nothing_is_hung_up_on(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "PATIENCE", 0.5)
    options = {"max_tokens": 150, "n": 4, "stream": True}
    body = json.dumps({"model": MODEL, "messages": asked(pictures(1)[0]), **options})
    head = f"{CHAT}Content-Length: {len(body)}\r\n\r\n"
    with serving(mova) as served, socket.socket() as client:
        served.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall((head + body).encode())
        while not served.state.in_hand:
            time.sleep(0.001)
        served.until_free()
        client.settimeout(SECONDS)
        received = b""
        while more := client.recv(1 << 16):
            received += more
    assert received.startswith(b"HTTP/1.1 200")
    assert b"[DONE]" not in received


@pytest.mark.parametrize(
    ("sent", "drops", "answered"),
    [
        ("", "", b""),  # says nothing at all
        (f"{CHAT}X-More: ", "a", b""),  # headers that never end
        (f"{CHAT}Content-Length: 900\r\n\r\n", "{", b"HTTP/1.1 401"),  # a body, refused
        ("GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 900\r\n\r\n", "a", b"HTTP/1.1 200"),
    ],
)
def test_who_never_finishes_a_request_is_hung_up_on(
    mova: Mova, monkeypatch: pytest.MonkeyPatch, sent: str, drops: str, answered: bytes
) -> None:
    """Also who goes on in drops, and who was answered before the body was there."""
    monkeypatch.setattr(http_server, "ARRIVAL", 1.0)
    with serving(mova, api_keys=["secret"]) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            started = time.monotonic()
            client.sendall(sent.encode())
            client.settimeout(0.05)
            received = b""
            while time.monotonic() < started + SECONDS:
                try:
                    client.sendall(drops.encode())
                    received += (more := client.recv(1 << 16))
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
                if not more:
                    break
            assert 0.9 < time.monotonic() - started < SECONDS
            assert received.startswith(answered)
        assert served.raw("GET", "/health")[0].status == 200


def test_a_body_without_an_end_is_told_first(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "SECONDS", 0.3)
    monkeypatch.setattr(http_server, "ARRIVAL", 1.0)
    head = f"{CHAT}Content-Length: 900\r\n\r\n"
    with serving(mova) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as client:
            client.sendall(head.encode() + b"{")
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 408")
        served.until_free()


def test_one_connection_asks_again_and_again(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has the time for itself, and answering has none of it."""
    monkeypatch.setattr(http_server, "ARRIVAL", 1.0)
    body = {"model": MODEL, "messages": asked(pictures(1)[0]), "max_tokens": 60}
    with serving(mova) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
        started = time.monotonic()
        while time.monotonic() < started + 2.5:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert (response.status, answer["object"]) == (200, "chat.completion")
        assert connection.sock is not None  # the same one all the time
        connection.close()


def test_the_end_comes_when_all_in_hand_is_answered(mova: Mova) -> None:
    picture, tokens, clients = pictures(1)[0], 60, 6
    expected = mova.ask(picture, QUESTION, max_new_tokens=tokens).text
    wanted = {"model": MODEL, "messages": asked(picture), "max_tokens": tokens}
    with serving(mova, max_batch_size=1) as served, ThreadPoolExecutor(clients) as pool:
        answers = [pool.submit(served.post, wanted) for _ in range(clients)]
        while served.state.in_hand < clients:
            time.sleep(0.001)
        served.server.handle_exit(signal.SIGTERM, None)
        ready, said = served.raw("GET", "/ready")
        status, late = served.post(wanted)
        told = [answer.result() for answer in answers]
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
