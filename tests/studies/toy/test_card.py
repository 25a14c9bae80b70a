"""The model card's figures are those of the run's reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.evaluate.intervals import Share
from studies.toy.card import COLUMNS, write_card
from studies.toy.suite import GROUPS


def _run(folder: Path) -> Path:
    def share(right: int) -> dict[str, Any]:
        return Share.of([True] * right + [False] * (8 - right)).to_dict()

    groups = {
        g: {c: share(i) for c in COLUMNS} for i, g in enumerate((*GROUPS, "overall"), start=1)
    }
    suite = {"seed": 7, "n": 40, "domains": groups, "gain_over_base": 0.4333}
    world = {"exact": share(4), "n": 8, "chance": 0.1429}
    (folder / "eval.json").write_text(json.dumps(suite))
    (folder / "open-world.json").write_text(json.dumps(world))
    (folder / "times.tsv").write_text("align\t600\nfinetune\t1200\nalign\t5\nfinetune\t2400\n")
    return folder


def test_the_measured_part_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("before\n<!-- measured -->\nold\n<!-- /measured -->\nafter\n")
    write_card(_run(tmp_path), card)
    text = card.read_text()
    assert text.startswith("before\n<!-- measured -->\n")
    assert text.endswith("<!-- /measured -->\nafter\n")
    assert "old" not in text
    assert "| all | 75.0 (41 to 93) |" in text
    assert "+43.3 points" in text
    assert "50.0 (22 to 78)% of 8 questions routed exactly" in text
    assert "| finetune | 60 |" in text  # two goes at it


def test_a_missing_report_is_told(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("<!-- measured -->\n<!-- /measured -->\n")
    with pytest.raises(UserError, match=r"nano\.sh"):
        write_card(tmp_path, card)
    with pytest.raises(UserError, match="no marks"):
        write_card(tmp_path, _unmarked(tmp_path / "plain.md"))


def _unmarked(file: Path) -> Path:
    file.write_text("no marks here\n")
    return file
