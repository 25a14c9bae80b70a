"""A random subset of the pool for some samples, so that one model learns to answer under any.

Such a model takes the place of all the probes of section 3.2 when routing data is made: the loss of
an answer can be asked of it for each set of experts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def random_subset(
    names: Sequence[str], *, share: float, seed: int, place: int
) -> tuple[str, ...] | None:
    """The experts of `names` that see the sample at this place of a run: a third of these samples
    is seen by none, a third by all, and for a third a coin is tossed for each expert.

    A pure function of its arguments; None, where the annotation decides: for all but a share.
    """
    rng = random.Random(f"experts-{seed}-{place}")
    if rng.random() >= share:
        return None
    kind = rng.randrange(3)
    if kind < 2:
        return tuple(names) if kind else ()
    return tuple(name for name in names if rng.random() < 0.5)
