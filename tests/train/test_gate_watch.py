"""A collapsed gate is a warning that says what to do; one that is healthy or rare is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openmova.model.adapter import DynamicGate
from openmova.train import gate_watch
from openmova.train.domain_statistics import ExpertUse
from openmova.train.gate_watch import WINDOW, GateWatch
from train.runs import run


def use(mean: float, samples: int) -> dict[str, ExpertUse]:
    """Of two experts that see the same samples."""
    weights = {"text": mean, "chart": 1 - mean}
    return {name: ExpertUse(1.0, w, samples, w * samples) for name, w in weights.items()}


@pytest.mark.parametrize(("mean", "warns"), [(0.01, True), (0.99, True), (0.03, False)])
def test_an_expert_that_gets_nothing_or_all_is_warned_of_once(mean: float, warns: bool) -> None:
    watch = GateWatch(2e-4)
    half = use(mean, WINDOW // 2)
    assert watch.warning(half) is None  # too few samples to say
    said = watch.warning(half)
    assert (said is not None) == warns
    if said is not None:
        assert f"text {mean:.3f}, chart {1 - mean:.3f}" in said
        assert "learning_rates.gate=2e-05" in said and "\n" not in said
    assert watch.warning(use(mean, WINDOW)) is None


def test_an_expert_that_is_always_chosen_alone_has_all_the_weight_and_no_warning() -> None:
    watch = GateWatch(0.0)
    assert watch.warning({"text": ExpertUse(1.0, 1.0, 0, 0.0)}) is None
    assert "begin again with a model" in str(watch.warning(use(0.0, WINDOW)))


def test_a_run_says_that_its_gate_collapsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DynamicGate.forward

    def forward(self: DynamicGate, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        self.score.bias.data[1] = 50.0  # to the second expert
        return original(self, x, *others)

    monkeypatch.setattr(DynamicGate, "forward", forward)
    monkeypatch.setattr(gate_watch, "WINDOW", 8)
    (warning,) = [line for line in run(tmp_path, "experts=all") if line.startswith("warning")]
    assert "text 0.000, chart 1.000, location 0.000" in warning
