"""The page on a port of this process, and a headless browser that visits it."""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from openmova import Mova
from openmova.inference.engine import Engine
from openmova.serve.ui.page_server import create_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NO_BROWSER = f"no browser among {', '.join(BROWSERS)}: apt install chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MILLISECONDS = 60_000
expect.set_options(timeout=MILLISECONDS)
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}


def browser_path() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield launched
        launched.close()


@contextmanager
def served(mova: Mova, **options: Any) -> Iterator[tuple[str, Engine]]:
    """The page's address, and its engine."""
    app = create_page(mova, **{"model": "tiny", "max_new_tokens": 6, **options})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", app.state.engine
        finally:
            server.should_exit = True
            thread.join()


class Visitor:
    """A person at the page.

    requests: the URLs that the browser asked for; complaints: what it wrote on its console.
    """

    def __init__(self, browser: Browser, address: str, **context: Any) -> None:
        self._context = browser.new_context(**{"viewport": DESKTOP, **context})
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(MILLISECONDS)
        self.conversation = self.page.get_by_role("log")
        self.about = self.page.locator("#about")
        self.answer = self.about.locator("p.answer")
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.goto(address)
        self.page.get_by_role("heading", name="openmova").wait_for()

    def upload(self, picture: Path) -> None:
        self.page.locator("input[type=file]").first.set_input_files(str(picture))
        self.page.get_by_role("button", name="Remove Image").wait_for()

    def ask(self, question: str) -> None:
        box = self.page.get_by_label("Question", exact=True)
        box.fill(question)
        box.press("Enter")

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=re.compile(f"^{button}")).click()

    def close(self) -> None:
        self._context.close()
