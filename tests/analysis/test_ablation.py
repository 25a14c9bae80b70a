"""With experts switched off, a question is answered as if they had never been chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openmova.analysis.ablation import ask_ablated, masks
from openmova.inference.mova import Mova
from tiny import pictures

POOL = ("text", "chart", "location")
CHOSEN = [("text", "chart"), ("location",), (), ("text", "chart")]


def test_the_sets_that_are_asked() -> None:
    assert masks(("text", "chart"), POOL) == [(), POOL, ("chart",), ("text",)]
    assert masks(("chart",), POOL) == [(), POOL]
    assert masks((), POOL) == [POOL]
    assert masks(POOL, POOL) == [(), POOL[1:], ("text", "location"), POOL[:2]]


def test_each_text_is_as_asked_alone(listening_mova: Mova, route_to: Callable[..., None]) -> None:
    mova = listening_mova
    route_to(*CHOSEN)
    pairs: list[Any] = [(p, f"what is {n} ?") for n, p in enumerate(pictures(len(CHOSEN)))]
    found = ask_ablated(mova, pairs, max_new_tokens=6, batch=3)
    for (image, question), (routed, texts), chosen in zip(pairs, found, CHOSEN, strict=True):
        assert routed.routing.experts == chosen
        assert set(texts) == {chosen, *masks(chosen, POOL)}
        for experts, text in texts.items():
            assert text == mova.ask(image, question, experts=experts, max_new_tokens=6).text
    assert len({text for _, texts in found for text in texts.values()}) > 1
    assert ask_ablated(mova, [], max_new_tokens=6) == []
