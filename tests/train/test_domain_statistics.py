"""The statistics of the domains: what the forward pass that learns saw, no more and no less; a gate
that has collapsed is a warning that says what to do, one that is healthy or rare is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openmova.model.adapter import DynamicGate
from openmova.train import domain_statistics
from openmova.train.answer_loss import AnswerLoss
from openmova.train.domain_statistics import WINDOW, DomainStatistics, ExpertUse, GateWatch, flat
from train.runs import entries, run


def test_losses_are_means_of_tokens_and_gates_of_the_samples_that_an_expert_saw() -> None:
    statistics = DomainStatistics(["text", "chart"])
    gates = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.4, 0.6], [0.2, 0.8]], [[0, 0], [0, 0]]])

    def add(domains: list[str], losses: list[list[float]], gates: torch.Tensor) -> None:
        found = torch.tensor(losses)
        statistics.add(domains, gates[:, 0] > 0, AnswerLoss(found, found > 0, gates))

    add(["forms", "charts", ""], [[1, 2, 0], [0, 3, 0], [5, 0, 7.0]], gates)
    add(["charts"], [[4, 8.0]], torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))
    mean, found, experts = statistics.collect()
    assert mean == pytest.approx(30 / 7)
    assert found["forms"] == {
        "samples": 1,
        "tokens": 2,
        "loss": 1.5,
        "chosen": {"text": 1.0, "chart": 0.0},
        "gates": {"text": [1.0, 1.0]},
    }
    assert found["charts"] == {
        "samples": 2,
        "tokens": 3,
        "loss": 5.0,
        "chosen": {"text": 0.5, "chart": 1.0},
        "gates": {"text": [0.4, 0.2], "chart": [0.8, 0.9]},
    }
    assert found["none given"]["loss"] == 6.0
    assert experts["text"] == (0.5, 0.65, 1, pytest.approx(0.3))
    assert experts["chart"] == (0.5, 0.85, 1, pytest.approx(0.7))
    use = {name: {"chosen": e.chosen, "gate": e.gate} for name, e in experts.items()}
    assert flat(use, found)["gate/charts/chart/2"] == 0.9
    assert flat(use, found)["gate/chart"] == 0.85


def test_the_domains_of_a_run_add_up(tmp_path: Path) -> None:
    changes = ["learning_rates.gate_text=0", "log_steps=1", "steps=2", "accumulation=2"]
    run(tmp_path, *changes)
    for entry in entries(tmp_path):
        assert entry["learning_rate/gate"] == pytest.approx(entry["learning_rate/adapter"] / 10)
        domains = entry["domains"].values()
        assert sum(found["samples"] for found in domains) == 4
        tokens = sum(found["tokens"] for found in domains)
        total = sum(found["tokens"] * found["loss"] for found in domains)
        assert entry["loss"] == pytest.approx(total / tokens, rel=1e-5)


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
    monkeypatch.setattr(domain_statistics, "WINDOW", 8)
    (warning,) = [line for line in run(tmp_path, "experts=all") if line.startswith("warning")]
    assert "text 0.000, chart 1.000, location 0.000" in warning
