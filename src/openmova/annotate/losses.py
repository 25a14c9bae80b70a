"""The loss of a sample's answer, given which experts see the picture: L(i, j) of section 3.2."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from openmova.annotate.selection import AnnotationSettings, Probe
from openmova.checkpoints.loading import load_model
from openmova.checkpoints.locate import checkpoint_folder
from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.sources import Samples
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.packing import looks_beyond_samples
from openmova.model.processing_mova import MovaProcessor
from openmova.train.answer_loss import answer_loss
from openmova.train.collator import Collator, Row

Chunk = tuple[Probe, range]
"""Rows whose losses are computed together."""


class LocalLosses:
    """The losses, computed by this process with one model at a time, read when it is first needed.

    Raises UserError if a model can't be loaded or has not the experts of its probe, and as
    `BadSamples` does.
    """

    def __init__(self, samples: Samples, settings: AnnotationSettings, bad: BadSamples) -> None:
        self.samples = samples
        self.settings = settings
        self.bad = bad
        self._source = ""

    def compute(self, chunks: Sequence[Chunk]) -> Generator[Sequence[float]]:
        """Of each chunk, in order."""
        for probe, rows in chunks:
            yield self.chunk_losses(probe, rows)

    def chunk_losses(self, probe: Probe, rows: range) -> list[float]:
        """In the order of the rows; the same rows give the same losses."""
        settings = self.settings
        self._load(settings.models[probe.name])
        names = self._model.config.expert_names
        if lacking := [name for name in probe.experts if name not in names]:
            raise UserError(
                f"the probe model {Path(self._source).name!r} has no {', '.join(lacking)}, but "
                f"{', '.join(names)}: give the model that was trained with it"
            )
        collator = Collator(
            self._processor, names, chosen=probe.experts, max_tokens=settings.max_tokens
        )
        return probe_losses(
            self._model,
            collator,
            self.samples,
            rows,
            bad=self.bad,
            batch=settings.batch,
            blind=probe.blind,
        )

    def _load(self, source: str) -> None:
        if source != self._source:
            folder = checkpoint_folder(source)
            self._model = load_model(folder, dtype=self.settings.dtype)
            self._processor = MovaProcessor.from_pretrained(folder)
            self._source = source


@torch.no_grad()
def probe_losses(
    model: MovaForConditionalGeneration,
    collator: Collator,
    samples: Samples,
    rows: range,
    *,
    bad: BadSamples,
    batch: int,
    blind: bool = False,
) -> list[float]:
    """The mean loss of the answers' tokens of each sample, under the collator's choice of experts.

    batch: samples computed at once; blind: without their pictures. A sample that can't be used has
    a loss that is not a number, goes into `bad`, and so will be annotated with no expert.
    """
    model.eval()
    pack = collator.max_tokens if _has_empty_tokens(model) else 0
    losses = [math.nan] * len(rows)
    for start in range(0, len(rows), batch):
        usable: dict[int, Row] = {}
        for place in range(start, min(start + batch, len(rows))):
            try:
                sample = samples[rows[place]].open()
                usable[place] = collator.row(replace(sample, image=None) if blind else sample)
            except BadSample as reason:
                bad.add(reason)
            else:
                bad.add_good()
        if usable:
            found = answer_loss(model, collator(list(usable.values())), pack=pack)
            means = found.losses.sum(dim=1) / found.answered.sum(dim=1)  # [B]
            for place, loss in zip(usable, means.tolist(), strict=True):
                losses[place] = loss
    return losses


def _has_empty_tokens(model: MovaForConditionalGeneration) -> bool:
    """Whether most image tokens of a sample may be empty, and a packed row can do without them."""
    if model.config.adapter.summary_grid is None:
        return False
    return not looks_beyond_samples(model.model.language_model)
