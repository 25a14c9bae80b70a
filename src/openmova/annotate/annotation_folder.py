"""The folder of an annotation.

DIR/run.json              what the losses depend on; an annotation goes on only with the same
DIR/losses/<probe>/       shards (annotate/shards.py)
DIR/bad.jsonl             samples that could not be used
DIR/annotations.parquet   row, id, loss_<probe> for every probe, experts: the chosen ones; its
                          metadata say with which margin
DIR/annotated.json        the data as LLaVA JSON, with `experts`
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from openmova.annotate.agreement import agreement
from openmova.annotate.probes import Probe, chosen_experts, probes_of
from openmova.annotate.shards import METADATA, merged, write_table, writing
from openmova.data.bad_samples import BadSample
from openmova.data.records import write_llava
from openmova.data.sample import Sample
from openmova.data.sources import Samples
from openmova.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the losses of an annotation depend on."""

    data: str
    samples: int
    pool: tuple[str, ...]
    """Names of the experts, in the order of their letters."""
    models: Mapping[str, str]
    """Of every probe."""
    combinations: bool = False
    batch: int = 8
    max_tokens: int = 2048
    dtype: str | None = None
    """Of the computation; the checkpoint's."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes_of(self.pool, combinations=self.combinations)


class AnnotationFolder:
    """Where an annotation is made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.noted = path / "run.json"
        self.bad = path / "bad.jsonl"
        self.table = path / "annotations.parquet"
        self.data = path / "annotated.json"

    def losses(self, probe: Probe) -> Path:
        return self.path / "losses" / probe.name

    def begin(self, settings: Settings) -> None:
        """Note the settings, or find that they are those of the annotation that goes on.

        Raises UserError for others, or if the folder can't be written.
        """
        text = json.dumps(asdict(settings), indent=1)
        if self.noted.exists():
            old = asdict(self.settings())
            if changed := [
                f"{key}: {old[key]} -> {value}"
                for key, value in asdict(settings).items()
                if old[key] != value
            ]:
                raise UserError(
                    f"{str(self.path)!r} holds an annotation with other settings "
                    f"({'; '.join(changed)}): go on with its own, or give another --output"
                )
            return
        with writing(self.noted):
            self.path.mkdir(parents=True, exist_ok=True)
            handle, unfinished = tempfile.mkstemp(dir=self.path)  # jobs may begin at once
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(unfinished, self.noted)

    def settings(self) -> Settings:
        """Raises UserError if there are none that can be read."""
        try:
            fields = json.loads(self.noted.read_text(encoding="utf-8"))
            return Settings(**{**fields, "pool": tuple(fields["pool"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{str(self.path)!r} holds no annotation that was begun: run its shards first, or "
                "check --output"
            ) from error

    def merge(self, samples: Samples, *, margin: float = 0.0) -> dict[str, Any]:
        """Join all shards of all probes into annotations.parquet and annotated.json.

        margin: see selection.py. Returns how often each expert, and each number of experts, was
        chosen, and the `agreement` with the experts that the data had, None if it had none. Raises
        UserError, naming rows, where losses are missing, there twice, or of other data.
        """
        settings = self.settings()
        ids, given = _known(samples)
        probes = settings.probes
        columns = [merged(self.losses(probe), ids) for probe in probes]
        losses = np.stack(columns, axis=1)  # [samples, probes]
        usable = [not lost.any() for lost in np.isnan(losses)]  # [samples]
        choose = partial(chosen_experts, pool=settings.pool, combinations=settings.combinations)
        chosen = choose(losses, margin=margin)
        table = {"row": pa.array(range(len(ids)), pa.int64()), "id": pa.array(ids, pa.string())}
        for probe, column in zip(probes, columns, strict=True):
            table[f"loss_{probe.name}"] = pa.array(column, pa.float32())
        table["experts"] = pa.array([list(names) for names in chosen], pa.list_(pa.string()))
        made = {METADATA: json.dumps({"margin": margin})}
        write_table(pa.table(table).replace_schema_metadata(made), self.table)
        write_llava(_annotated(samples, chosen), self.data)
        each = Counter(len(names) for names in chosen)
        rows = [row for row, experts in enumerate(given) if experts is not None and usable[row]]
        compared = None
        if rows:
            compared = agreement(
                [given[row] or () for row in rows],
                lambda other: choose(losses[rows], margin=other),
                settings.pool,
                margin=margin,
            ).to_dict()
        return {
            "samples": len(ids),
            "experts": {name: sum(name in names for names in chosen) for name in settings.pool},
            "experts_each": {str(count): each[count] for count in sorted(each)},
            "without_loss": usable.count(False),
            "agreement": compared,
        }


def _known(samples: Samples) -> tuple[list[str], list[tuple[str, ...] | None]]:
    """Every sample's id, and its experts, None where it is not annotated."""
    ids: list[str] = []
    given: list[tuple[str, ...] | None] = []
    for row in range(len(samples)):
        try:
            sample = samples[row]
        except BadSample as bad:
            ids.append(bad.id)
            given.append(None)
        else:
            ids.append(sample.id)
            given.append(None if sample.routing else sample.experts)
    return ids, given


def _annotated(samples: Samples, chosen: Sequence[tuple[str, ...]]) -> Iterator[Sample]:
    """The samples with their experts; those that can't be read are left out."""
    for row, experts in enumerate(chosen):
        try:
            sample = samples[row]
        except BadSample:
            continue
        yield sample if sample.routing else replace(sample, experts=experts)
