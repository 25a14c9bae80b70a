"""A weighted mixture of sources, in an order that is a pure function of (seed, epoch, index).

So a run that is killed and resumed at item i sees what an uninterrupted one would, and nothing of
the order needs to be saved.

- A weight says how often a source is gone through in an epoch: 1 is once, 2 twice, 0.5 half of it.
- A source is an endless row of passes, each shuffled anew, that goes on from epoch to epoch: with
  weight 0.5 every sample is seen once in two epochs.
- Sources are spread evenly over the epoch, so that every batch is mixed: in any stretch of it, a
  source has its share but for a few items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.sample import Sample
from openmova.data.sources import Samples
from openmova.errors import UserError


@dataclass(frozen=True, kw_only=True)
class WeightedSource:
    """A source and how often an epoch goes through it."""

    samples: Samples
    weight: float = 1.0


class Mixture:
    """`len` items an epoch; `place(epoch, i)` says which sample item i is, `sample` reads it."""

    def __init__(self, sources: Sequence[WeightedSource], *, seed: int) -> None:
        self.sources = tuple(sources)
        self.seed = seed
        for source in self.sources:
            if not source.weight > 0 or not np.isfinite(source.weight):
                raise UserError(
                    f"the weight of {source.samples.name} is {source.weight:g}: "
                    "give a number above 0, or leave the source out"
                )
            if not len(source.samples):
                raise UserError(f"{source.samples.name} has no samples: give another file")
        if not self.sources:
            raise UserError("there is no data: name at least one source")
        self.counts = tuple(max(1, round(len(s.samples) * s.weight)) for s in self.sources)
        self._starts = np.cumsum([0, *self.counts])

    def __len__(self) -> int:
        """Items of an epoch."""
        return int(self._starts[-1])

    def place(self, epoch: int, index: int, later: int = 0) -> tuple[int, int]:
        """(number of the source, index in it) of item `index` of the epoch; or of the draw of the
        same source that comes `later`."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of a mixture of {len(self)}")
        drawn = int(_order(self.seed, epoch, self.counts)[index])
        number = int(np.searchsorted(self._starts, drawn, side="right")) - 1
        draw = epoch * self.counts[number] + drawn - int(self._starts[number]) + later
        samples = self.sources[number].samples
        in_pass, at = divmod(draw, len(samples))
        if not samples.random_access:
            return number, at
        return number, int(_permutation(self.seed, number, in_pass, len(samples))[at])

    def sample(
        self,
        epoch: int,
        index: int,
        bad: BadSamples,
        make: Callable[[Sample], Any] = lambda sample: sample,
    ) -> Any:
        """What `make` makes of item `index` of the epoch, with its picture decoded. A bad sample,
        also one for which `make` raises BadSample, goes into `bad`, and the next draw of its source
        takes its place. Raises UserError if too many are bad.
        """
        number, _ = self.place(epoch, index)
        samples = self.sources[number].samples
        for later in range(len(samples)):
            try:
                made = make(samples[self.place(epoch, index, later)[1]].open())
            except BadSample as error:
                bad.add(error)
            else:
                bad.add_good()
                return made
        raise UserError(f"{samples.name} has no sample that can be used: openmova data check it")


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, counts: tuple[int, ...]) -> np.ndarray:
    """int64 [items]: which draw (counted over all sources) each item of the epoch is.

    The draws of a source lie one in each of as many equal stretches of the epoch, at random within
    the stretch.
    """
    random = np.random.default_rng([seed, epoch])
    return np.argsort(
        np.concatenate([(np.arange(c) + random.random(c)) / c for c in counts]), kind="stable"
    )


@lru_cache(maxsize=64)
def _permutation(seed: int, number: int, in_pass: int, samples: int) -> np.ndarray:
    """int64 [samples]: the order of one pass through a source."""
    return np.random.default_rng([seed, number, in_pass, 1]).permutation(samples)
