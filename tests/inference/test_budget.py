"""A budget in Python: the best set of the router's choice answers, and what it left out is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from openmova import Mova
from openmova.experts.cost import ExpertCost
from openmova.experts.pool import ExpertPool

QUESTION = "what is this ?"
NAMED = ("one", "two", "three")


@pytest.fixture(autouse=True)
def router_that_names_all(mova: Mova, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scores are 0.9, 0.5 and 0.3; the experts cost 4, 1 and 2 seconds."""
    original = mova.model.route

    def route(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        scores = torch.tensor([[0.9, 0.5, 0.3]]).expand_as(result.scores)
        return result._replace(routing=torch.ones_like(result.routing), scores=scores)

    def cost(pool: ExpertPool, j: int) -> ExpertCost:
        return ExpertCost(operations=None, seconds=[4.0, 1.0, 2.0][j])

    monkeypatch.setattr(mova.model, "route", route)
    monkeypatch.setattr(ExpertPool, "cost", cost)


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        ("7s", NAMED),
        ("6s", ("one", "two")),
        ("3s", ("two", "three")),
        ("1.5s", ("two",)),
        ("0.5s", ()),
    ],
)
def test_the_best_set_answers(
    mova: Mova, picture: Image.Image, budget: str, chosen: tuple[str, ...]
) -> None:
    answer = mova.ask(picture, QUESTION, budget=budget, max_new_tokens=3)
    assert answer.routing.experts == chosen
    assert answer.routing.left_out == tuple(name for name in NAMED if name not in chosen)
    assert answer.to_dict()["routing"].get("left_out", []) == list(answer.routing.left_out)
    fixed = list(chosen)
    assert mova.ask(picture, QUESTION, experts=fixed, max_new_tokens=3).text == answer.text


def test_a_batch_a_stream_and_a_chat_keep_to_it(mova: Mova, picture: Image.Image) -> None:
    options: dict[str, Any] = {"budget": "3s", "max_new_tokens": 3}
    answer = mova.ask(picture, QUESTION, **options)
    (alone,) = mova.ask_batch([(picture, QUESTION)], **options)
    assert alone.routing.experts == answer.routing.experts
    assert "".join(mova.stream(picture, QUESTION, **options)) == answer.text
    assert mova.chat().ask(QUESTION, picture, **options).text == answer.text
