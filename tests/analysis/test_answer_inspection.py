"""The page of one question: it shows what was computed, needs nothing else, and trusts no text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from PIL import Image

from openmova.analysis.answer_inspection import Inspection, inspect
from openmova.analysis.report import question_page
from openmova.inference.mova import Mova
from pages import Page

QUESTION = 'What <script>alert("x")</script> & <image> is shown?'
CHOSEN = ("text", "location")


@pytest.fixture
def found(listening_mova: Mova, picture: Image.Image, route_to: Callable[..., None]) -> Inspection:
    route_to(CHOSEN)
    return inspect(listening_mova, picture, QUESTION, max_new_tokens=4)


def test_it_holds_what_asking_gives(
    found: Inspection, listening_mova: Mova, picture: Image.Image
) -> None:
    mova = listening_mova
    asked = mova.ask(picture, QUESTION, experts=CHOSEN, max_new_tokens=4)
    assert (found.answer.text, found.answer.routing.experts) == (asked.text, CHOSEN)
    torch.testing.assert_close(found.answer.gates, asked.gates)
    assert {other.what: other.experts for other in found.alternatives} == {
        "without text": ("location",),
        "without location": ("text",),
        "no expert, the base encoder alone": (),
        "all experts": mova.experts,
    }
    for other in found.alternatives:
        text = mova.ask(picture, QUESTION, experts=other.experts, max_new_tokens=4).text
        assert other.text == text
    assert [len(found.attention[name]) for name in CHOSEN] == [2, 2]
    assert len(found.attention) == 2
    assert "<image> × 4\n" in found.prompt  # what the router read
    assert all(description in found.prompt for description in found.pool.values())
    assert found.prompt.endswith("&  is shown?<end><assistant>")
    assert list(found.words) == ["as routed", "without text", "without location"]
    told = found.to_dict()
    assert told["routing"]["scores"]["text"] == pytest.approx(0.9)
    assert len(told["attention"]["location"][1]) == 8


def test_the_page_needs_nothing_else_and_describes_its_pictures(found: Inspection) -> None:
    html = question_page(found, image="a<b>.png", model="tiny")
    page = Page(html)
    assert page.tags["script"] == 0
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert len(page.alts) == 1 + 2 * 2
    assert all(page.alts)
    assert page.alts[1].startswith("Attention over the map of text in block 1: strongest ")
    assert page.tags["caption"] == page.tags["table"]
    assert (page.tags["h1"], page.tags["main"]) == (1, 1)
    assert all(text in page.text for text in (QUESTION, "a<b>.png", found.prompt))
    for weights in found.answer.gates.tolist():
        assert all(f"{weight:.3f}" in page.text for weight in weights)
    bold = replace(found, answer=replace(found.answer, text="<b>bold</b>"))
    assert Page(question_page(bold, image="a.png", model="tiny")).tags["b"] == 0


def test_a_page_without_experts_says_so(
    listening_mova: Mova, picture: Image.Image, route_to: Callable[..., None]
) -> None:
    route_to(())
    found = inspect(listening_mova, picture, QUESTION, max_new_tokens=2)
    assert found.attention == {}
    page = Page(question_page(found, image="a.png", model="tiny"))
    assert "no expert looked at the picture" in page.text
    assert [other.what for other in found.alternatives] == [
        "no expert, the base encoder alone",
        "all experts",
    ]
