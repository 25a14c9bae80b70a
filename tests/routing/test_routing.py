"""Routing as data: names and scores of a row, the limit on experts, the config."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from openmova.routing import Routing, RoutingConfig, RoutingResult, limit_experts


def test_a_row_of_a_batch_has_names_and_scores() -> None:
    result = RoutingResult(
        routing=torch.tensor([[True, False], [False, False]]),
        scores=torch.tensor([[0.75, 0.25], [0.0, 0.5]]),
        texts=["A", "none"],
        tokens=torch.zeros(2, 1, 1),
    )
    first = Routing.of(result.routing[0], ["text", "chart"], result, 0)
    assert first.experts == ("text",)
    assert first.scores == {"text": 0.75, "chart": 0.25}
    assert first.raw == "A"
    assert Routing.of(result.routing[1], ["text", "chart"], result, 1).experts == ()


def test_the_limit_keeps_the_best_scored_of_the_chosen() -> None:
    routing = torch.tensor([[True, True, False, True], [False, False, True, False]])
    scores = torch.tensor([[0.1, 0.9, 1.0, 0.5], [0.9, 0.9, 0.0, 0.9]])
    assert limit_experts(routing, scores, 2).tolist() == [
        [False, True, False, True],
        [False, False, True, False],
    ]
    assert torch.equal(limit_experts(routing, scores, None), routing)
    assert not limit_experts(routing, scores, 0).any()
    assert torch.equal(limit_experts(routing, scores, 99), routing)
    equal = torch.ones(1, 5, dtype=torch.bool)  # of equally scored experts the first
    assert limit_experts(equal, torch.full((1, 5), 0.2), 2).tolist() == [[True] * 2 + [False] * 3]
    with pytest.raises(ValueError, match="0 or more"):
        limit_experts(routing, scores, -1)


def test_the_config_survives_json() -> None:
    config = RoutingConfig(grid=(7, 4), max_experts=2, constrained=True)
    assert RoutingConfig(**json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    "wrong", [{"grid": (0, 4)}, {"grid": (4,)}, {"max_experts": -1}, {"max_new_tokens": 0}]
)
def test_a_config_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RoutingConfig(**wrong)  # type: ignore[arg-type]
