"""Retrained sides: a folder, JSON and CSV say the same; what does not fit is told in one line."""

from __future__ import annotations

import csv
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from commands import fault
from openmova.analysis.roles import roles
from openmova.analysis.sides import read_sides

SETS = [names for size in (1, 2) for names in combinations(("base", "text"), size)]


def side(names: tuple[str, ...], seed: int = 0, **changes: Any) -> dict[str, Any]:
    answers = [
        {"id": "p", "domain": "photo", "right": "base" in names},
        {"id": "q", "domain": "page", "right": "text" in names and seed == 0},
    ]
    own = {"encoders": list(names), "seed": seed, "parameters": 10 * len(names)}
    return {**own, "answers": answers, **changes}


SIDES = [side(names, seed) for names in SETS for seed in (0, 1)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sides.json"
    path.write_text(json.dumps(SIDES))
    return path


def test_every_format_says_the_same(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sides"
    folder.mkdir()
    for number, one in enumerate(SIDES):
        (folder / f"{number}.json").write_text(json.dumps(one))
    with (tmp_path / "sides.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, ["encoders", "seed", "parameters", "id", "domain", "right"])
        writer.writeheader()
        for one in SIDES:
            own = {"encoders": "+".join(one["encoders"]), "seed": one["seed"]}
            for answer in one["answers"]:
                right = int(answer["right"])
                writer.writerow({**own, "parameters": one["parameters"], **answer, "right": right})
    found = [roles(read_sides(path)) for path in (file, folder, tmp_path / "sides.csv")]
    for one in found:
        one.pop("source")
    assert found[0] == found[1] == found[2]
    overall = found[0]["overall"]
    assert overall["scores"]["base+text"]["value"] == 0.75
    assert overall["encoders"]["text"]["necessity"]["value"] == 0.25
    assert found[0]["how"].endswith("seeds: 2.")


def test_features_give_ranks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    named = {f"{place}/{n}": torch.randn(40, 3) for place in ("before", "after") for n in SETS[2]}
    save_file(named, tmp_path / "f.safetensors")
    features = [side(names, features="f.safetensors") for names in SETS]
    (tmp_path / "sides.json").write_text(json.dumps(features))
    ranks = read_sides(tmp_path / "sides.json").ranks
    assert ranks["text"]["alone"] == ranks["text"]["joint"]
    assert 2 < ranks["base"]["joint"]["after"]["rank"] <= 3
    (tmp_path / "f.safetensors").write_bytes(b"torn")
    assert "f.safetensors' of base can't be read" in fault(read_sides, tmp_path / "sides.json")


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ([], "holds no answers of a side"),
        ({}, "holds no array of sides"),
        ([3], "side 1 of sides.json: it is no object"),
        ([side(("base",), encoders="base")], "its encoders are no list of names"),
        ([side(("base", "base"))], "an encoder is named twice"),
        ([side(("base",), seed="x")], "its seed or its parameters are no whole number"),
        ([side(("base",), answers=[])], "it has no answers"),
        (
            [side(("base",), answers=[{"id": "p"}])],
            "{'id': 'p'} is no answer, or its id comes twice",
        ),
        ([side(("base",)), side(("base",))], "side 2 of sides.json is base of seed 0 again"),
        (
            [side(("base",)), side(("text",), answers=[{"id": "p", "right": True}])],
            "side 2 of sides.json answers other questions than the first side (q)",
        ),
        ([side(("base",)), side(("text",))], "has text and no side of it with all others"),
        ([side(("base",)), side(("base", "text"))], "has no answers of text"),
        ([side(("base",))], "has no answers of none"),
    ],
)
def test_a_fault_is_one_line(file: Path, sides: Any, told: str) -> None:
    file.write_text(json.dumps(sides))
    assert told in fault(read_sides, file)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    assert "ghost.json" in fault(read_sides, tmp_path / "ghost.json")
    (tmp_path / "a.csv").write_text("encoders,id\nbase,p\n")
    assert "a.csv has no column 'right'" in fault(read_sides, tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("encoders,id,right\nbase,p,perhaps\n")
    assert "base of seed 0 in a.csv: {'id': 'p', 'domain': '', 'right': 'perhaps'} is" in fault(
        read_sides, tmp_path / "a.csv"
    )
