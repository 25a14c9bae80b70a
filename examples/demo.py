"""`make demo`: asks the embedded nano model real questions about the images in this folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from openmova import Mova
from openmova.cli.console import quiet_libraries

HERE = Path(__file__).parent


def main() -> None:
    quiet_libraries()
    console = Console(width=118)
    started = time.perf_counter()
    with console.status("loading nano (the first time: assembling it in the cache)"):
        mova = Mova.from_pretrained("nano")
    console.print(f"nano is ready after {time.perf_counter() - started:.1f} s")
    table = Table("image", "question", "experts (score)", "answer", "expected", "seconds")
    right = 0
    questions = json.loads((HERE / "questions.json").read_text(encoding="utf-8"))
    for entry in track(questions, description="asking", console=console, transient=True):
        begun = time.perf_counter()
        answer = mova.ask(HERE / entry["image"], entry["question"], max_new_tokens=16)
        seconds = time.perf_counter() - begun
        correct = answer.text.strip().lower() == entry["expected"].lower()
        right += correct
        scores = answer.routing.scores
        chosen = ", ".join(f"{name} {scores[name]:.2f}" for name in answer.routing.experts)
        table.add_row(
            entry["image"],
            entry["question"],
            chosen or "none",
            answer.text if correct else f"[red]{answer.text}[/red]",
            entry["expected"],
            f"{seconds:.2f}",
        )
    console.print(table)
    console.print(f"{right} of {len(questions)} answers are as expected.")


if __name__ == "__main__":
    main()
