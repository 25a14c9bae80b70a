"""The page in a real browser: upload, ask, see the routing, force an expert, compare."""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from openmova import Mova
from openmova.inference.engine import Engine
from openmova.inference.shared_decode import SharedDecode
from tiny import pictures

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from serve.ui.visiting import DESKTOP, NO_BROWSER, PHONE, Visitor, browser, browser_path, served

pytestmark = pytest.mark.skipif(browser_path() is None, reason=NO_BROWSER)
TOKENS = 6
ASKED = "what is this ?"
COPY = """async data => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    const picture = new Blob([bytes], {type: 'image/png'});
    await navigator.clipboard.write([new ClipboardItem({'image/png': picture})]);
}"""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[list[Any]]:
    """Where this process connects to, other than this machine."""
    asked: list[Any] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            asked.append(address)
        connect(self, address)

    def resolving(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in (None, "127.0.0.1", "localhost", "::1"):
            asked.append(host)
        return resolve(host, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connecting)
        patch.setattr(socket, "getaddrinfo", resolving)
        yield asked


@pytest.fixture(scope="module")
def page(mova: Mova, elsewhere: list[Any]) -> Iterator[tuple[str, Engine]]:
    with served(mova, max_new_tokens=TOKENS) as page:
        yield page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as launched:
        yield launched


@pytest.fixture
def address(page: tuple[str, Engine]) -> str:
    return page[0]


@pytest.fixture
def visitor(address: str, chromium: Browser) -> Iterator[Visitor]:
    visitor = Visitor(chromium, address)
    yield visitor
    visitor.close()


def ask(mova: Mova, image: Any, experts: Any = None) -> Any:
    return mova.ask(image, ASKED, experts=experts, max_new_tokens=TOKENS)


@pytest.fixture(scope="module")
def image(mova: Mova, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of whose answers an expert changes that the router does not choose."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    for picture in pictures(30):
        answer = ask(mova, picture)
        chosen = answer.routing.experts
        if "one" not in chosen and ask(mova, picture, [*chosen, "one"]).text != answer.text:
            picture.save(path)
            return path
    raise AssertionError("no such picture")


def test_ask_and_force_an_expert_and_compare(visitor: Visitor, mova: Mova, image: Path) -> None:
    page = visitor.page
    answer = ask(mova, image)
    visitor.upload(image)
    visitor.ask(ASKED)
    expect(visitor.conversation).to_contain_text(answer.text)
    expect(visitor.about).to_contain_text("The router wrote")
    expect(visitor.answer).to_have_text(answer.text)
    row = page.get_by_role("row", name=re.compile("^B two"))
    expect(row).to_contain_text(f"{answer.routing.scores['two']:.3f}")
    for name in mova.experts:
        looked = page.get_by_role("row", name=re.compile(f"^. {name} ")).get_by_role("cell").nth(2)
        expect(looked).to_have_text("yes" if name in answer.routing.experts else "no")
    shown = page.get_by_role("img", name=re.compile("^Attention over the map"))
    assert shown.count() == 2 * len(answer.routing.experts)

    forced = ask(mova, image, [*answer.routing.experts, "one"])
    visitor.press("Force or forbid experts")
    page.get_by_label("one always").check()
    visitor.press("Start anew")
    expect(visitor.about).to_contain_text("Ask something")
    visitor.ask(ASKED)
    expect(visitor.answer).to_have_text(forced.text)
    expect(visitor.about.locator("p.chosen")).to_contain_text("one")

    visitor.press("Compare with other experts")
    cards = page.get_by_role("article")
    expect(cards.filter(has_text="being written")).to_have_count(0)
    expected = {
        "The router’s choice": answer.text,
        "With your switches": forced.text,
        "All experts": ask(mova, image, "all").text,
    }
    for name, text in expected.items():
        card = cards.filter(has=page.get_by_role("heading", name=name))
        expect(card.locator("p.answer")).to_have_text(text)
    assert "Another answer" in cards.filter(has_text="With your switches").inner_text()

    visitor.press("eagle")  # another image
    expect(cards).to_have_count(0)
    expect(visitor.conversation).not_to_contain_text(ASKED)
    visitor.press("Compare with other experts")
    expect(page.get_by_text("nothing was answered yet")).to_be_visible()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault(
    address: str, chromium: Browser, mova: Mova, image: Path, viewport: Any
) -> None:
    visitor = Visitor(chromium, address, viewport=viewport)
    visitor.upload(image)
    visitor.ask(ASKED)
    expect(visitor.answer).to_have_text(ask(mova, image).text)
    found = Axe().run(visitor.page).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert {f["id"]: [node["html"] for node in f["nodes"]] for f in serious} == {}
    visitor.close()


def test_an_image_from_the_clipboard(
    address: str, chromium: Browser, mova: Mova, image: Path
) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    visitor = Visitor(chromium, address, permissions=allowed)
    visitor.page.evaluate(COPY, base64.b64encode(image.read_bytes()).decode())
    visitor.press("Paste from clipboard")
    visitor.page.get_by_role("button", name="Remove Image").wait_for()
    visitor.ask(ASKED)
    expect(visitor.answer).to_have_text(ask(mova, image).text)
    visitor.close()


def test_a_conversation_and_a_new_one(visitor: Visitor, mova: Mova, image: Path) -> None:
    chat = mova.chat()
    first = chat.ask(ASKED, image, max_new_tokens=TOKENS)
    second = chat.ask("how many dogs ?", max_new_tokens=TOKENS)
    visitor.upload(image)
    visitor.ask(ASKED)
    expect(visitor.answer).to_have_text(first.text)
    visitor.ask("how many dogs ?")
    expect(visitor.answer).to_have_text(second.text)
    expect(visitor.about.locator("p.question")).to_have_text("how many dogs ?")
    expect(visitor.conversation).to_contain_text(ASKED)
    visitor.press("Start anew")
    expect(visitor.conversation).not_to_contain_text(ASKED)


def test_a_conversation_without_an_image(visitor: Visitor, mova: Mova) -> None:
    visitor.ask(ASKED)
    expect(visitor.answer).to_have_text(mova.chat().ask(ASKED, max_new_tokens=TOKENS).text)
    expect(visitor.about).to_contain_text("No image was shown")


def test_mistakes_are_told_on_the_page(visitor: Visitor, tmp_path: Path, image: Path) -> None:
    page = visitor.page

    def told(question: str, words: str) -> None:
        visitor.ask(question)
        expect(page.get_by_text(words)).to_be_visible()

    damaged, text = tmp_path / "damaged.png", tmp_path / "text.png"
    damaged.write_bytes(image.read_bytes()[:60])
    text.write_text("no picture")
    visitor.upload(damaged)
    told(ASKED, "the image is damaged or cut off")
    visitor.press("Remove Image")
    visitor.press("eagle")  # Gradio makes the field anew
    visitor.press("Remove Image")
    visitor.upload(text)
    told(ASKED, "the image is not a picture in a known format")
    assert "text.png" not in page.locator("body").inner_text()
    visitor.press("Remove Image")
    visitor.upload(image)
    told(" ", "the question is empty")
    visitor.press("Compare with other experts")
    expect(page.get_by_text("nothing was answered yet")).to_be_visible()


def test_stop_frees_the_place(
    visitor: Visitor, page: tuple[str, Engine], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, engine, pressed = SharedDecode.step, page[1], threading.Event()

    def slow(self: SharedDecode) -> None:
        pressed.wait(60)
        time.sleep(2)
        step(self)

    monkeypatch.setattr(SharedDecode, "step", slow)
    visitor.upload(image)
    visitor.ask(ASKED)
    expect(visitor.about).to_contain_text("being written")
    visitor.press("Stop")
    pressed.set()
    expect(visitor.conversation).not_to_contain_text(ASKED)
    end = time.monotonic() + 30
    while engine.running and time.monotonic() < end:
        time.sleep(0.1)
    assert engine.running == visitor.answer.count() == 0


def test_with_the_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.page
    example = page.get_by_role("button", name=re.compile("^eagle"))
    for _ in range(60):
        page.keyboard.press("Tab")
        if example.evaluate("it => it === document.activeElement"):
            break
    page.keyboard.press("Enter")
    question = page.get_by_label("Question", exact=True)
    expect(question).to_have_value("How many birds are there?")
    question.focus()
    page.keyboard.press("Enter")
    expect(visitor.answer).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(address: str, chromium: Browser, image: Path, scheme: Any) -> None:
    visitor = Visitor(chromium, address, viewport=PHONE, color_scheme=scheme)
    visitor.upload(image)
    visitor.ask(ASKED)
    expect(visitor.answer).to_be_visible()
    width = visitor.page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    button = visitor.page.get_by_role("button", name="Ask", exact=True).bounding_box()
    assert button["height"] >= 40 and button["width"] >= 80
    visitor.close()


def test_everything_has_a_name_and_nothing_leaves_the_machine(
    visitor: Visitor, address: str, image: Path, elsewhere: list[Any]
) -> None:
    """Headings in their order, and no button, field or picture of the answer without a name."""
    page = visitor.page
    visitor.upload(image)
    visitor.press("Force or forbid experts")
    visitor.ask(ASKED)
    expect(visitor.answer).to_be_visible()
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    nameless = re.compile(r"- (button|textbox|radio|region|table|figure)(:|$| \[)")
    snapshot = page.locator("body").aria_snapshot()
    assert [line for line in snapshot.splitlines() if nameless.search(line)] == []
    for picture in visitor.about.locator("img").all():
        assert len(picture.get_attribute("alt") or "") > 20
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == "openmova"

    local = (address, "data:", f"blob:{address}")
    assert [url for url in visitor.requests if not url.startswith(local)] == []
    assert [said for said in visitor.complaints if "Security Policy" in said] == []
    refused = page.evaluate(
        "fetch('http://127.0.0.2:9/').then(() => 'fetched', error => 'refused')"
    )
    assert refused == "refused"
    assert any("Security Policy" in said for said in visitor.complaints)
    assert elsewhere == []


def test_a_password(chromium: Browser, mova: Mova, elsewhere: list[Any]) -> None:
    with served(mova, password="open sesame") as (address, _):
        for path in ("/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=it"):
            with pytest.raises(HTTPError, match="401"):
                urlopen(address + path)
        page = chromium.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        told = page.get_by_text("Incorrect Credentials")
        inside = page.get_by_role("heading", name="openmova")
        for password, seen in (("sesame", told), ("open sesame", inside)):
            page.get_by_label("username").fill("anybody")
            page.get_by_label("password").fill(password)
            page.get_by_role("button", name="Login").click()
            expect(seen).to_be_visible()
        page.close()
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert elsewhere == []
