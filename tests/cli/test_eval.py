"""openmova eval: the open-world suite on a checkpoint, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from openmova.checkpoints.tiny import tiny_mova
from openmova.cli import app
from openmova.inference.mova import Mova
from studies.open_world import suite as open_world_suite


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def tiny(folder: Path) -> Path:
    for part in tiny_mova():
        part.save_pretrained(folder)
    return folder


def test_open_world_tells_shares_with_their_intervals(tmp_path: Path) -> None:
    result = run("--suite", "open-world", "--model", tiny(tmp_path), "--json", "--batch", 16)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["suite"], report["n"], len(report["experts"])) == ("open-world", 105, 7)
    low, high = report["exact"]["ci95"]
    assert low <= report["exact"]["value"] <= high


def test_a_stopped_run_goes_on_and_a_finished_one_shows_its_result_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, output = tiny(tmp_path / "model"), tmp_path / "run"
    options = ("--suite", "open-world", "--model", model, "--output", output, "--json")
    route, calls = open_world_suite.routed, list[int]()

    def stopping(mova: Mova, asked: list[open_world_suite.Item]) -> Any:
        calls.append(len(asked))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return route(mova, asked)

    monkeypatch.setattr(open_world_suite, "routed", stopping)
    assert run(*options).exit_code == 130
    first = json.loads(run(*options).stdout.splitlines()[-1])
    rows = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert sum(calls) - calls[3] == first["n"] == len({row["sample"] for row in rows}) == len(rows)

    monkeypatch.setattr(Mova, "from_pretrained", lambda *_, **__: pytest.fail("loaded"))
    assert json.loads(run(*options).stdout.splitlines()[-1]) == first
    refused = run(*options, "--seed", 5)
    assert (refused.exit_code, "seed: 0 -> 5" in refused.stderr) == (2, True)
    next(model.glob("*.safetensors")).write_bytes(b"another model")
    assert "weights: " in run(*options).stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--suite", "open"), "unknown suite 'open': the suites are nano, open-world"),
        (("--suite", "open-world", "--n", "3"), "leave --n out"),
        (("--suite", "open-world", "--model", "nono"), "there is no model 'nono'"),
    ],
)
def test_a_mistake_is_one_line(options: tuple[str, ...], told: str) -> None:
    result = run(*options)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert told in result.stderr
