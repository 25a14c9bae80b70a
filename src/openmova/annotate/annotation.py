"""The folder of an annotation.

DIR/run.json              what the losses depend on; an annotation goes on only with the same
DIR/losses/<shard>/       shards (annotate/shards.py)
DIR/bad.jsonl             samples that could not be used
DIR/annotations.parquet   row, id, loss_<probe> for every probe, experts: the chosen ones; its
                          metadata say with which margin
DIR/annotated.json        the data as LLaVA JSON, with `experts`
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from openmova.annotate.agreement import agreement
from openmova.annotate.losses import Chunk
from openmova.annotate.selection import AnnotationSettings, chosen_experts
from openmova.annotate.shards import Shard, ShardFolder, join_shards
from openmova.data.records import write_llava
from openmova.data.sample import Sample
from openmova.data.sources import Samples
from openmova.runtime.files import new_file
from openmova.runtime.run_store import RunStore

Compute = Callable[[Sequence[Chunk]], Generator[Sequence[float]]]
"""The losses of chunks, in their order: `LocalLosses.compute`, or a cluster's (cluster.py)."""


class AnnotationFolder:
    """Where an annotation is made."""

    def __init__(self, path: Path) -> None:
        self.store = RunStore(path, "an annotation")
        self.losses = path / "losses"
        self.bad = path / "bad.jsonl"
        self.table = path / "annotations.parquet"
        self.data = path / "annotated.json"

    def annotate(
        self,
        samples: Samples,
        settings: AnnotationSettings,
        shard: Shard,
        *,
        compute: Compute,
        tell: Callable[[str], None],
    ) -> None:
        """Compute and write the losses of one shard; what is finished is not computed again.

        Raises UserError for a folder of other settings or data, one that can't be written, and if
        another process is making this shard.
        """
        noted = asdict(settings)
        self.store.begin(noted)
        made = ShardFolder(self.losses / shard.name)
        ids = SampleIds(samples)
        with made.store.claim():
            made.store.begin(noted)
            with made.store.writing():
                made.lines.rewind()  # what a kill left of a last line
            finished = {(probe, rows.start) for probe, rows, _ in made.read(ids)}
            chunks = [
                (probe, rows)
                for probe in settings.probes
                for rows in shard.chunks(len(ids))
                if (probe.name, rows.start) not in finished
            ]
            told = ""
            with closing(compute(chunks)) as results:
                for (probe, rows), losses in zip(chunks, results, strict=True):
                    if probe.name != told:
                        told = probe.name
                        tell(f"{told}, shard {shard.number}/{shard.count}")
                    made.add(probe.name, rows, ids[rows.start : rows.stop], losses)

    def settings(self) -> AnnotationSettings:
        """Raises UserError if there are none that can be read."""
        fields = self.store.settings()
        return AnnotationSettings(**{**fields, "pool": tuple(fields["pool"])})

    def merge(self, samples: Samples, *, margin: float = 0.0) -> dict[str, Any]:
        """Join all shards of all probes into annotations.parquet and annotated.json.

        margin: see selection.py. Returns how often each expert, and each number of experts, was
        chosen, and the `agreement` with the experts that the data had, None if it had none. Raises
        UserError, naming rows, where losses are missing, there twice, or of other data.
        """
        settings = self.settings()
        ids: list[str] = []
        given: list[tuple[str, ...] | None] = []
        for row in range(len(samples)):
            sample = samples.get(row)
            ids.append(sample.id)
            given.append(
                sample.experts if isinstance(sample, Sample) and not sample.routing else None
            )
        names = [probe.name for probe in settings.probes]
        losses = join_shards(self.losses, names, ids, self.store.settings())
        usable = [not lost.any() for lost in np.isnan(losses)]  # [samples]
        choose = partial(chosen_experts, pool=settings.pool, combinations=settings.combinations)
        chosen = choose(losses, margin=margin)
        table = {"row": pa.array(range(len(ids)), pa.int64()), "id": pa.array(ids, pa.string())}
        for name, column in zip(names, losses.T, strict=True):
            table[f"loss_{name}"] = pa.array(column, pa.float32())
        table["experts"] = pa.array([list(names) for names in chosen], pa.list_(pa.string()))
        made_with = {"openmova": json.dumps({"margin": margin})}
        with self.store.writing():
            with new_file(self.table) as unfinished:
                pq.write_table(pa.table(table).replace_schema_metadata(made_with), unfinished)
            write_llava(_annotate(samples, chosen), self.data)
        each = Counter(len(names) for names in chosen)
        rows = [row for row, experts in enumerate(given) if experts is not None and usable[row]]
        compared = None
        if rows:
            compared = agreement(
                [given[row] or () for row in rows],
                lambda other: choose(losses[rows], margin=other),
                settings.pool,
                margin=margin,
            )
        return {
            "samples": len(ids),
            "experts": {name: sum(name in names for names in chosen) for name in settings.pool},
            "experts_each": {str(count): each[count] for count in sorted(each)},
            "without_loss": usable.count(False),
            "agreement": compared,
        }


class SampleIds(Sequence[str]):
    """The ids of samples, each read when it is asked for."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return self.samples.get(index).id


def _annotate(samples: Samples, chosen: Sequence[tuple[str, ...]]) -> Iterator[Sample]:
    """The samples with their experts; those that can't be read are left out."""
    for row, experts in enumerate(chosen):
        sample = samples.get(row)
        if isinstance(sample, Sample):
            yield sample if sample.routing else replace(sample, experts=experts)
