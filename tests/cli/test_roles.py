"""openmova roles: what it writes, and every mistake as one line."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from commands import mistake, output, run
from data.files import llava
from pages import Page


@pytest.fixture
def data(tmp_path: Path) -> Path:
    Image.effect_noise((40, 30), 60).save(tmp_path / "0.png")
    path = tmp_path / "data.json"
    rows = [llava(f"<image>\nWhich {n}?", "x", image="0.png", id=str(n)) for n in range(3)]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    names = [n for size in (1, 2, 3) for n in combinations(("base", "text", "chart"), size)]
    found = [
        {"encoders": n, "answers": [{"id": "p", "domain": "d", "right": len(n) > 1}]} for n in names
    ]
    path = tmp_path / "sides.json"
    path.write_text(json.dumps(found))
    return path


def test_a_checkpoint_goes_on_and_is_shown_again_without_the_model(
    model: Path, tiny_folder: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "roles"
    options = ("--model", model, "--max-new-tokens", 3, "--experts", "text,chart", "-o", folder)
    result = run("roles", "--data", data, *options)
    assert result.exit_code == 0, result.stderr
    assert "4 sets of experts: about " in result.stderr
    assert "too few for a rank" in " ".join(result.stdout.split())
    told = json.loads((folder / "roles.json").read_text())
    assert list(told["overall"]["encoders"]) == ["text", "chart"]
    assert told["how"] == "Masked by the routing in one checkpoint."
    lines = list(csv.DictReader((folder / "roles.csv").open()))
    assert lines[0]["figure"] == "score" and lines[0]["encoders"] == "none"
    page = folder / "roles.html"
    assert Page(page.read_text()).links == []
    before = page.read_text()
    monkeypatch.setattr("openmova.inference.mova.Mova.from_pretrained", None)
    again = output("roles", "--data", data, *options, "--json")
    assert json.loads(again.splitlines()[-1]) == told
    assert page.read_text() == before
    assert "zeros: False -> True" in mistake("roles", "--data", data, *options, "--zeros")
    other = mistake("roles", "--data", data, *options, "--model", tiny_folder)
    assert "holds an evaluation with other settings (weights: " in other


def test_retrained_sides(sides: Path, tmp_path: Path) -> None:
    told = output("roles", sides, "-o", tmp_path / "found")
    assert "highest Capacities: base, text" in " ".join(told.split())
    found = json.loads((tmp_path / "found" / "roles.json").read_text())
    assert found["overall"]["pairs"]["all_over_best"]["value"] == 0
    assert "with the model" not in Page((tmp_path / "found" / "roles.html").read_text()).text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "what should be compared?"),
        (("SIDES", "--data", "DATA"), "what should be compared?"),
        (("ghost.json",), "can't read 'ghost.json'"),
        (("--data", "ghost.json"), "there is no data 'ghost.json'"),
        (("--data", "DATA", "--model", "MODEL", "--experts", "texts"), "did you mean text?"),
        (("--data", "DATA", "--model", "MODEL", "--experts", "none"), "no expert to mask"),
    ],
)
def test_a_mistake_is_one_line(
    model: Path, data: Path, sides: Path, options: tuple[str, ...], told: str
) -> None:
    places = {"MODEL": model, "DATA": data, "SIDES": sides}
    assert told in mistake("roles", *(places.get(option, option) for option in options))
