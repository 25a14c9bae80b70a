"""Which losses an annotation needs: of the base alone, and of each expert, or set of experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmova.annotate.selection import best_sets, expert_sets, useful_experts
from openmova.errors import UserError

BASE = "base"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One way to look at the data."""

    experts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """ "base", "ocr", or "ocr+chart"; a file may have it as its name."""
        return "+".join(self.experts) or BASE


def probes_of(pool: Sequence[str], *, combinations: bool = False) -> tuple[Probe, ...]:
    """The base's probe, then those of every expert; with combinations, of every set of up to three.

    Raises UserError if an expert has the base's name.
    """
    if BASE in pool:
        raise UserError(f"an expert is called {BASE!r}, as the probe without experts is: rename it")
    sets = expert_sets(len(pool)) if combinations else expert_sets(len(pool), 1)
    return (Probe(), *(Probe(experts=tuple(pool[j] for j in chosen)) for chosen in sets))


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
    batch: int = 8
    max_tokens: int = 2048
    dtype: str | None = None
    """Of the computation; the checkpoint's."""

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes_of(self.pool, combinations=self.combinations)


def chosen_experts(
    losses: NDArray[np.floating],
    pool: Sequence[str],
    *,
    combinations: bool = False,
    margin: float = 0.0,
) -> list[tuple[str, ...]]:
    """The experts of every sample, in the order of the pool.

    losses: [samples, probes], in the order of `probes_of`. margin: see selection.py.
    """
    if combinations:
        chosen = best_sets(losses, expert_sets(len(pool)), len(pool), margin=margin)
    else:
        chosen = useful_experts(losses, margin=margin)
    return [tuple(name for name, taken in zip(pool, row, strict=True) if taken) for row in chosen]
