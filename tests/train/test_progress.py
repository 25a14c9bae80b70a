"""What a run shows on a terminal while it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from openmova.train.training import train
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE


def test_the_bar_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    recipe = load_recipe(SMOKE, [*FAST, "steps=4"])
    train(recipe, tmp_path, resume=False, tell=said.append, bar=True)
    shown = [part for part in capsys.readouterr().err.split("\r") if "samples" in part][-1]
    assert "8/8 [" in shown  # samples
    assert "samples/s" in shown or "s/ samples" in shown
    assert "step 4/4, loss " in shown
    assert [line.partition(":")[2] for line in said] == [" trained, 0 of 8 samples were bad"]
