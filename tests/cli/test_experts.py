"""openmova experts: the pool as the router is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import mistake, output
from tiny import tiny_config


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_config().save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).touch()
    return tmp_path


def test_lists_the_pool_without_reading_weights(model: Path) -> None:
    table = output("experts", "--model", model)
    for text in ("one", "two", "three", "tiny", "model three"):
        assert text in table


def test_json_has_an_object_for_each_expert(model: Path) -> None:
    told = output("experts", "--model", model, "--json")
    rows = [json.loads(line) for line in told.splitlines()]
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
    assert "expert_channels" in mistake("experts", "--model", model)
