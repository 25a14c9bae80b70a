"""The samples of a whole run: which one stands where is a function of the seed and the place."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch.utils.data import Dataset

from openmova.data.bad_samples import BadSamples
from openmova.data.mixture import Mixture
from openmova.train.collator import Collator, Row


class TrainDataset(Dataset[Row]):
    """The samples of a run of any length; bad ones are replaced and noted.

    random_experts: the share of them that a random subset of the pool sees.
    """

    def __init__(
        self,
        mixture: Mixture,
        collator: Collator,
        bad: BadSamples,
        *,
        random_experts: float = 0.0,
    ) -> None:
        self.mixture = mixture
        self.collator = collator
        self.bad = bad
        self.random_experts = random_experts

    def __getitem__(self, index: int) -> Row:
        epoch, place = divmod(index, len(self.mixture))
        experts = random_subset(
            self.collator.experts, share=self.random_experts, seed=self.mixture.seed, place=index
        )
        row: Row = self.mixture.sample(
            epoch, place, self.bad, lambda sample: self.collator.row(sample, experts)
        )
        return row


def random_subset(
    names: Sequence[str], *, share: float, seed: int, place: int
) -> tuple[str, ...] | None:
    """The experts of `names` that see the sample at this place of a run: a third of these samples
    is seen by none, a third by all, and for a third a coin is tossed for each expert.

    So one model learns to answer under any routing, and takes the place of all the probes of
    section 3.2 when routing data is made. A pure function of its arguments; None, where the
    annotation decides: for all but a share.
    """
    rng = random.Random(f"experts-{seed}-{place}")
    if rng.random() >= share:
        return None
    kind = rng.randrange(3)
    if kind < 2:
        return tuple(names) if kind else ()
    return tuple(name for name in names if rng.random() < 0.5)
