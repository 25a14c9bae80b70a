"""The page with the embedded model: an example, an expert forbidden, the answer without it.

With OPENMOVA_SCREENSHOT=FILE the page is photographed as docs/ui.md shows it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from openmova import Mova
from openmova.inference.answer import Answer

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from openmova.serve.ui.layout import examples
from serve.ui.visiting import NO_BROWSER, Visitor, browser, browser_path, served

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser_path() is None, reason=NO_BROWSER)]
TOKENS = 16
CLEAR = -0.5
"""Log-probability of every token of an answer."""


def answered_by_an_expert(nano: Mova) -> tuple[str, Answer, str, Answer]:
    """An example's name, its answer, an expert that the router chose, and the answer without.

    The answers differ, and both are clear ones, as the browser encodes the picture anew.
    """
    for image, question in examples():
        answer = nano.ask(image, question, max_new_tokens=TOKENS)
        if answer.routing.experts:
            name, *rest = answer.routing.experts
            without = nano.ask(image, question, experts=rest, max_new_tokens=TOKENS)
            is_clear = min(*answer.log_probs, *without.log_probs) > CLEAR
            if is_clear and answer.text != without.text:
                return Path(image).stem, answer, name, without
    raise AssertionError("no example is clearly answered by an expert, and without it")


def test_an_example_and_the_same_without_an_expert(nano: Mova) -> None:
    example, answer, expert, without = answered_by_an_expert(nano)
    with served(nano, model="nano", max_new_tokens=TOKENS) as (address, _), browser() as chromium:
        visitor = Visitor(chromium, address)
        page = visitor.page
        visitor.press(f"{example}:")
        expect(page.get_by_label("Question", exact=True)).not_to_have_value("")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(visitor.answer).to_have_text(str(answer))
        for name in answer.routing.experts:
            expect(visitor.about.locator("p.chosen")).to_contain_text(name)
        expect(visitor.about.get_by_role("img", name=re.compile("^Block 1:"))).to_be_visible()

        visitor.press("Force or forbid experts")
        page.get_by_label(f"{expert} never").check()
        visitor.press("Compare with other experts")
        switched = page.get_by_role("article").filter(has_text="With your switches")
        expect(switched.locator("p.answer")).to_have_text(str(without))
        expect(page.get_by_role("article").filter(has_text="being written")).to_have_count(0)
        if shown := os.environ.get("OPENMOVA_SCREENSHOT"):
            page.screenshot(path=shown, full_page=True)
