"""openmova ui: a process that shows the page, ends on a signal, and tells mistakes in one line."""

from __future__ import annotations

import http.client
import importlib.util
import json
import signal
import subprocess
from typing import Any

import pytest

from commands import mistake, run
from openmova.errors import INTERRUPTED
from terminal import COMMAND

SECONDS = 120


def test_the_page_until_ctrl_c(tiny_folder: str) -> None:
    pytest.importorskip("gradio")
    process = subprocess.Popen(
        [*COMMAND, "ui", "--model", tiny_folder, "--port", "0", "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stderr.readline()
    assert line.startswith("openmova: the page is at http://127.0.0.1:"), line
    port = int(line.rpartition(":")[2])

    def get(path: str, host: str = "127.0.0.1") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse()

    answer = get("/")
    assert answer.status == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert get("/", host="elsewhere.example").status == 400
    config = json.loads(get("/config").read())
    assert config["analytics_enabled"] is False
    stylesheets = [sheet for sheet in config["stylesheets"] or [] if "//" in sheet]
    assert stylesheets == []  # no fonts of Google's
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == INTERRUPTED
    assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("host", "password", "warned"),
    [("0.0.0.0", "", True), ("0.0.0.0", "sesame", False), ("127.0.0.1", "", False)],
)
def test_who_opens_it_to_the_network_is_told_of_the_password(
    tiny_folder: str, monkeypatch: pytest.MonkeyPatch, host: str, password: str, warned: bool
) -> None:
    pytest.importorskip("gradio")
    from openmova.serve.http import http_server
    from openmova.serve.ui import page_server

    made: dict[str, Any] = {}
    monkeypatch.setenv("OPENMOVA_UI_PASSWORD", password)
    monkeypatch.setattr(page_server, "create_page", lambda mova, **options: made.update(options))
    monkeypatch.setattr(page_server, "page_server", lambda page, started: None)
    monkeypatch.setattr(http_server, "run", lambda server, listening: None)
    result = run("ui", "--model", tiny_folder, "--host", host, "--port", 0, "--device", "cpu")
    assert result.exit_code == 0
    assert made["password"] == password
    told = "openmova: without a password (OPENMOVA_UI_PASSWORD), whoever reaches this port may ask"
    assert (told in result.stderr.splitlines()) is warned


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'openmova[ui]'" in mistake("ui")
