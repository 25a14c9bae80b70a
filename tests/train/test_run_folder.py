"""The run's folder: one run at a time, the same recipe, checkpoints whole or passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from openmova.errors import UserError
from openmova.train.run_folder import RunFolder


def checkpoints(folder: RunFolder, *steps: int, keep: int = 9) -> list[Path]:
    for step in steps:
        with folder.new_checkpoint(step, keep=keep, processes=1) as unfinished:
            (unfinished / "weights").write_bytes(bytes([step]) * 100)
    return [folder.path / f"checkpoint-{step}" for step in steps]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "unsealed", "{", "{}"])
def test_a_torn_checkpoint_is_told_of_and_the_one_before_taken(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(tmp_path)
    before, torn = checkpoints(folder, 5, 10)
    weights, seal = torn / "weights", torn / "whole.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:50])
    elif damage == "changed":
        weights.write_bytes(bytes(100))
    elif damage in ("gone", "unsealed"):
        (weights if damage == "gone" else seal).unlink()
    else:
        seal.write_text(damage)
    said: list[str] = []
    assert folder.latest(1, said.append) == before
    assert said == ["checkpoint-10 is torn: taking the one before"]
    (again,) = checkpoints(folder, 10)  # the step is reached again
    assert folder.latest(1, said.append) == again


def test_the_newest_is_taken_by_as_many_processes_and_older_ones_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    *kept, newest = checkpoints(folder, 2, 9, 10, keep=2)[1:]
    assert set(tmp_path.iterdir()) == {*kept, newest}
    assert folder.latest(1, print) == newest
    with pytest.raises(UserError, match="has 1 processes, this one 2"):
        folder.latest(2, print)


def test_a_run_goes_on_with_its_own_recipe_only(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    recipe = {"steps": 3, "learning_rates": {"base": 0.1}}
    folder.begin({"steps": 4}, resume=False)
    folder.begin(recipe, resume=False)  # no checkpoint yet
    checkpoints(folder, 1)
    folder.begin(recipe, resume=True)
    with pytest.raises(UserError, match=r"learning_rates\.base: 0\.1 -> 0\.2"):
        folder.begin({"steps": 3, "learning_rates": {"base": 0.2}}, resume=True)
    with pytest.raises(UserError, match="holds a run already"):
        folder.begin(recipe, resume=False)
    (tmp_path / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"has lost recipe\.yaml: give another --output"):
        folder.begin(recipe, resume=True)
