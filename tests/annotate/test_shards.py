"""Shards: every row in one of them; gaps, doubles and other data are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from openmova.annotate import shards
from openmova.annotate.shards import Shard, ShardFolder, join_shards
from openmova.errors import UserError

IDS = [f"sample {row % 7}" for row in range(20)]  # ids of real data are not unique
SETTINGS = {"model": "tiny"}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "CHUNK", 4)


def write(folder: Path, name: str, model: str = "tiny") -> ShardFolder:
    part = Shard.parse(name)
    made = ShardFolder(folder / part.name)
    made.store.begin({"model": model})
    for rows in part.chunks(len(IDS)):
        made.add("base", rows, IDS[rows.start : rows.stop], [row / 3 for row in rows])
    return made


def joined(folder: Path, ids: Sequence[str] = IDS) -> NDArray[np.float32]:
    return join_shards(folder, ["base"], ids, SETTINGS)


@given(st.integers(0, 300), st.integers(1, 12), st.integers(1, 9))
def test_every_row_is_in_one_of_shards_of_equal_size(rows: int, count: int, chunk: int) -> None:
    with patch.object(shards, "CHUNK", chunk):
        parts = [Shard(number=n + 1, count=count).chunks(rows) for n in range(count)]
    assert [row for part in parts for piece in part for row in piece] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("count", [1, 3, 8])
def test_joined_losses_do_not_depend_on_the_number_of_shards(tmp_path: Path, count: int) -> None:
    for number in range(count, 0, -1):
        write(tmp_path, f"{number}/{count}")
    assert np.array_equal(joined(tmp_path)[:, 0], np.float32([row / 3 for row in range(20)]))


def test_missing_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks 20 of 20 rows.*\(there is none\)"):
        joined(tmp_path)
    write(tmp_path, "1/2")
    named = r"lacks 12 of 20 rows, among them 8 \('sample 1'\), .*00001-of-00002"
    with pytest.raises(UserError, match=named):
        joined(tmp_path)


@pytest.mark.parametrize("other", ["1/3", "2/2"])
def test_doubled_rows_are_named(tmp_path: Path, other: str) -> None:
    write(tmp_path, "1/2")
    write(tmp_path, "2/2")
    write(tmp_path, other)  # a shard of another cut, or the same rows again in one file
    row, name = (0, "00001-of-00003") if other == "1/3" else (8, "00002-of-00002")
    named = rf"row {row} \('sample .'\) of base is there twice.*{name}"
    with pytest.raises(UserError, match=named):
        joined(tmp_path)


@pytest.mark.parametrize("ids", [IDS[:12], ["other", *IDS[1:]]])
def test_shards_of_other_data_are_refused(tmp_path: Path, ids: list[str]) -> None:
    made = write(tmp_path, "1/1")
    own = made.read(lambda rows: ids[rows.start : rows.stop])
    for read in (lambda: joined(tmp_path, ids), lambda: list(own)):
        with pytest.raises(UserError, match=r"00001-of-00001 has rows \d+ to \d+ of other data"):
            read()


def test_shards_of_another_model_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "1/2")
    with pytest.raises(UserError, match="holds a shard with other settings"):
        write(tmp_path, "1/2", model="other")
    write(tmp_path, "2/2", model="other")
    with pytest.raises(UserError, match=r"00002-of-00002 .*model: tiny -> other.*one annotation"):
        joined(tmp_path)


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "3", "a/b", "-1/3", "1/3/5", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"shard"):
        Shard.parse(text)
