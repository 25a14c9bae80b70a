"""A confidence is a logistic of likelihood and routing, and its configuration is checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.model.confidence import ConfidenceConfig, confidence_features
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import Routing
from tiny import tiny_config

ROUTING = Routing(experts=("a",), scores={"a": 0.9, "b": 0.2}, raw="A")
CHOSEN_BY_USER = Routing(experts=("a",), scores={}, raw="")


def test_the_features_are_of_the_tokens_and_of_the_least_decided_score() -> None:
    assert confidence_features([-1.0, -3.0], ROUTING) == pytest.approx(
        {"mean": -2.0, "least": -3.0, "whole": -4.0, "routing": 0.6}
    )
    assert confidence_features([-1.0], CHOSEN_BY_USER)["routing"] == 1.0


def test_the_logistic_of_the_weighed_features() -> None:
    calibration = ConfidenceConfig(weights={"least": 2.0, "routing": 1.0}, bias=0.5)
    sure = calibration.confidence("cat", [-0.1, -0.4], ROUTING)
    assert sure == pytest.approx(1 / (1 + math.exp(-(0.5 - 0.8 + 0.6))))
    assert calibration.confidence("cat", [-1000.0], ROUTING) == 0.0


def test_an_answer_that_declines_is_not_one() -> None:
    calibration = ConfidenceConfig(weights={}, bias=3.0, declining=["I can't tell."])
    assert calibration.confidence("I can't tell.", [0.0], ROUTING) == 0.0
    assert calibration.confidence("a cat", [0.0], ROUTING) > 0.9


def test_a_checkpoint_keeps_it_and_others_say_nothing(tmp_path: Path) -> None:
    fields = {"weights": {"mean": 0.7}, "bias": 1.0, "declining": ["no idea"]}
    tiny_config(confidence=fields).save_pretrained(tmp_path)
    kept = MovaConfig.from_pretrained(tmp_path).confidence
    assert kept == ConfidenceConfig(**fields)
    assert tiny_config().confidence is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"weights": {"colour": 1.0}, "bias": 0.0}, "not colour"),
        ({"weights": {}, "bias": 0.0, "unsure_below": 2}, "unsure_below must be 0 to 1"),
        ({"weights": {}}, "bias"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"the configuration's confidence: .*{told}"):
        tiny_config(confidence=wrong)
