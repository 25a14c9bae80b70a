"""One shard of an annotation: the losses of every probe on its part of the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from openmova.annotate.folder import AnnotationFolder, Settings
from openmova.annotate.losses import ProbeLosses, SampleIds
from openmova.annotate.probes import Probe
from openmova.annotate.shards import Shard, write_shard
from openmova.checkpoints.locate import checkpoint_folder
from openmova.configuration_mova import MovaConfig
from openmova.data.bad import BadSamples
from openmova.data.samples import Samples
from openmova.errors import UserError
from openmova.loading.model import load_model
from openmova.modeling_mova import MovaForConditionalGeneration
from openmova.processing_mova import MovaProcessor
from openmova.train.collate import Encoder


def pool_of(model: str) -> tuple[str, ...]:
    """The names of a model's experts."""
    return tuple(MovaConfig.from_pretrained(checkpoint_folder(model)).expert_names)


def annotate_shard(
    folder: AnnotationFolder,
    samples: Samples,
    settings: Settings,
    shard: Shard,
    *,
    bad_share: float,
    tell: Callable[[str], None],
) -> None:
    """Compute and write the shard of every probe; what is finished is not computed again.

    Raises UserError as `AnnotationFolder.begin` and `write_shard` do, and if a model can't be
    loaded or has not the experts of its probe.
    """
    folder.begin(settings)
    bad = BadSamples(folder.bad, share=bad_share)
    loaded = _Loaded()
    about = {"settings": json.dumps(asdict(settings), sort_keys=True)}
    for probe in settings.probes:

        def losses(rows: range, probe: Probe = probe) -> list[float]:
            model, encoder = loaded.of(settings.models[probe.name], probe, settings)
            return ProbeLosses(model, encoder, samples, bad=bad, batch=settings.batch)(rows)

        tell(f"{probe.name}, shard {shard.number}/{shard.count}")
        write_shard(folder.losses(probe), shard, SampleIds(samples), losses, about=about)


class _Loaded:
    """The model in use: one at a time, read when its first loss is asked for."""

    def __init__(self) -> None:
        self.source = ""

    def of(
        self, source: str, probe: Probe, settings: Settings
    ) -> tuple[MovaForConditionalGeneration, Encoder]:
        if source != self.source:
            folder = checkpoint_folder(source)
            self.model = load_model(folder, dtype=settings.dtype)
            self.processor = MovaProcessor.from_pretrained(folder)
            self.source = source
        names = self.model.config.expert_names
        if lacking := [name for name in probe.experts if name not in names]:
            raise UserError(
                f"the probe model {Path(source).name!r} has no {', '.join(lacking)}, but "
                f"{', '.join(names)}: give the model that was trained with it"
            )
        encoder = Encoder(
            self.processor, names, chosen=probe.experts, max_tokens=settings.max_tokens
        )
        return self.model, encoder
