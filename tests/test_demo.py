"""`make demo`: every question is asked and judged, and what comes out is told."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inference.asking import CALIBRATION, tiny_mova
from openmova import Mova
from tiny import pictures

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return runpy.run_path(str(DEMO))


def test_answers_are_judged_and_counted(demo: dict[str, Any], tmp_path: Path) -> None:
    mova = tiny_mova(confidence={**CALIBRATION, "unsure_below": 1.0})
    picture, asked = tmp_path / "a.png", "what is this ?"
    pictures(1)[0].save(picture)
    answer = mova.ask(picture, asked, max_new_tokens=32)
    entry = {"image": "a.png", "question": asked, "accepted": [], "domain": "none"}
    entries = [{**entry, "expected": answer.text}, {**entry, "expected": "zebra"}]
    (tmp_path / "questions.json").write_text(json.dumps(entries))
    console = Console(record=True, width=400)
    assert demo["show"](mova, tmp_path, console) == (1, 2)
    told = console.export_text()
    assert told.count(f"{answer.text} (unsure)") == 2
    assert "✗ zebra" in told and "1 of 2 answers are right" in told
    assert f"{answer.confidence:.2f}" in told
    assert all(name in told for name in answer.routing.experts)


def test_too_few_right_answers_are_a_failure(
    demo: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Continuous integration runs the demo with the embedded model itself."""
    shown = demo["main"].__globals__
    monkeypatch.setattr(Mova, "from_pretrained", lambda name: None)
    monkeypatch.setitem(shown, "quiet_libraries", lambda: None)
    monkeypatch.setitem(shown, "show", lambda *_: (demo["LEAST_RIGHT"], 32))
    demo["main"]()
    monkeypatch.setitem(shown, "show", lambda *_: (demo["LEAST_RIGHT"] - 1, 32))
    with pytest.raises(SystemExit, match=f"at least {demo['LEAST_RIGHT']} were right"):
        demo["main"]()
