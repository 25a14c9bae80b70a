"""The loss of a sample's answer, given who looks at the picture: L(i, j) of section 3.2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from openmova.data.bad import BadSample, BadSamples
from openmova.data.samples import Samples
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.answer_loss import answer_loss
from openmova.train.collator import Collator, Row


class SampleIds(Sequence[str]):
    """The ids of samples, each read when it is asked for."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        try:
            return self.samples[index].id
        except BadSample as bad:
            return bad.id


class ProbeLosses:
    """The losses of any rows of the data, under one model and one choice of experts.

    collator: with that choice. batch: samples computed at once. A sample that can't be used has a
    loss that is not a number, goes into `bad`, and so will be annotated with no expert.
    """

    def __init__(
        self,
        model: MovaForConditionalGeneration,
        collator: Collator,
        samples: Samples,
        *,
        bad: BadSamples,
        batch: int = 8,
    ) -> None:
        self.model = model.eval()
        self.collator = collator
        self.samples = samples
        self.bad = bad
        self.batch = batch

    def __call__(self, rows: range) -> list[float]:
        """The losses in the order of the rows; the same rows give the same losses."""
        losses = [math.nan] * len(rows)
        for start in range(0, len(rows), self.batch):
            usable: dict[int, Row] = {}
            for place in range(start, min(start + self.batch, len(rows))):
                try:
                    usable[place] = self.collator.row(self.samples[rows[place]].opened())
                except BadSample as bad:
                    self.bad.add(bad)
                else:
                    self.bad.add_good()
            if usable:
                with torch.no_grad():
                    found = answer_loss(self.model, self.collator(list(usable.values())))
                means = found.losses.sum(dim=1) / found.answered.sum(dim=1)  # [B]
                for place, loss in zip(usable, means.tolist(), strict=True):
                    losses[place] = loss
        return losses
