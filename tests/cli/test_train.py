"""openmova train: a recipe in, a model out; mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmova.cli import app
from openmova.inference.mova import Mova
from openmova.train.dry_step import DryStep, PartOperations
from openmova.train.run_folder import RunFolder

SMOKE = str(Path(__file__).parents[2] / "recipes" / "smoke.yaml")
FEW = ["steps=2", "batch=2", "data.0.samples=8"]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_smoke_recipe_leaves_a_model_that_answers(tmp_path: Path) -> None:
    code, out, err = run(SMOKE, *FEW, "log_steps=1", "--output", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path}/final\n")
    assert "step 2/2  loss" in err
    assert (tmp_path / "final" / "model.safetensors").is_file()
    assert (tmp_path / "plot.png").is_file()
    mova = Mova.from_pretrained(tmp_path / "final")
    picture = Path(__file__).parents[1] / "golden" / "image_square.png"
    assert mova.ask(picture, "What is this?", experts="all", max_new_tokens=3).gates.any()


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run that doesn't count a step, which takes seconds."""
    names = ("base", "location", "language model")
    parts = [PartOperations(name=name, forward=10, backward=20) for name in names]
    monkeypatch.setattr(DryStep, "operations", lambda self, **_: parts)
    monkeypatch.setattr(DryStep, "activations", lambda self, **_: 0)


@pytest.mark.usefixtures("uncounted")
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path: Path) -> None:
    code, out, _ = run(SMOKE, *FEW, "--dry-run", "--json", "--output", str(tmp_path / "run"))
    told = json.loads(out)
    assert code == 0
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
    code, out, err = run(SMOKE, data, "steps=null", *known, "--dry-run")
    assert code == 2
    assert "2 of 3 sources" in err and "a.json" in err and "b.tar" in err
    assert len(err.splitlines()) == 1
    assert "the run 2 steps" in out and "1 x NVIDIA A100, 80 GB: it fits" in out
    for part in ("language model", "location", "optimizer", "can't be used"):
        assert part in out


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    assert run(SMOKE, *FEW, "--output", str(tmp_path))[0] == 0
    before = (tmp_path / "final" / "model.safetensors").stat().st_mtime_ns
    code, _, err = run(SMOKE, *FEW, "--output", str(tmp_path), "--resume")
    assert (code, "nothing to do" in err) == (0, True)
    assert (tmp_path / "final" / "model.safetensors").stat().st_mtime_ns == before
    code, _, err = run(SMOKE, *FEW, "--output", str(tmp_path))
    assert (code, "holds a run already" in err) == (2, True)
    code, _, err = run(SMOKE, *FEW, "seed=1", "--output", str(tmp_path), "--resume")
    assert (code, "seed: 0 -> 1" in err) == (2, True)


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
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_recipe_that_failed_leaves_its_folder_free(tmp_path: Path) -> None:
    assert run(SMOKE, *FEW, "model=nowhere", "--output", str(tmp_path))[0] == 2
    assert run(SMOKE, *FEW, "--output", str(tmp_path))[0] == 0


def test_a_second_run_in_the_folder_of_a_running_one_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path).claim():
        code, _, err = run(SMOKE, *FEW, "--output", str(tmp_path))
    assert (code, "another run is writing" in err) == (2, True)
