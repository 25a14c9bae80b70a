"""Shards: the same losses however the work was cut and killed; gaps and doubles are named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmova.annotate import shards
from openmova.annotate.shards import Shard, merged, missing_chunks, write_shard
from openmova.errors import UserError

IDS = [f"sample {row % 7}" for row in range(20)]  # ids of real data are not unique
ABOUT = {"model": "tiny"}


def thirds(rows: range) -> list[float]:
    return [row / 3 for row in rows]


def write(folder: Path, shard: str = "1/1", ids: Sequence[str] = IDS, **changes: object) -> Path:
    options: dict[str, object] = {"about": ABOUT, "chunk": 4}
    return write_shard(folder, Shard.parse(shard), ids, thirds, **(options | changes))  # type: ignore[arg-type]


@given(st.integers(0, 300), st.integers(1, 12), st.integers(1, 9))
def test_every_row_is_in_one_shard_and_no_shard_has_much_more(
    rows: int, count: int, chunk: int
) -> None:
    parts = [Shard(number=n + 1, count=count).chunks(rows, chunk) for n in range(count)]
    assert [row for part in parts for piece in part for row in piece] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("count", [1, 3, 8])
def test_merged_losses_do_not_depend_on_the_number_of_shards(tmp_path: Path, count: int) -> None:
    for number in range(count, 0, -1):
        write(tmp_path, f"{number}/{count}")
    assert np.array_equal(merged(tmp_path, IDS), np.float32(thirds(range(20))))
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet"}


COMPUTED = """
import sys, time
from pathlib import Path
from openmova.annotate.shards import Shard, write_shard

def losses(rows):
    print(rows.start, flush=True)
    if rows.start == int(sys.argv[2]):
        time.sleep(60)
    return [row / 3 for row in rows]

ids = [f"sample {row % 7}" for row in range(20)]
write_shard(Path(sys.argv[1]), Shard(), ids, losses, about={"model": "tiny"}, chunk=4)
"""


@pytest.mark.parametrize("killed_at", [0, 8, 16])
def test_a_killed_shard_goes_on_after_its_last_chunk_and_gets_the_same_bytes(
    tmp_path: Path, killed_at: int
) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", COMPUTED, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(shards.__file__).parents[2])}
    started = subprocess.Popen(
        [*command, str(killed_at)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with started as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < killed_at:
            pass
        process.kill()
    assert not (folder / "00001-of-00001.parquet").exists()
    resumed = subprocess.run(
        [*command, "-1"], stdout=subprocess.PIPE, text=True, env=environment, check=True
    )
    assert [int(line) for line in resumed.stdout.split()] == list(range(killed_at, 20, 4))
    assert [path.name for path in folder.iterdir()] == ["00001-of-00001.parquet"]
    assert (folder / "00001-of-00001.parquet").read_bytes() == write(tmp_path).read_bytes()


def test_a_finished_shard_is_not_computed_again(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = path.stat().st_mtime_ns

    def never(rows: range) -> list[float]:
        raise AssertionError(rows)

    write_shard(tmp_path, Shard(), IDS, never, about=ABOUT, chunk=4)
    assert path.stat().st_mtime_ns == before


def test_the_chunks_that_are_not_there_are_known(tmp_path: Path) -> None:
    def killed(rows: range) -> list[float]:
        if rows.start == 4:
            raise KeyboardInterrupt
        return thirds(rows)

    shard = Shard(number=1, count=2)
    assert missing_chunks(tmp_path, shard, 20, chunk=4) == [range(4), range(4, 8)]
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, shard, IDS, killed, about=ABOUT, chunk=4)
    assert missing_chunks(tmp_path, shard, 20, chunk=4) == [range(4, 8)]
    write_shard(tmp_path, shard, IDS, thirds, about=ABOUT, chunk=4)
    assert missing_chunks(tmp_path, shard, 20, chunk=4) == []


def test_missing_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks 20 of 20 rows.*\(there is none\)"):
        merged(tmp_path, IDS)
    write(tmp_path, "1/2")
    with pytest.raises(
        UserError, match=r"lacks 12 of 20 rows, among them 8 \('sample 1'\), .*00001-of-00002"
    ):
        merged(tmp_path, IDS)


def test_doubled_rows_are_named(tmp_path: Path) -> None:
    write(tmp_path, "1/2")
    write(tmp_path, "2/2")
    write(tmp_path, "1/3")
    message = r"row 0 \('sample 0'\) is there twice, in 00001-of-00002.parquet and 00001-of-00003"
    with pytest.raises(UserError, match=message):
        merged(tmp_path, IDS)


def test_a_row_twice_in_one_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), path)
    with pytest.raises(UserError, match=r"row 3 \('sample 3'\) is there twice"):
        merged(tmp_path, IDS)


@pytest.mark.parametrize("ids", [IDS[:12], ["other", *IDS[1:]]])
def test_shards_of_other_data_are_refused(tmp_path: Path, ids: list[str]) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match="which the data has not"):
        merged(tmp_path, ids)
    with pytest.raises(UserError, match="with another model, data or settings"):
        write(tmp_path, ids=ids)


def test_shards_of_another_model_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "1/2")
    with pytest.raises(UserError, match="with another model, data or settings"):
        write(tmp_path, "1/2", about={"model": "other"})
    write(tmp_path, "2/2", about={"model": "other"})
    with pytest.raises(UserError, match="keep the shards of one run"):
        merged(tmp_path, IDS)


def test_a_torn_file_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"can't read 00001-of-00001.parquet"):
        merged(tmp_path, IDS)


def test_two_processes_on_one_shard_are_refused(tmp_path: Path) -> None:
    def losses(rows: range) -> list[float]:
        with pytest.raises(UserError, match=r"another process is making 00001-of-00001.parquet"):
            write(tmp_path)
        return thirds(rows)

    write_shard(tmp_path, Shard(), IDS, losses, about=ABOUT, chunk=4)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't write 00001-of-00001.parquet: Not a directory"):
        write(tmp_path / "file" / "losses")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "3", "a/b", "-1/3", "1/3/5", ""])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"shard"):
        Shard.parse(text)
