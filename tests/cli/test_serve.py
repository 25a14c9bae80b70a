"""openmova serve: a process that answers, ends on a signal, and tells mistakes in one line."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from commands import mistake, run
from openmova import Mova
from openmova.serve.http import chat_api, http_server
from serve.http.served import asked
from terminal import COMMAND
from tiny import pictures

SECONDS = 120


@pytest.fixture
def served(tiny_folder: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and its address."""
    keys = tmp_path / "keys"
    keys.write_text("sesame\n")
    options = ["--model", tiny_folder, "--port", "0", "--device", "cpu", "--places", "2"]
    process = subprocess.Popen(
        [*COMMAND, "serve", *options, "--api-key-file", str(keys)],
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    assert "answers at http://127.0.0.1:" in line, line + process.stderr.read()
    yield process, line.split()[-1]
    process.kill()
    process.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_lets_accepted_requests_be_answered(
    served: tuple[subprocess.Popen[str], str], tiny_folder: str, number: int, code: int
) -> None:
    process, address = served
    client = openai.OpenAI(base_url=address, api_key="sesame", max_retries=0, timeout=SECONDS)
    picture = pictures(1)[0]
    model = Path(tiny_folder).name

    def ask(_: int) -> Any:
        return client.chat.completions.create(
            model=model, messages=asked(picture), max_tokens=60, stream=True
        )

    def read(stream: Any) -> str:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    with ThreadPoolExecutor(2) as clients:
        streams = list(clients.map(ask, range(2)))  # their first events are here
        process.send_signal(number)
        answers = list(clients.map(read, streams))
    expected = Mova.from_pretrained(tiny_folder, device="cpu").ask(
        picture, "what is this ?", max_new_tokens=60
    )
    assert answers == [expected.text] * 2
    assert process.wait(SECONDS) == code
    assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", "sesame", False), ("127.0.0.1", "", False)],
)
def test_who_opens_it_to_the_network_is_told_of_keys(
    tiny_folder: str, monkeypatch: pytest.MonkeyPatch, host: str, keys: str, warned: bool
) -> None:
    monkeypatch.setenv("OPENMOVA_API_KEYS", keys)
    monkeypatch.setattr(chat_api, "create_app", lambda mova, options: None)
    monkeypatch.setattr(http_server, "DrainingServer", lambda app, started: started)
    monkeypatch.setattr(http_server, "run", lambda started, listening: started())
    result = run("serve", "--model", tiny_folder, "--host", host, "--port", 0, "--device", "cpu")
    assert result.exit_code == 0
    told = "openmova: without API keys, whoever reaches this port may ask"
    assert (told in result.stderr.splitlines()) is warned


def test_mistakes(tiny_folder: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = ("--model", tiny_folder, "--port", taken.getsockname()[1])
        assert "give another --host or --port" in mistake("serve", *at)
    assert "give more than 0" in mistake("serve", "--max-seconds", "0")
    (tmp_path / "keys").write_text("\n")
    assert "there is no key" in mistake("serve", "--api-key-file", tmp_path / "keys")
    assert "cannot read the keys" in mistake("serve", "--api-key-file", tmp_path / "none")
    assert "nowhere" in mistake("serve", "--model", "nowhere", "--port", "0")
