"""`make demo`: every question is asked and judged, and what comes out is told."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from inference.asking import CALIBRATION, tiny_mova
from openmova import Mova
from tiny import pictures

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
LEAST_RIGHT = 13
"""Of the 32 questions, by the embedded model."""


@pytest.fixture(scope="module")
def show() -> Callable[[Mova, Path, Console], tuple[int, int]]:
    found: Callable[[Mova, Path, Console], tuple[int, int]] = runpy.run_path(str(DEMO))["show"]
    return found


def test_answers_are_judged_and_counted(
    show: Callable[[Mova, Path, Console], tuple[int, int]], tmp_path: Path
) -> None:
    mova = tiny_mova(confidence={**CALIBRATION, "unsure_below": 1.0})
    picture, asked = tmp_path / "a.png", "what is this ?"
    pictures(1)[0].save(picture)
    answer = mova.ask(picture, asked, max_new_tokens=32)
    entry = {"image": "a.png", "question": asked, "accepted": [], "domain": "none"}
    entries = [{**entry, "expected": answer.text}, {**entry, "expected": "zebra"}]
    (tmp_path / "questions.json").write_text(json.dumps(entries))
    console = Console(record=True, width=400)
    assert show(mova, tmp_path, console) == (1, 2)
    told = console.export_text()
    assert told.count(f"{answer.text} (unsure)") == 2
    assert "✗ zebra" in told and "1 of 2 answers are right" in told
    assert f"{answer.confidence:.2f}" in told
    assert all(name in told for name in answer.routing.experts)


@pytest.mark.slow
def test_the_embedded_model_answers_the_demo(
    show: Callable[[Mova, Path, Console], tuple[int, int]],
) -> None:
    right, asked = show(Mova.from_pretrained("nano"), DEMO.parent, Console())
    assert asked == 32 and right >= LEAST_RIGHT
