"""How an answer was routed, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from openmova.inference.answer import Answer


def routing_table(answer: Answer, pool: Sequence[str]) -> Table:
    """Each expert, whether it ran, its score, and its gate in each block."""
    from rich.table import Table

    from openmova.routing import expert_letters

    routing, blocks = answer.routing, len(answer.gates)
    table = Table("", "expert", "runs", "score", *(f"gate {i + 1}" for i in range(blocks)))
    for letter, name in zip(expert_letters(len(pool)), pool, strict=True):
        chosen = name in routing.experts
        gates = answer.gates[:, routing.experts.index(name)].tolist() if chosen else []
        score = f"{routing.scores[name]:.3f}" if name in routing.scores else ""
        table.add_row(letter, name, "yes" if chosen else "", score, *(f"{g:.3f}" for g in gates))
    decided = f"the router wrote: {routing.raw!r}" if routing.scores else "chosen by you"
    sure = "" if answer.confidence is None else f"; confidence {answer.confidence:.2f}"
    table.caption = f"{decided}; {answer.timings['total']:.2f} s{sure}"
    return table
