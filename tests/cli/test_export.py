"""The command export: a folder that is asked as any other."""

from __future__ import annotations

import json
from pathlib import Path

from commands import mistake, output


def test_a_model_is_exported_and_asked(model: Path, image: str, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    told = json.loads(output("export", model, "--output", folder, "--bits", "4", "--json"))
    assert told["folder"] == str(folder) and told["bits"] == 4
    assert told["bytes"] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    question = ("ask", image, "What is this?", "--max-new-tokens", "3", "--json")
    asked, before = (json.loads(output(*question, "--model", one)) for one in (folder, model))
    assert asked.keys() == before.keys()
    assert set(asked["routing"]["experts"]) <= {"text", "chart", "location"}
    assert "exists already" in mistake("export", model, "--output", folder)


def test_an_exported_model_is_not_trained(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    output("export", model, "--output", folder)
    recipe = Path(__file__).parents[2] / "recipes" / "smoke.yaml"
    told = mistake("train", recipe, f"model={folder}", "--output", tmp_path / "run")
    assert "learns nothing: give the checkpoint that it was exported from" in told
    assert not (tmp_path / "run" / "final").exists()
