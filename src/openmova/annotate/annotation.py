"""The folder of an annotation.

DIR/run.json              what the losses depend on; an annotation goes on only with the same
DIR/losses/<shard>/       shards (annotate/shards.py)
DIR/bad.jsonl             samples that could not be used
DIR/annotations.parquet   row, id, loss_<probe> for every probe, experts: the chosen ones; its
                          metadata say with which margin; dependency, dependency_<expert> and
                          dependency_rating, if they were asked for (dependency.py)
DIR/annotated.json        the data as LLaVA JSON, with `experts` and `dependency`
DIR/dependency.png        the samples that depend least and most on their pictures
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

from openmova.annotate.dependency import Dependency
from openmova.annotate.losses import Chunk
from openmova.annotate.selection import AnnotationSettings, chosen_experts
from openmova.annotate.shards import Shard, ShardFolder, join_shards
from openmova.data.contact_sheet import contact_sheet
from openmova.data.records import write_llava
from openmova.data.sample import Sample, dependency_rating
from openmova.data.sources import Samples
from openmova.images.drawing import save_picture
from openmova.runtime.files import new_file
from openmova.runtime.run_store import RunStore

SHOWN = 24
"""Samples on the contact sheet."""
MARGINS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
"""In nats. Tried for the agreement: few, so that what one gains on some hundred samples is not by
chance."""
Experts = Sequence[tuple[str, ...]]
"""Of every sample."""
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
        self.sheet = path / "dependency.png"

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

        def ids(rows: range) -> list[str]:
            return [samples.get(row).id for row in rows]

        with made.store.claim():
            made.store.begin(noted)
            with made.store.writing():
                made.lines.rewind()  # what a kill left of a last line
            finished = {(probe, rows.start) for probe, rows, _ in made.read(ids)}
            chunks = [
                (probe, rows)
                for probe in settings.probes
                for rows in shard.chunks(len(samples))
                if (probe.name, rows.start) not in finished
            ]
            told = ""
            with closing(compute(chunks)) as results:
                for (probe, rows), losses in zip(chunks, results, strict=True):
                    if probe.name != told:
                        told = probe.name
                        tell(f"{told}, shard {shard.number}/{shard.count}")
                    made.add(probe.name, rows, ids(rows), losses)

    def settings(self) -> AnnotationSettings:
        """Raises UserError if there are none that can be read."""
        fields = self.store.settings()
        return AnnotationSettings(**{**fields, "pool": tuple(fields["pool"])})

    def merge(self, samples: Samples, *, margin: float = 0.0) -> dict[str, Any]:
        """Join all shards of all probes into annotations.parquet and annotated.json.

        margin: see selection.py. Returns how often each expert, and each number of experts, was
        chosen, the `agreement` with the experts that the data had, None if it had none, and the
        summary of the `dependency`, None if it was not asked for. Raises UserError, naming rows,
        where losses are missing, there twice, or of other data.
        """
        settings = self.settings()
        ids: list[str] = []
        good: dict[int, Sample] = {}  # what is annotated
        for row in range(len(samples)):
            sample = samples.get(row)
            ids.append(sample.id)
            if isinstance(sample, Sample) and not sample.routing:
                good[row] = replace(sample, image=None)  # whose bytes may be many
        names = [probe.name for probe in settings.probes]
        losses = join_shards(self.losses, names, ids, self.store.settings())
        usable = [not lost.any() for lost in np.isnan(losses)]  # [samples]
        seen = losses[:, :-1] if settings.dependency else losses  # not the blind probe's
        choose = partial(chosen_experts, pool=settings.pool, combinations=settings.combinations)
        chosen = choose(seen, margin=margin)
        dependency = None
        if settings.dependency:
            dependency = Dependency.of(seen, losses[:, -1], chosen, settings.pool)
        table = {"row": pa.array(range(len(ids)), pa.int64()), "id": pa.array(ids, pa.string())}
        for name, column in zip(names, losses.T, strict=True):
            table[f"loss_{name}"] = pa.array(column, pa.float32())
        table["experts"] = pa.array([list(names) for names in chosen], pa.list_(pa.string()))
        if dependency is not None:
            values = [dependency.value(row) for row in range(len(ids))]
            table["dependency"] = pa.array(values, pa.float32())
            for name, column in zip(settings.pool, dependency.experts.T, strict=True):
                table[f"dependency_{name}"] = pa.array(column, pa.float32(), from_pandas=True)
            table["dependency_rating"] = pa.array(map(dependency_rating, values), pa.string())
        made_with = {"openmova": json.dumps({"margin": margin})}
        with self.store.writing():
            with new_file(self.table) as unfinished:
                pq.write_table(pa.table(table).replace_schema_metadata(made_with), unfinished)
            write_llava(_annotate(samples, chosen, dependency), self.data)
        if dependency is not None:
            rows = dependency.extremes(good, SHOWN)
            shown = {
                row: replace(samples[row], experts=chosen[row], dependency=dependency.value(row))
                for row in sorted(rows)
            }
            save_picture(contact_sheet([shown[row] for row in rows]), self.sheet)
        each = Counter(len(names) for names in chosen)
        given = {row: s.experts for row, s in good.items() if s.experts is not None and usable[row]}
        agreed = given and agreement(
            list(given.values()),
            lambda other: choose(seen[list(given)], margin=other),
            settings.pool,
            margin=margin,
        )
        return {
            "samples": len(ids),
            "experts": {name: sum(name in names for names in chosen) for name in settings.pool},
            "experts_each": {str(count): each[count] for count in sorted(each)},
            "without_loss": usable.count(False),
            "agreement": agreed or None,
            "dependency": dependency and dependency.summary(good, settings.pool),
        }


def _annotate(
    samples: Samples, chosen: Sequence[tuple[str, ...]], dependency: Dependency | None
) -> Iterator[Sample]:
    """The samples with their experts; those that can't be read are left out."""
    for row, experts in enumerate(chosen):
        sample = samples.get(row)
        if not isinstance(sample, Sample):
            continue
        if not sample.routing:
            value = sample.dependency if dependency is None else dependency.value(row)
            sample = replace(sample, experts=experts, dependency=value)
        yield sample


def agreement(
    given: Experts, choose: Callable[[float], Experts], pool: Sequence[str], *, margin: float
) -> dict[str, Any]:
    """Compare what `choose` chooses at a margin with what the data had, a known truth or people's,
    for the same samples; at least one.

    exact: the share of samples whose chosen experts are those given, no more and no less; experts:
    the precision and recall of each, None where there are no such samples; best_margin: that of
    MARGINS with which `exact` is highest, the smallest of equals, and best_exact.
    """
    chosen = choose(margin)
    found = {other: _exact(given, choose(other)) for other in MARGINS}
    best = max(found, key=lambda other: found[other])  # the first of equals
    return {
        "samples": len(given),
        "exact": _exact(given, chosen),
        "experts": {name: _of_expert(name, given, chosen) for name in pool},
        "best_margin": best,
        "best_exact": found[best],
    }


def _exact(given: Experts, chosen: Experts) -> float:
    same = sum(set(a) == set(b) for a, b in zip(given, chosen, strict=True))
    return same / len(given)


def _of_expert(name: str, given: Experts, chosen: Experts) -> dict[str, float | None]:
    both = sum(name in a and name in b for a, b in zip(given, chosen, strict=True))
    had = sum(name in experts for experts in given)
    got = sum(name in experts for experts in chosen)
    return {"precision": both / got if got else None, "recall": both / had if had else None}
