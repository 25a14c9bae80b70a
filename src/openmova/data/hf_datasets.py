"""What the `datasets` package reads: parquet, saved datasets, and the hub, whole or streamed.

Pictures stay the bytes that are stored: they are decoded where every other picture is.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openmova.data.sources import Samples
from openmova.errors import UserError, reason
from openmova.runtime.cache import cache_dir

HUB = re.compile(
    r"(?P<how>hub|stream):(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)"
    r"(/(?P<subset>[\w.-]+))?(:(?P<split>[\w.-]+))?"
)
KEPT_ROWS = 32
"""Of a stream: how far back a row may be asked for again without starting anew."""


class ArrowRows(Samples):
    """A dataset that lies on the disk, mapped into memory: any order is cheap."""

    def __init__(self, name: str, dataset: Any, images: Path) -> None:
        super().__init__(name, images)
        self.dataset = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self.dataset)

    def record(self, index: int) -> Mapping[str, Any]:
        row: Mapping[str, Any] = self.dataset[index].to_pylist()[0]
        return row


class StreamedRows(Samples):
    """A dataset that is read over the network as it goes: in its own order."""

    random_access = False

    def __init__(self, name: str, dataset: Any, length: int, images: Path) -> None:
        super().__init__(name, images)
        self.dataset = dataset.decode(False)
        self._length = length
        self._rows: Iterator[Any] | None = None
        self._next = 0
        self._kept: OrderedDict[int, Mapping[str, Any]] = OrderedDict()

    def __len__(self) -> int:
        return self._length

    def record(self, index: int) -> Mapping[str, Any]:
        while index not in self._kept:
            self._read(index)
        return self._kept[index]

    def _read(self, index: int) -> None:
        if self._rows is None or not self._next <= index <= self._next + KEPT_ROWS:
            self._rows, self._next = iter(self.dataset.skip(index)), index
        with _datasets_package(self.name):
            try:
                self._kept[self._next] = next(self._rows)
            except StopIteration:
                raise UserError(
                    f"{self.name} ended before its {self._length} samples: download it (hub:...)"
                ) from None
        self._next += 1
        if len(self._kept) > KEPT_ROWS:
            self._kept.popitem(last=False)


def read_parquet(paths: Sequence[Path], name: str, images: Path) -> ArrowRows:
    """Parquet files, once unpacked into the cache."""
    files = [str(path) for path in paths]
    with _datasets_package(name) as datasets:
        folder = str(cache_dir() / "datasets")
        rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=folder)
    return ArrowRows(name, rows, images)


def read_saved(path: Path, name: str, images: Path) -> ArrowRows:
    """What `Dataset.save_to_disk` wrote."""
    with _datasets_package(name) as datasets:
        return ArrowRows(name, datasets.load_from_disk(str(path)), images)


def read_hub(address: str, images: Path) -> Samples:
    """`hub:owner/name/subset:split` (downloaded) or `stream:...` (read as it goes)."""
    parts = HUB.fullmatch(address)
    if parts is None:
        raise UserError(
            f"{address!r} is no dataset of the hub: write hub:owner/name/subset:split; subset and "
            "split may be left out"
        )
    name, split = parts["name"], parts["split"] or "train"
    with _datasets_package(name) as datasets:
        streaming = parts["how"] == "stream"
        rows = datasets.load_dataset(name, parts["subset"], split=split, streaming=streaming)
        if not streaming:
            return ArrowRows(name, rows, images)
        splits = rows.info.splits or {}
    if split not in splits or not splits[split].num_examples:
        raise UserError(f"{name} does not say how many samples it has: download it (hub:{name})")
    return StreamedRows(name, rows, splits[split].num_examples, images)


@contextmanager
def _datasets_package(name: str) -> Iterator[Any]:
    """The package; its many kinds of errors become one line, and it says nothing itself."""
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f'{name} needs the package datasets: pip install "openmova[train]"'
        ) from error
    verbosity, bars = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    datasets.logging.set_verbosity(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield datasets
    except (UserError, StopIteration):
        raise
    except Exception as error:  # pyarrow's, the HTTP client's and the package's own
        raise UserError(
            f"{name} can't be read ({reason(error)}): check the files or the name"
        ) from error
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()
