"""What every format of data is read as: samples by their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmova.data.bad_samples import BadSample
from openmova.data.records import sample_of
from openmova.data.sample import Sample


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
        try:
            return sample_of(
                self.record(index), id=self.label(index), source=self.name, images=self.images
            )
        except BadSample as bad:
            raise bad.of(id=self.label(index), source=self.name) from None


class RecordList(Samples):
    """Records in memory: a JSON array, or what a test or a generator made."""

    def __init__(self, name: str, records: list[Any], images: Path) -> None:
        super().__init__(name, images)
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def record(self, index: int) -> Mapping[str, Any]:
        return checked_record(self.records[index])


def checked_record(record: Any) -> Mapping[str, Any]:
    """Raises BadSample if what a file holds in a sample's place is no object."""
    if not isinstance(record, Mapping):
        raise BadSample(f"it is no object with keys but a {type(record).__name__}")
    return record
