"""openmova train: a recipe in, a model out; mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from commands import mistake, run
from openmova.inference.mova import Mova
from openmova.train import devices
from openmova.train.dry_step import DryStep, PartOperations
from openmova.train.run_folder import RunFolder

SMOKE = str(Path(__file__).parents[2] / "recipes" / "smoke.yaml")
FEW = ["steps=2", "batch=2", "data.0.samples=8"]


def train(folder: Path, *options: str) -> Result:
    return run("train", SMOKE, *FEW, *options, "--output", folder)


def refused(folder: Path, *options: str) -> str:
    return mistake("train", SMOKE, *FEW, *options, "--output", folder)


def test_the_smoke_recipe_leaves_a_model_that_answers_and_is_left_as_it_is(tmp_path: Path) -> None:
    assert "there is no model" in refused(tmp_path, "model=nowhere")  # and the folder stays free
    with RunFolder(tmp_path).claim():
        assert "another run is writing" in refused(tmp_path)
    result = train(tmp_path, "log_steps=1")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/final\n")
    assert "step 2/2  loss" in result.stderr
    assert (tmp_path / "final" / "model.safetensors").is_file()
    assert (tmp_path / "plot.png").is_file()
    mova = Mova.from_pretrained(tmp_path / "final")
    picture = Path(__file__).parents[1] / "golden" / "image_square.png"
    assert mova.ask(picture, "What is this?", experts="all", max_new_tokens=3).gates.any()

    before = (tmp_path / "final" / "model.safetensors").stat().st_mtime_ns
    again = train(tmp_path, "log_steps=1", "--resume")
    assert again.exit_code == 0 and "nothing to do" in again.stderr
    assert (tmp_path / "final" / "model.safetensors").stat().st_mtime_ns == before
    assert "holds a run already" in refused(tmp_path, "log_steps=1")
    assert "seed: 0 -> 1" in refused(tmp_path, "log_steps=1", "seed=1", "--resume")


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run that neither counts a step nor measures this machine, which takes seconds."""
    names = ("base", "location", "language model")
    parts = [PartOperations(name=name, forward=10, backward=20) for name in names]
    monkeypatch.setattr(DryStep, "operations", lambda self, **_: parts)
    monkeypatch.setattr(DryStep, "activations", lambda self, **_: 0)
    monkeypatch.setattr(devices, "PRODUCT", 8)


@pytest.mark.usefixtures("uncounted")
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path: Path) -> None:
    told = json.loads(train(tmp_path / "run", "--dry-run", "--json").stdout)
    assert (told["steps"], told["samples_a_step"], told["samples"]) == (2, 2, 4)
    assert told["sources"][0]["samples"] == 8
    assert 0 < told["parameters_that_learn"] < told["parameters"]
    assert told["device"].startswith("this machine's ")
    assert "in float32" in told["device"]  # the recipe's precision
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("uncounted")
def test_a_dry_run_tells_what_it_can_and_then_all_data_that_is_missing() -> None:
    data = "data=[{path: a.json}, {path: synthetic, samples: 4}, {path: b.tar}]"
    known = ("--samples", "8", "--price", "2", "--device", "a100")
    result = run("train", SMOKE, data, "steps=null", *known, "--dry-run")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    for part in ("2 of 3 sources", "a.json", "b.tar"):
        assert part in result.stderr
    estimate = ("the run 2 steps", "1 x NVIDIA A100, 80 GB: it fits", "can't be used")
    for part in (*estimate, "language model", "location", "optimizer"):
        assert part in result.stdout


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([SMOKE], "--output is missing"),
        (["nowhere.yaml", "--dry-run"], "there is no recipe"),
        ([SMOKE, "stpes=3", "--dry-run"], "did you mean steps"),
        ([SMOKE, "data.0.path=nowhere.json", "data.0.samples=null", "--dry-run"], "no data"),
        ([SMOKE, "data.0.path=nowhere.json", "--dry-run"], "samples is for synthetic data"),
        ([SMOKE, "data.0.samples=null", "--dry-run"], "synthetic data has no end"),
        ([SMOKE, "model=nowhere", "--dry-run"], "there is no model"),
        ([SMOKE, "model=a/b.yaml", "--output", "unused"], "openmova assemble a/b.yaml DIR"),
        ([SMOKE, "--device", "h10", "--dry-run"], "did you mean h100"),
        (
            [SMOKE, "data=[{path: a.json}, {path: b.tar}]", "--output", "unused"],
            "2 of 2 sources of the data can't be used: there is no data 'a.json'",
        ),
        ([SMOKE, "experts=[sam]", "--dry-run"], "the model's experts are text, chart, location"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in mistake("train", *arguments)
