"""What the page says of an answer, without a browser."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from inference.asking import running
from openmova import Mova
from openmova.images.boxes import Box, Polygon
from openmova.inference.engine import Reply, RoutingEvent
from openmova.inference.limits import GenerationLimits
from openmova.inference.session import Picture, Session
from openmova.routing.selection import ExpertSelection
from openmova.serve.http.server_options import IMAGES
from tiny import pictures

pytest.importorskip("gradio")
from openmova.serve.ui.handlers import PageHandlers
from openmova.serve.ui.rendering import Card, answer_html, comparison_html

LIMITS = GenerationLimits(max_new_tokens=9, max_seconds=None)
PICTURE = pictures(1)[0]
SHOWN = Picture(image=PICTURE, size=(200, 120))
ROUTER_ONLY = ("router",) * 3
ASKED = "what is this ?"
Events = tuple[RoutingEvent, Reply]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("pictures") / "picture.png")
    PICTURE.save(path)
    return path


@pytest.fixture(scope="module")
def events(mova: Mova) -> Events:
    with running(mova) as engine:
        session = Session()
        session.open(Picture.of(PICTURE, mova.processor))
        choice = ExpertSelection.of("one,two", None, mova.experts)
        event, *_, reply = engine.converse(session, ASKED, choice, LIMITS, attention=True)
    return event, reply


def test_without_a_picture_no_expert_is_told_of(mova: Mova) -> None:
    with running(mova) as engine:
        event, *_, reply = engine.converse(Session(), ASKED, ExpertSelection(), LIMITS)
    html = answer_html(mova, None, ASKED, event, reply.answer)
    assert reply.answer.text in html
    assert "No image was shown" in html
    assert "<table" not in html


def test_gates_and_attention_of_each_chosen_expert(mova: Mova, events: Events) -> None:
    event, _ = events
    html = answer_html(mova, SHOWN, ASKED, event)
    assert "being written" in html
    for name, share in zip(("one", "two"), event.gates[0].tolist(), strict=True):
        assert f"{name} {share:.2f}" in html
        for block in (1, 2):
            assert f"Attention over the map of {name} in block {block}: strongest" in html
    assert "Attention over the map of three" not in html
    assert html.count("data:image/jpeg") == 4


def test_boxes_and_polygons_are_drawn_on_the_picture(mova: Mova, events: Events) -> None:
    event, reply = events
    shape = Polygon(((0, 0), (100, 0), (100, 50)))
    answer = replace(reply.answer, boxes=(Box(10, 20, 110, 60),), polygons=(shape,))
    html = answer_html(mova, SHOWN, ASKED, event, answer)
    assert "a box from (10, 20) to (110, 60); a polygon of 3 points, in 200 × 120 pixels" in html
    assert html.count("data:image/jpeg") == 5


def test_an_unsure_answer_says_so(mova: Mova, events: Events) -> None:
    event, reply = events
    assert "onfidence" not in answer_html(mova, SHOWN, ASKED, event, reply.answer)
    for unsure in (False, True):
        answer = replace(reply.answer, text="cat", confidence=0.43, is_unsure=unsure)
        html = answer_html(mova, SHOWN, ASKED, event, answer)
        assert "Confidence 0.43" in html
        html += comparison_html(ASKED, [Card("All", replace(reply, answer=answer))])
        assert html.count("cat (unsure)") == 2 * unsure


def test_a_conversation_keeps_what_was_unsure(unsure_folder: str, path: str) -> None:
    unsure = Mova.from_pretrained(unsure_folder, device="cpu")
    state = None
    with running(unsure) as engine:
        handlers = PageHandlers(engine, LIMITS, IMAGES)
        for question in (ASKED, "how many dogs ?"):
            *_, (state, turns, _, _) = handlers.ask(state, path, question, *ROUTER_ONLY)
    assert [turn["content"].endswith(" (unsure)") for turn in turns] == [False, True] * 2
    assert state.messages() == turns


def test_what_a_model_or_a_person_writes_is_text(mova: Mova, events: Events) -> None:
    event, reply = events
    evil = "<img src=x onerror=alert(1)>"
    answer = replace(reply.answer, text=evil)
    html = answer_html(mova, SHOWN, evil, event, answer)
    html += comparison_html(evil, [Card(evil, replace(reply, answer=answer))])
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x") == 5


def test_the_answer_grows_on_the_page(mova: Mova, path: str) -> None:
    expected = mova.ask(path, ASKED, max_new_tokens=9)
    with running(mova) as engine:
        handlers = PageHandlers(engine, LIMITS, IMAGES)
        steps = list(handlers.ask(None, path, f" {ASKED} ", *ROUTER_ONLY))
    for _, turns, question, html in steps:
        assert (turns[0], question) == ({"role": "user", "content": ASKED}, "")
        assert "Chosen experts" in html
    texts = [turns[-1]["content"] for _, turns, _, _ in steps]
    assert (texts[0], texts[-1]) == ("…", expected.text)
    assert all(after.startswith(before) for before, after in pairwise(texts[1:]))
    assert len(set(texts)) > 3
