"""openmova eval: the open-world suite on a checkpoint, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from openmova.checkpoints.tiny import tiny_mova
from openmova.cli import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_open_world_tells_shares_with_their_intervals(tmp_path: Path) -> None:
    for part in tiny_mova():
        part.save_pretrained(tmp_path)
    result = run("--suite", "open-world", "--model", tmp_path, "--json", "--batch", 16)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["suite"], report["n"], len(report["experts"])) == ("open-world", 105, 7)
    low, high = report["exact"]["ci95"]
    assert low <= report["exact"]["value"] <= high


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
