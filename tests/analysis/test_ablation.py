"""With experts switched off, a question is answered as if they had never been chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from openmova.analysis.ablation import ask_ablated, masks
from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova
from openmova.routing import RoutingResult
from tiny import pictures

POOL = ("text", "chart", "location")
CHOSEN = [("text", "chart"), ("location",), (), ("text", "chart")]


@pytest.fixture(scope="module")
def mova() -> Mova:
    mova = Mova(*tiny_mova())
    torch.manual_seed(0)
    with torch.no_grad():  # untrained, the adapter ignores the experts
        for weight in mova.model.model.adapter.parameters():
            weight.normal_(0, 0.2)
    return mova


@pytest.fixture
def routed(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router chooses CHOSEN, one after the other."""
    rows: Iterator[tuple[str, ...]] = iter(CHOSEN)

    def route(*given: Any, base_map: torch.Tensor, **options: Any) -> RoutingResult:
        routing = torch.tensor(
            [[n in next_ for n in POOL] for next_ in [next(rows) for _ in base_map]]
        )
        none = torch.zeros_like(routing)
        tokens, _ = mova.model.model.image_tokens(None, None, none, base_map=base_map)
        return RoutingResult(routing, routing.float(), [""] * len(routing), tokens)

    monkeypatch.setattr(mova.model, "route", route)


def test_the_sets_that_are_asked() -> None:
    assert masks(("text", "chart"), POOL) == [(), POOL, ("chart",), ("text",)]
    assert masks(("chart",), POOL) == [(), POOL]
    assert masks((), POOL) == [POOL]
    assert masks(POOL, POOL) == [(), POOL[1:], ("text", "location"), POOL[:2]]


@pytest.mark.usefixtures("routed")
def test_each_text_is_that_of_asking_alone(mova: Mova) -> None:
    pairs: list[Any] = [(p, f"what is {n} ?") for n, p in enumerate(pictures(len(CHOSEN)))]
    found = ask_ablated(mova, pairs, max_new_tokens=6, batch=3)
    for (image, question), masked, chosen in zip(pairs, found, CHOSEN, strict=True):
        assert masked.routed.routing.experts == chosen
        assert set(masked.texts) == {chosen, *masks(chosen, POOL)}
        for experts, text in masked.texts.items():
            alone = mova.ask(image, question, experts=experts, max_new_tokens=6)
            assert text == alone.text
    assert len({text for masked in found for text in masked.texts.values()}) > 3


def test_no_question_has_no_answers(mova: Mova) -> None:
    assert ask_ablated(mova, [], max_new_tokens=6) == []
