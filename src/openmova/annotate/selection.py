"""Which losses an annotation needs, and from losses to experts: the two criteria of the paper.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations as subsets

import numpy as np
from numpy.typing import NDArray

from openmova.errors import UserError

MOST = 3
BASE = "base"
BLIND = "blind"
"""The probe that sees no picture."""


def useful_experts(losses: NDArray[np.floating], *, margin: float = 0.0) -> NDArray[np.bool_]:
    """The experts chosen for every sample by separate probes.

    losses: [N, 1 + E], the base's first. Returns bool [N, E], at most MOST a row.
    """
    useful = losses[:, 1:] < losses[:, :1] - margin  # [N, E]; False where either is NaN
    order = np.where(useful, losses[:, 1:], np.inf).argsort(axis=1, kind="stable")
    rank = order.argsort(axis=1, kind="stable")  # [N, E], 0 for the lowest loss
    return useful & (rank < MOST)


def expert_sets(experts: int, most: int = MOST) -> tuple[tuple[int, ...], ...]:
    """Every set of one to `most` experts, smaller ones first; each needs a probe of its own.

    Four experts have 14 sets, seven have 63.
    """
    return tuple(chosen for size in range(1, most + 1) for chosen in subsets(range(experts), size))


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


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One way to look at the data."""

    experts: tuple[str, ...] = ()
    blind: bool = False

    @property
    def name(self) -> str:
        """ "base", "ocr", "ocr+chart" or "blind"; a file may have it as its name."""
        return BLIND if self.blind else "+".join(self.experts) or BASE


def probes_of(
    pool: Sequence[str], *, combinations: bool = False, dependency: bool = False
) -> tuple[Probe, ...]:
    """The base's probe, then those of every expert; with combinations, of every set of up to three;
    for the dependency, the blind one at last.

    Raises UserError if an expert has the name of another probe.
    """
    for name in (BASE, BLIND):
        if name in pool:
            raise UserError(f"an expert is called {name!r}, as a probe without is: rename it")
    sets = expert_sets(len(pool)) if combinations else expert_sets(len(pool), 1)
    seeing = (Probe(), *(Probe(experts=tuple(pool[j] for j in chosen)) for chosen in sets))
    return (*seeing, Probe(blind=True)) if dependency else seeing


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings:
    """What the losses of an annotation depend on; it goes on only with the same."""

    data: str
    samples: int
    pool: tuple[str, ...]
    """Names of the experts, in the order of their letters."""
    models: Mapping[str, str]
    """Of every probe."""
    combinations: bool = False
    dependency: bool = False
    batch: int = 8
    max_tokens: int = 2048
    dtype: str | None = None
    """Of the computation; the checkpoint's."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes_of(self.pool, combinations=self.combinations, dependency=self.dependency)


def chosen_experts(
    losses: NDArray[np.floating],
    pool: Sequence[str],
    *,
    combinations: bool = False,
    margin: float = 0.0,
) -> list[tuple[str, ...]]:
    """The experts of every sample, in the order of the pool, of losses [N, probes] in the order of
    `probes_of`. margin: see above."""
    if combinations:
        chosen = best_sets(losses, expert_sets(len(pool)), len(pool), margin=margin)
    else:
        chosen = useful_experts(losses, margin=margin)
    return [tuple(name for name, taken in zip(pool, row, strict=True) if taken) for row in chosen]
