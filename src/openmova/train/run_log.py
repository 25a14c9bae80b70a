"""The log of a run: a line of JSON for each time it says something, in order, no step twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmova.runtime.files import append_text, write_text


class RunLog:
    """DIR/log.jsonl. An entry has `step`, and `loss` or what an evaluation found (`eval_...`)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, entry: Mapping[str, Any]) -> None:
        append_text(self.path, json.dumps(entry) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """All whole lines."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def rewind(self, step: int) -> None:
        """Forget what came after a step: a run that goes on from there says it again."""
        kept = [entry for entry in self.entries() if entry["step"] <= step]
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in kept))
