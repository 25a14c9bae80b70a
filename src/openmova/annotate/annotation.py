"""One shard of an annotation: the losses of every probe on its part of the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from openmova.annotate.annotation_folder import AnnotationFolder, Settings
from openmova.annotate.losses import ProbeLosses, SampleIds
from openmova.annotate.probes import Probe
from openmova.annotate.shards import Shard, write_shard
from openmova.checkpoints.loading import load_model
from openmova.checkpoints.locate import checkpoint_folder
from openmova.data.bad import BadSamples
from openmova.data.samples import Samples
from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.train.collator import Collator

Compute = Callable[[Probe, range], Sequence[float]]
"""A probe's losses of some rows: `LocalLosses`, or those of a cluster (cluster.py)."""


def pool_of(model: str) -> tuple[str, ...]:
    """The names of a model's experts."""
    return tuple(MovaConfig.from_pretrained(checkpoint_folder(model)).expert_names)


def annotate_shard(
    folder: AnnotationFolder,
    samples: Samples,
    settings: Settings,
    shard: Shard,
    *,
    compute: Compute,
    tell: Callable[[str], None],
) -> None:
    """Compute and write the shard of every probe; what is finished is not computed again.

    Raises UserError as `AnnotationFolder.begin`, `write_shard` and `compute` do.
    """
    folder.begin(settings)
    about = {"settings": json.dumps(asdict(settings), sort_keys=True)}
    ids = SampleIds(samples)
    for probe in settings.probes:
        tell(f"{probe.name}, shard {shard.number}/{shard.count}")
        write_shard(folder.losses(probe), shard, ids, partial(compute, probe), about=about)


class LocalLosses:
    """The losses, computed by this process with one model at a time, read when it is first needed.

    Raises UserError if a model can't be loaded or has not the experts of its probe, and as
    `BadSamples` does.
    """

    def __init__(self, samples: Samples, settings: Settings, bad: BadSamples) -> None:
        self.samples = samples
        self.settings = settings
        self.bad = bad
        self.source = ""

    def __call__(self, probe: Probe, rows: range) -> Sequence[float]:
        settings = self.settings
        self._load(settings.models[probe.name])
        names = self.model.config.expert_names
        if lacking := [name for name in probe.experts if name not in names]:
            raise UserError(
                f"the probe model {Path(self.source).name!r} has no {', '.join(lacking)}, but "
                f"{', '.join(names)}: give the model that was trained with it"
            )
        collator = Collator(
            self.processor, names, chosen=probe.experts, max_tokens=settings.max_tokens
        )
        losses = ProbeLosses(self.model, collator, self.samples, bad=self.bad, batch=settings.batch)
        return losses(rows)

    def _load(self, source: str) -> None:
        if source != self.source:
            folder = checkpoint_folder(source)
            self.model = load_model(folder, dtype=self.settings.dtype)
            self.processor = MovaProcessor.from_pretrained(folder)
            self.source = source
