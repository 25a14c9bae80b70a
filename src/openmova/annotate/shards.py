"""Losses of a part of the data, made by any number of processes or machines.

    DIR/losses/00003-of-00008/losses.jsonl    a line for each chunk of rows, of each probe

Rows are cut into chunks of a fixed size, and a shard is a range of whole chunks. A chunk's losses
are computed together and written at once, so what was killed goes on after its last chunk, gets the
same bytes as if it had not been, and the losses do not depend on how many shards there are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmova.errors import UserError
from openmova.runtime.run_store import JsonLines, RunStore, differences

CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Part `number` of `count`, from 1 on."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "3/8". Raises UserError for anything else."""
        if not (found := re.fullmatch(r"(\d{1,5})/(\d{1,5})", text)):
            raise UserError(f"{text!r} is no shard: give its number and their count, such as 3/8")
        number, count = int(found[1]), int(found[2])
        if not 1 <= number <= count:
            raise UserError(f"there is no shard {number}/{count}: count from 1 to {count}")
        return cls(number=number, count=count)

    @property
    def name(self) -> str:
        return f"{self.number:05d}-of-{self.count:05d}"

    def chunks(self, rows: int) -> list[range]:
        """The chunks of this shard of so many rows."""
        chunks = [range(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK)]
        first = len(chunks) * (self.number - 1) // self.count
        return chunks[first : len(chunks) * self.number // self.count]


class ShardFolder:
    """The losses of one shard, by probe and chunk."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.store = RunStore(path, "a shard")
        self.lines = JsonLines(path / "losses.jsonl")

    def add(self, probe: str, rows: range, ids: Sequence[str], losses: Sequence[float]) -> None:
        """Keep the losses of a chunk; ids: of its rows."""
        line = {"probe": probe, "start": rows.start, "data": _checksum(ids), "losses": list(losses)}
        with self.store.writing():
            self.lines.append(line)

    def read(
        self, ids: Callable[[range], Sequence[str]]
    ) -> Iterator[tuple[str, range, list[float]]]:
        """Of each chunk that is there: probe, rows, losses. A line that a kill has torn is not.

        ids: of rows of the data. Raises UserError for losses of other data.
        """
        for line in self.lines.entries():
            losses = line["losses"]
            rows = range(line["start"], line["start"] + len(losses))
            if line["data"] != _checksum(ids(rows)):
                raise UserError(
                    f"{self.name} has rows {rows.start} to {rows.stop - 1} of other data: annotate "
                    "with the data that it was made of, or remove it"
                )
            yield line["probe"], rows, losses


def join_shards(
    folder: Path, probes: Sequence[str], ids: Sequence[str], settings: Mapping[str, Any]
) -> NDArray[np.float32]:
    """The losses [N, probes] of all shards in a folder, in the order of the data.

    Raises UserError, naming rows, if some are missing or there twice, and for a shard of other
    settings or data.
    """
    losses = np.full((len(ids), len(probes)), np.nan, dtype=np.float32)
    made_by = np.full(losses.shape, -1)
    shards = [ShardFolder(path) for path in sorted(folder.glob("*-of-*"))]
    for number, shard in enumerate(shards):
        if changed := differences(settings, shard.store.settings()):
            raise UserError(
                f"{shard.name} was made with other settings ({'; '.join(changed)}): keep the "
                "shards of one annotation"
            )
        for probe, rows, found in shard.read(lambda rows: ids[rows.start : rows.stop]):
            at = (slice(rows.start, rows.stop), probes.index(probe))
            if (made_by[at] >= 0).any():
                row = rows.start + int((made_by[at] >= 0).argmax())
                other = shards[made_by[row, at[1]]].name
                raise UserError(
                    f"row {row} ({ids[row]!r}) of {probe} is there twice, in {other} and "
                    f"{shard.name}: remove the one that is too much"
                )
            losses[at], made_by[at] = found, number
    there = f"there are {', '.join(s.name for s in shards)}" if shards else "there is none"
    for column, probe in enumerate(probes):
        if len(missing := np.flatnonzero(made_by[:, column] < 0)):
            shown = ", ".join(f"{row} ({ids[row]!r})" for row in missing[:5])
            raise UserError(
                f"{probe} lacks {len(missing):,} of {len(ids):,} rows, among them {shown}: "
                f"run the shards that are not there ({there})"
            )
    return losses


def _checksum(ids: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(ids)).encode()).hexdigest()[:16]
