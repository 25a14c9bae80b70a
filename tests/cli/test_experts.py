"""openmova experts: the pool as the router is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openmova.cli import app
from tiny import tiny_config


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_config().save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).touch()
    return tmp_path


def test_lists_the_pool_without_reading_weights(model: Path) -> None:
    table = CliRunner().invoke(app, ["experts", "--model", str(model)]).stdout
    for text in ("one", "two", "three", "tiny", "model three"):
        assert text in table


def test_json_has_an_object_for_each_expert(model: Path) -> None:
    result = CliRunner().invoke(app, ["experts", "--model", str(model), "--json"])
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["name"] for row in rows] == ["one", "two", "three"]
    assert rows[1] == {
        "letter": "B",
        "name": "two",
        "kind": "tiny",
        "channels": 5,
        "description": "model two",
        "weights": str(model / "experts" / "two.safetensors"),
    }


def test_config_that_does_not_fit_together(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["adapter"]["expert_channels"] = [1]
    (model / "config.json").write_text(json.dumps(config))
    result = CliRunner().invoke(app, ["experts", "--model", str(model)])
    assert result.exit_code == 2
    assert result.stderr.startswith("openmova: ")
    assert result.stderr.count("\n") == 1
