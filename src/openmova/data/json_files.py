"""JSON (an array of records) and JSONL (one record a line)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openmova.data.bad_samples import BadSample
from openmova.data.sources import RecordList, Samples, checked_record
from openmova.errors import UserError


def read_json(path: Path, name: str, images: Path) -> RecordList:
    """A whole JSON array in memory.

    Raises:
        UserError: it is no JSON, or holds no array.
    """
    try:
        records = json.loads(path.read_bytes())
    except RecursionError as error:
        raise UserError(
            f"{path.name} is nested too deeply: it holds no array of samples"
        ) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise UserError(
            f"{path.name} is no JSON ({error}): mend it, or name it .jsonl if each line is a sample"
        ) from error
    if not isinstance(records, list):
        raise UserError(f"{path.name} holds no array of samples: write [{{...}}, {{...}}]")
    return RecordList(name, records, images)


class JsonLines(Samples):
    """One record a line, read when asked for; only where the lines begin is kept in memory."""

    def __init__(self, path: Path, name: str, images: Path) -> None:
        super().__init__(name, images)
        self.path = path
        self._lines = _line_starts(path)

    def __len__(self) -> int:
        return len(self._lines)

    def label(self, index: int) -> str:
        return f"line {self._lines[index][1]}"

    def record(self, index: int) -> Mapping[str, Any]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._lines[index][0])
                return checked_record(json.loads(file.readline()))
        except OSError as error:
            raise BadSample(f"cannot read {self.path.name} ({error.strerror})") from error
        except RecursionError as error:
            raise BadSample("the line is nested too deeply") from error
        except ValueError as error:
            raise BadSample(f"the line is no JSON ({error})") from error


def _line_starts(path: Path) -> np.ndarray:
    """int64 [samples, 2]: where each line that isn't empty begins, and its number from 1."""
    starts, position = [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                starts.append((position, number))
            position += len(line)
    return np.array(starts, dtype=np.int64).reshape(-1, 2)
