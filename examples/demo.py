"""`make demo`: asks the embedded nano model about real pictures that others made."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from openmova import Mova
from openmova.checkpoints.nano_parts import fetch_parts
from openmova.cli.console import quiet_libraries
from openmova.evaluate.judge import judge

HERE = Path(__file__).parent
LEAST_RIGHT = 16
"""Of the 32 questions, by the embedded model; fewer mean that something is broken."""


def show(mova: Mova, folder: Path, console: Console) -> tuple[int, int]:
    """Asks the folder's questions, shows what is answered, and tells how many are right of all."""
    table = Table("image", "question", "experts (score)", "answer", "sure", "expected", "s")
    right = 0
    questions = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    for entry in track(questions, description="asking", console=console, transient=True):
        question, expected = entry["question"], entry["expected"]
        answer = mova.ask(folder / entry["image"], question, max_new_tokens=32)
        is_right = judge(
            answer.text,
            [expected, *entry["accepted"]],
            question=question,
            tolerance=entry.get("tolerance"),
            name=entry["domain"] == "object",
        )
        right += is_right
        scores = answer.routing.scores
        chosen = ", ".join(f"{name} {scores[name]:.2f}" for name in answer.routing.experts)
        table.add_row(
            entry["image"],
            question,
            chosen or "none",
            Text(str(answer), "green" if is_right else "red"),
            "" if answer.confidence is None else f"{answer.confidence:.2f}",
            f"{'✓' if is_right else '✗'} {expected}",
            f"{answer.timings['total']:.1f}",
        )
    console.print(table)
    console.print(f"{right} of {len(questions)} answers are right.", highlight=False)
    return right, len(questions)


def main() -> None:
    quiet_libraries()
    console = Console(width=118)
    fetch_parts()
    started = time.perf_counter()
    with console.status("loading nano (the first time: assembling it in the cache)"):
        mova = Mova.from_pretrained("nano")
    console.print(f"nano is ready after {time.perf_counter() - started:.1f} s")
    right, _ = show(mova, HERE, console)
    if right < LEAST_RIGHT:
        sys.exit(f"at least {LEAST_RIGHT} were right when nano was made: something is broken here")


if __name__ == "__main__":
    main()
