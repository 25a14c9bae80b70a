"""What a run shows while it goes on; TensorBoard gets what the log gets, and each step once."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from openmova.errors import UserError
from openmova.train import trackers as trackers_module
from openmova.train.training import train
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE, entries, run, stopped_after


def test_the_bar_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    recipe = load_recipe(SMOKE, [*FAST, "steps=4"])
    train(recipe, tmp_path, resume=False, tell=said.append, bar=True)
    shown = [part for part in capsys.readouterr().err.split("\r") if "samples" in part][-1]
    assert "8/8 [" in shown  # samples
    assert "samples/s" in shown or "s/ samples" in shown
    assert "step 4/4, loss " in shown
    assert [line.partition(":")[2] for line in said] == [" trained, 0 of 8 samples were bad"]


def test_a_resumed_run_has_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["steps=4", "log_steps=1", "report=[tensorboard]"]
    with stopped_after(3, monkeypatch):  # step 3 is in the file, and in no checkpoint
        run(tmp_path, *changes)
    run(tmp_path, *changes)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [
        (entry["step"], pytest.approx(entry["loss"])) for entry in entries(tmp_path)
    ]
    names = events.Tags()["scalars"]
    assert {"train/loss/text", "train/learning_rate/base"} <= set(names)
    assert any(name.startswith("train/gate/text/text/") for name in names)


@pytest.mark.parametrize(("name", "extra"), [("tensorboard", "train"), ("wandb", "wandb")])
def test_a_missing_tracker_is_named(monkeypatch: pytest.MonkeyPatch, name: str, extra: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(trackers_module, "find_spec", lambda n: None if n == name else find(n))
    with pytest.raises(UserError, match=rf"reports to {name}.*pip install 'openmova\[{extra}\]'"):
        trackers_module.check_trackers([name])
