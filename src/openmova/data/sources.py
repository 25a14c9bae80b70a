"""What every format of data is read as: samples by their number; and JSON and JSONL."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openmova.data.bad_samples import BadSample
from openmova.data.records import parse_record
from openmova.data.sample import Sample
from openmova.errors import UserError


class Samples(ABC):
    """The samples of one file, folder or dataset, by their number; what the file says of one is
    read when it is asked for.

    name: the source, in messages and statistics. random_access: whether any order is cheap; if
    not, ask for them in rising order.
    """

    random_access = True

    def __init__(self, name: str, images: Path) -> None:
        """images: the folder that the pictures' relative paths start from."""
        self.name = name
        self.images = images

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def record(self, index: int) -> Mapping[str, Any]:
        """What the file says of a sample, in the words of its format. Raises BadSample."""

    def label(self, index: int) -> str:
        """The sample's id where the record has none."""
        return str(index)

    def __getitem__(self, index: int) -> Sample:
        """Raises BadSample, with the id and the source, if it is none that can be used."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in {self.name}")
        label = self.label(index)
        try:
            return parse_record(self.record(index), id=label, source=self.name, images=self.images)
        except BadSample as bad:
            raise bad.of(id=label, source=self.name) from None

    def get(self, index: int) -> Sample | BadSample:
        """The sample, or why there is none that can be used."""
        try:
            return self[index]
        except BadSample as bad:
            return bad


class RecordList(Samples):
    """Records in memory: a JSON array, or what a test or a generator made."""

    def __init__(self, name: str, records: list[Any], images: Path) -> None:
        super().__init__(name, images)
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Mapping[str, Any]:
        return check_record(self.records[index])


class JsonLines(Samples):
    """One record a line, read when asked for; only where the lines begin is kept in memory."""

    def __init__(self, path: Path, name: str, images: Path) -> None:
        super().__init__(name, images)
        self.path = path
        starts, position = [], 0
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    starts.append((position, number))
                position += len(line)
        self._lines = np.array(starts, dtype=np.int64).reshape(-1, 2)  # start, number from 1

    def __len__(self) -> int:
        return len(self._lines)

    def label(self, index: int) -> str:
        return f"line {self._lines[index][1]}"

    def record(self, index: int) -> Mapping[str, Any]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._lines[index][0])
                return read_record(file.readline())
        except OSError as error:
            raise BadSample(f"cannot read {self.path.name} ({error.strerror})") from error


def read_json(path: Path, name: str, images: Path) -> RecordList:
    """A whole JSON array in memory. Raises UserError if the file holds something else."""
    try:
        records = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deeply
        raise UserError(
            f"{path.name} is no JSON ({error}): mend it, or name it .jsonl if each line is a sample"
        ) from error
    if not isinstance(records, list):
        raise UserError(f"{path.name} holds no array of samples: write [{{...}}, {{...}}]")
    return RecordList(name, records, images)


def read_record(text: bytes) -> Mapping[str, Any]:
    """One record out of its JSON. Raises BadSample if it is none."""
    try:
        return check_record(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise BadSample(f"its record is no JSON ({error})") from error


def check_record(record: Any) -> Mapping[str, Any]:
    """Raises BadSample if what a file holds in a sample's place is no object."""
    if not isinstance(record, Mapping):
        raise BadSample(f"it is no object with keys but a {type(record).__name__}")
    return record
