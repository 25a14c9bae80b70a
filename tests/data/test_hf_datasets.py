"""What the package `datasets` reads: whole, streamed, or not at all; always in one line."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from data.files import write_samples
from openmova.data.formats import read_samples
from openmova.errors import UserError


def test_a_streamed_dataset_gives_the_same_rows(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from openmova.data.hf_datasets import KEPT_ROWS, StreamedRows

    count = 2 * KEPT_ROWS + 5
    path = str(write_samples("parquet", tmp_path, count))
    rows = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
    samples = StreamedRows("hub", rows, count, tmp_path)
    for index in [0, 1, 1, 4, 3, 50, 51, 2, *range(count), 0]:
        assert samples[index].id == f"s{index}"
    assert samples[7].open().image is not None
    assert not samples.random_access
    with pytest.raises(UserError, match=f"ended before its {count + 6} samples"):
        StreamedRows("hub", rows, count + 6, tmp_path)[count + 2]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A hub of one dataset of three samples; what was asked of it."""
    datasets = pytest.importorskip("datasets")
    load, path, asked = datasets.load_dataset, str(write_samples("parquet", tmp_path, 3)), []

    def load_dataset(name: str, subset: str | None, *, split: str, streaming: bool) -> Any:
        asked.append((name, subset, split, streaming))
        if name == "o/unreachable":
            raise ConnectionError("no\nnetwork")
        options = {"split": split, "streaming": streaming, "cache_dir": str(tmp_path / "hub")}
        loaded = load("parquet", data_files={split: path}, **options)
        if name != "o/unsized":
            splits = {split: {"name": split, "num_examples": 3}}
            loaded.info.splits = datasets.SplitDict.from_split_dict(splits)
        return loaded

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_dataset_of_the_hub_is_named_with_subset_and_split(hub: list[tuple[Any, ...]]) -> None:
    for address in ("hub:o/data", "hub:o/data/part", "stream:o/data:val", "hub:o/data/part:val"):
        samples = read_samples(address)
        assert (len(samples), samples.name) == (3, "o/data")
        assert samples[1].open().id == "s1"
        assert samples.random_access == address.startswith("hub:")
    assert hub == [
        ("o/data", None, "train", False),
        ("o/data", "part", "train", False),
        ("o/data", None, "val", True),
        ("o/data", "part", "val", False),
    ]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("stream:o/unsized", r"download it \(hub:o/unsized\)"),
        ("hub:o/unreachable", r"o/unreachable can't be read \(no network\)"),
    ],
)
def test_what_the_hub_cannot_give_is_told(address: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_samples(address)


def test_a_parquet_file_that_changed_is_read_again_and_a_damaged_one_not(tmp_path: Path) -> None:
    assert len(read_samples(write_samples("parquet", tmp_path, 2))) == 2
    path = write_samples("parquet", tmp_path, 5)
    assert len(read_samples(path)) == 5
    path.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="can't be read"):
        read_samples(path)


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").touch()
    plain = builtins.__import__

    def without_datasets(name: str, *rest: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return plain(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_datasets)
    with pytest.raises(UserError, match=r"pip install \"openmova\[train\]\""):
        read_samples(tmp_path / "a.parquet")
