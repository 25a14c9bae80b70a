"""openmova experts: the pool as the router is told of it."""

from __future__ import annotations

import json
from pathlib import Path

from commands import mistake, output


def test_lists_the_pool_without_reading_weights(unread_folder: Path) -> None:
    table = output("experts", "--model", unread_folder)
    for text in ("one", "two", "three", "tiny", "model three"):
        assert text in table
    told = output("experts", "--model", unread_folder, "--json")
    rows = [json.loads(line) for line in told.splitlines()]
    assert [row["name"] for row in rows] == ["one", "two", "three"]
    assert rows[1] == {
        "letter": "B",
        "name": "two",
        "kind": "tiny",
        "channels": 5,
        "description": "model two",
        "weights": str(unread_folder / "experts" / "two.safetensors"),
    }


def test_config_that_does_not_fit_together(unread_folder: Path) -> None:
    config = json.loads((unread_folder / "config.json").read_text())
    config["adapter"]["expert_channels"] = [1]
    (unread_folder / "config.json").write_text(json.dumps(config))
    assert "expert_channels" in mistake("experts", "--model", unread_folder)
