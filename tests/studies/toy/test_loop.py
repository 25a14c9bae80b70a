"""The training loop: a run that was stopped ends like one that was not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from studies.toy.loop import fit, schedule


class Stopped(Exception):
    pass


def _train(folder: Path, stop_at: int | None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == stop_at:
            raise Stopped
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return (model(x) - x.sum(1, keepdim=True)).square().mean(), {}

    fit("toy", model, loss_of, steps=12, lr=1e-2, folder=folder, save_seconds=0.0)
    return model.state_dict()


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", None)
    with pytest.raises(Stopped):
        _train(tmp_path / "stopped", 7)
    resumed = _train(tmp_path / "stopped", None)
    for name, tensor in whole.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, resumed[name]), name


def test_parameters_learn_at_their_own_rate(tmp_path: Path) -> None:
    model = nn.ModuleDict({"one": nn.Linear(2, 1), "still": nn.Linear(2, 1)})
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        x = torch.ones(1, 2)
        return (model["one"](x) + model["still"](x)).sum(), {}

    rates = {"one": 1.0, "still": 0.0}
    fit(
        "toy",
        model,
        loss_of,
        steps=3,
        lr=1e-2,
        rate=lambda name: rates[name.partition(".")[0]],
        folder=tmp_path,
    )
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("still"), name


def test_the_schedule_warms_up_and_ends_near_zero() -> None:
    factors = [schedule(step, 1000) for step in range(1000)]
    assert factors[0] == pytest.approx(0.01)
    assert max(factors) == pytest.approx(1.0)
    assert factors[-1] < 1e-4
