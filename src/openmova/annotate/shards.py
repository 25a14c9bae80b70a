"""The losses of one probe over all data, made in shards by any number of processes or machines.

    folder/<probe>/00001-of-00008.parquet    columns row, id, loss

Rows are cut into chunks of a fixed size, and a shard is a range of whole chunks. A chunk's losses
are computed together and written at once, so what was killed goes on after its last chunk, gets the
same bytes as if it had not been, and the losses do not depend on how many shards there are.
`merged` reads them back and refuses what is missing or there twice.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from openmova.errors import UserError

CHUNK = 64
SCHEMA = pa.schema([("row", pa.int64()), ("id", pa.string()), ("loss", pa.float32())])
METADATA = "openmova"
"""The key of a file's metadata under which it says what it depends on."""
Losses = Callable[[range], Sequence[float]]
"""The losses of some rows, in their order; the same rows together give the same losses."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `number` of `count`, from 1 on. Raises UserError for one that is none."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UserError(
                f"there is no shard {self.number}/{self.count}: give 1/{self.count} to "
                f"{self.count}/{self.count}"
                if self.count >= 1
                else f"data can't be cut into {self.count} shards: give 1/1, or more"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "3/8". Raises UserError for anything else."""
        if not (found := re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)):
            raise UserError(f"{text!r} is no shard: give its number and their count, such as 3/8")
        return cls(number=int(found[1]), count=int(found[2]))

    @property
    def name(self) -> str:
        return f"{self.number:05d}-of-{self.count:05d}"

    def chunks(self, rows: int, chunk: int = CHUNK) -> list[range]:
        """The chunks of this shard of so many rows."""
        chunks = [range(start, min(start + chunk, rows)) for start in range(0, rows, chunk)]
        first = len(chunks) * (self.number - 1) // self.count
        return chunks[first : len(chunks) * self.number // self.count]


def write_shard(
    folder: Path,
    shard: Shard,
    ids: Sequence[str],
    losses: Losses,
    *,
    about: Mapping[str, str],
    chunk: int = CHUNK,
) -> Path:
    """Compute one shard's losses of a probe and write them into its folder; finished is finished.

    ids: of all rows of the data. about: what the losses depend on (model, data), kept in the file.
    Raises UserError if the folder has losses of something else, another process is making this
    shard, or it can't be written.
    """
    path = _file(folder, shard)
    settings = repr(sorted({**about, "chunk": str(chunk)}.items()))
    schema = SCHEMA.with_metadata({METADATA: settings})
    chunks = shard.chunks(len(ids), chunk)
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if not path.exists():
            parts = _parts(path)
            made = [_part(parts, rows, ids, losses, schema) for rows in chunks]
            whole = pa.concat_tables([schema.empty_table(), *made]).combine_chunks()
            write_table(whole, path)
            shutil.rmtree(parts, ignore_errors=True)
        rows = range(chunks[0].start, chunks[-1].stop) if chunks else range(0)
        _checked(path, rows, ids, schema)
    return path


def missing_chunks(folder: Path, shard: Shard, rows: int, *, chunk: int = CHUNK) -> list[range]:
    """The chunks that `write_shard` would compute, of so many rows of data."""
    path = _file(folder, shard)
    if path.exists():
        return []
    parts = _parts(path)
    chunks = shard.chunks(rows, chunk)
    return [part for part in chunks if not _part_file(parts, part).exists()]


def merged(folder: Path, ids: Sequence[str]) -> NDArray[np.float32]:
    """The losses [N] of a probe, in the order of the data.

    Raises UserError, naming rows, if some are missing, there twice, or of other data.
    """
    losses = np.full(len(ids), np.nan, dtype=np.float32)
    seen: dict[int, str] = {}
    files = sorted(folder.glob("*.parquet"))
    settings: dict[str, str] = {}
    for path in files:
        table = _read(path)
        settings[(table.schema.metadata or {}).get(METADATA.encode(), b"").decode()] = path.name
        if len(settings) > 1:
            one, other = settings.values()
            raise UserError(
                f"{one} and {other} were made with another model, data or settings than each "
                "other: keep the shards of one run"
            )
        for row, id_, loss in zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True):
            if not (0 <= row < len(ids) and ids[row] == id_):
                raise UserError(
                    f"{path.name} has row {row} ({id_!r}), which the data has not: annotate with "
                    "the data that the shards were made of"
                )
            if row in seen:
                raise UserError(
                    f"row {row} ({id_!r}) is there twice, in {seen[row]} and {path.name}: remove "
                    "the one that is too much"
                )
            seen[row] = path.name
            losses[row] = loss
    if missing := [row for row in range(len(ids)) if row not in seen]:
        shown = ", ".join(f"{row} ({ids[row]!r})" for row in missing[:5])
        raise UserError(
            f"{folder.name} lacks {len(missing):,} of {len(ids):,} rows, among them {shown}: "
            f"run the shards that are not there ({_there(files)})"
        )
    return losses


def _there(files: Sequence[Path]) -> str:
    return "there are " + ", ".join(path.stem for path in files) if files else "there is none"


def _file(folder: Path, shard: Shard) -> Path:
    return folder / f"{shard.name}.parquet"


def _parts(path: Path) -> Path:
    """Where the chunks of a shard that is not finished lie."""
    return path.with_suffix(".partial")


def _part_file(folder: Path, rows: range) -> Path:
    return folder / f"{rows.start:012d}.parquet"


def _part(
    folder: Path, rows: range, ids: Sequence[str], losses: Losses, schema: pa.Schema
) -> pa.Table:
    """The losses of one chunk, computed unless they were written before."""
    path = _part_file(folder, rows)
    if not path.exists():
        columns = [list(rows), [ids[row] for row in rows], list(losses(rows))]
        write_table(pa.table(columns, schema=schema), path)
    return _checked(path, rows, ids, schema)


def _checked(path: Path, rows: range, ids: Sequence[str], schema: pa.Schema) -> pa.Table:
    """The table of a file. Raises UserError if it is not of these rows and settings."""
    table = _read(path)
    same_rows = table["row"].to_pylist() == list(rows)
    same_ids = same_rows and table["id"].to_pylist() == [ids[row] for row in rows]
    if not (same_ids and table.schema.equals(schema, check_metadata=True)):
        raise UserError(
            f"{path.parent.name}/{path.name} was made with another model, data or settings: give "
            "another folder, or remove it"
        )
    return table


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"can't read {path.name}: {error}; remove it and run its shard") from error


def write_table(table: pa.Table, path: Path) -> None:
    """A file that is there whole or not at all."""
    unfinished = path.with_suffix(".tmp")
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        with unfinished.open("wb") as file:
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"can't write {path.name}: {error.strerror or error}; make room or give another folder"
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process makes this file meanwhile; a lock dies with its process."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            f"another process is making {path.name}: wait for it, or take another shard"
        ) from None
    with lock:
        yield
    path.with_suffix(".lock").unlink(missing_ok=True)
