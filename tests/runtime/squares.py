"""A journal's work: squares of numbers, in the tests' process or in one of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from openmova.runtime.run_store import Journal

SETTINGS = {"suite": "numbers", "seed": 3}
NUMBERS = {f"number/{i}": i for i in range(40)}


def squares(asked: list[int]) -> list[dict[str, Any]]:
    time.sleep(0.01)
    return [{"square": number**2, "padding": "x" * 3000} for number in asked]


def complete(path: Path | None) -> list[Any]:
    with Journal.opened(path, SETTINGS) as journal:
        rows = journal.complete(NUMBERS, squares, batch=3, name="squares")
        return [row["square"] for row in rows]


if __name__ == "__main__":
    complete(Path(sys.argv[1]))
