"""The rows of the tables: which visual side answers, and who chooses the experts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from openmova.checkpoints.nano_spec import EXPERTS
from studies.claims.variants import VARIANTS

Routed = Mapping[str, Any]
"""What nano's router said of a question: `chosen`, names, and `scores` by name."""
Choose = Callable[[Routed, random.Random], Sequence[str]]


def dynamic(routed: Routed, rng: random.Random) -> Sequence[str]:
    """Whom the router names, as many as it likes."""
    chosen: list[str] = routed["chosen"]
    return chosen


def at_random(routed: Routed, rng: random.Random) -> Sequence[str]:
    """As many as the router names, drawn blindly."""
    return rng.sample(EXPERTS, len(routed["chosen"]))


def best(count: int, routed: Routed, rng: random.Random) -> Sequence[str]:
    """The router's best scored, always so many."""
    ranked = sorted(EXPERTS, key=lambda name: -routed["scores"][name])
    return ranked[:count]


CHOICES: dict[str, Choose] = {
    "dynamic": dynamic,
    "random": at_random,
    **{f"best-{count}": partial(best, count) for count in (1, 2, 3)},
}


@dataclass(frozen=True, kw_only=True)
class RowSpec:
    """A row: a trained variant and how its experts are chosen."""

    name: str
    variant: str
    choice: str = "dynamic"

    def routing(self, routed: Routed, *, key: str, seed: int) -> tuple[str, ...]:
        """The experts for the question of this key, in the order of the pool.

        seed: the variant's; a blind choice differs with it.
        """
        if not VARIANTS[self.variant].routed:
            return ()
        rng = random.Random(f"mini-choice-{self.choice}-{seed}-{key}")
        chosen = set(CHOICES[self.choice](routed, rng))
        return tuple(name for name in EXPERTS if name in chosen)


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """A table of answers."""

    number: int
    """In the paper."""
    title: str
    rows: tuple[RowSpec, ...]


def _rows(*variants: str) -> tuple[RowSpec, ...]:
    return tuple(RowSpec(name=VARIANTS[v].what, variant=v) for v in variants)


MOVA = RowSpec(name="MoVA", variant="mova")
TABLES = (
    TableSpec(
        number=1,
        title="One encoder, plain fusion, MoVA",
        rows=(*_rows("base", *EXPERTS, "plain-fusion"), MOVA),
    ),
    TableSpec(
        number=7,
        title="Without routing, without the MoV-Adapter",
        rows=(
            MOVA,
            RowSpec(name="random routing", variant="mova", choice="random"),
            *_rows("all-experts", "linear"),
        ),
    ),
    TableSpec(
        number=8,
        title="A fixed number of experts",
        rows=(
            *(RowSpec(name=f"K = {k}", variant="mova", choice=f"best-{k}") for k in (1, 2, 3)),
            RowSpec(name="dynamic K", variant="mova"),
        ),
    ),
    TableSpec(
        number=11,
        title="Blocks of the MoV-Adapter, and its gate",
        rows=_rows("blocks-1", "mova", "blocks-3", "blocks-4", "uniform", "slow-gate"),
    ),
)
