"""TensorBoard gets what the log gets, and each step once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from openmova.errors import UserError
from openmova.runtime.run_store import JsonLines
from openmova.train import trackers as trackers_module
from openmova.train.training import train
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE, stopped_after

CHANGES = [*FAST, "steps=4", "log_steps=1", "report=[tensorboard]"]


def test_a_run_that_goes_on_has_each_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(SMOKE, CHANGES)
    with stopped_after(3, monkeypatch):  # step 3 is in the file, and in no checkpoint
        train(recipe, tmp_path, resume=True, tell=str)
    train(recipe, tmp_path, resume=True, tell=str)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    log = JsonLines(tmp_path / "log.jsonl").entries()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (entry["step"], pytest.approx(entry["loss"])) for entry in log
    ]
    names = events.Tags()["scalars"]
    assert {"train/loss/text", "train/learning_rate/base"} <= set(names)
    assert any(name.startswith("train/gate/text/text/") for name in names)


@pytest.mark.parametrize(("name", "extra"), [("tensorboard", "train"), ("wandb", "wandb")])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(trackers_module, "find_spec", lambda n: None if n == name else find(n))
    with pytest.raises(UserError, match=rf"reports to {name}.*pip install 'openmova\[{extra}\]'"):
        trackers_module.check_trackers([name])
