"""From losses to experts: the two criteria of the paper.

Separate probes (section 3.2): M0 sees with the base encoder alone, Mj with the base and expert j.
Expert j is useful for sample i iff L(i, j) < L(i, 0); of the useful ones at most three are kept,
those with the lowest losses. Combinations (table 9): a probe for every set of up to three experts;
the set with the lowest loss is chosen whole, if that is below the base's.

Both compare bare losses. A margin of ours, in nats, asks for more: every chosen expert has to lower
the loss by more than this, alone or as one more of a set. Noise lowers a loss as often as it raises
it, so without a margin half of the experts that change nothing count as useful.

A loss that is NaN chooses nothing: not its expert, and if it is the base's, not any. Equal losses
are decided by order: the expert that comes first in the pool, the smaller set, the base before all.

Shapes: N samples, E experts, S sets of experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOST = 3


def useful_experts(
    losses: NDArray[np.floating], most: int = MOST, *, margin: float = 0.0
) -> NDArray[np.bool_]:
    """The experts chosen for every sample by separate probes.

    losses: [N, 1 + E], the base's first. Returns bool [N, E], at most `most` a row.
    """
    useful = losses[:, 1:] < losses[:, :1] - margin  # [N, E]; False where either is NaN
    order = np.where(useful, losses[:, 1:], np.inf).argsort(axis=1, kind="stable")
    rank = order.argsort(axis=1, kind="stable")  # [N, E], 0 for the lowest loss
    return useful & (rank < most)


def expert_sets(experts: int, most: int = MOST) -> tuple[tuple[int, ...], ...]:
    """Every set of one to `most` experts, smaller ones first; each needs a probe of its own.

    Four experts have 14 sets, seven have 63.
    """
    return tuple(
        chosen for size in range(1, most + 1) for chosen in combinations(range(experts), size)
    )


def best_sets(
    losses: NDArray[np.floating],
    sets: Sequence[Sequence[int]],
    experts: int,
    *,
    margin: float = 0.0,
) -> NDArray[np.bool_]:
    """The experts chosen for every sample by probes of whole sets.

    losses: [N, 1 + S], the base's first, then in the order of `sets` (see `expert_sets`).
    Returns bool [N, E]. With a margin every expert of a set is a cost, so that no part of the
    chosen set has a loss that is higher by less than the margin for each expert left out.
    """
    members = np.zeros((1 + len(sets), experts), dtype=bool)  # the base's row stays empty
    for row, chosen in enumerate(sets, start=1):
        members[row, list(chosen)] = True
    costs = losses + margin * members.sum(axis=1)  # [N, 1 + S]
    below = costs < losses[:, :1]
    best = np.where(below, costs, np.inf).argmin(axis=1)  # the base where none is below
    return members[best]
