"""The open-world suite: routing over seven experts that no training held (paper, table 10).

105 questions, each of which needs one of the seven. The prompt shows all of them, described in
words; their order, who is described how, and the page in the picture are drawn by the seed. The
model's own pool plays no part, no expert runs, and nothing is answered but the routing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from openmova.evaluate.intervals import Share, percent
from openmova.evaluate.suites import Load, SuiteOptions
from openmova.inference.mova import Mova
from openmova.runtime.run_store import Journal, Row
from studies.open_world.instructions import draw_page, open_world

DEFAULT_N = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question, and the pool that its prompt shows."""

    image: Image.Image
    question: str
    expert: str
    """The one that the question needs."""
    pool: tuple[str, ...]
    """The names in the order of the letters; the prompt does not hold them."""
    descriptions: tuple[str, ...]


def items(seed: int) -> list[Item]:
    """The suite's questions, each with its pool shuffled and worded anew."""
    experts = open_world().held_out
    made = []
    for name, expert in experts.items():
        for question in expert.questions:
            rng = random.Random(f"open-world-suite-{seed}-{question}")
            pool = rng.sample(list(experts), len(experts))
            texts = tuple(rng.choice(experts[shown].descriptions) for shown in pool)
            made.append(
                Item(
                    image=draw_page(rng),
                    question=question,
                    expert=name,
                    pool=tuple(pool),
                    descriptions=texts,
                )
            )
    return made


def run(mova: Mova, *, seed: int, batch: int = 8, journal: Journal | None = None) -> dict[str, Any]:
    """Routes the suite; returns the JSON object that `openmova eval --suite open-world` prints.

    exact: the share of questions for which the right expert and no other is chosen; included: the
    right one, others or not; none: nobody. Each with its 95% Wilson interval, exact also by expert.
    chance: of one letter drawn blindly. journal: keeps the choices, and has those of an earlier
    start.
    """
    journal = journal or Journal()
    asked = items(seed)
    rows = journal.complete(
        {f"{item.expert}/{number}": item for number, item in enumerate(asked)},
        partial(routed, mova),
        batch=batch,
        name="routing",
    )
    chosen = [set(row["chosen"]) for row in rows]
    pairs = list(zip(asked, chosen, strict=True))
    exact = [names == {item.expert} for item, names in pairs]
    return {
        "suite": "open-world",
        "seed": seed,
        "n": len(asked),
        "exact": Share.of(exact).to_dict(),
        "included": Share.of([item.expert in names for item, names in pairs]).to_dict(),
        "none": Share.of([not names for names in chosen]).to_dict(),
        "chance": round(1 / len(open_world().held_out), 4),
        "experts": {
            name: Share.of(
                [right for right, item in zip(exact, asked, strict=True) if item.expert == name]
            ).to_dict()
            for name in open_world().held_out
        },
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }


def routed(mova: Mova, asked: list[Item]) -> Iterator[Row]:
    """Whom the router chose for each question of a batch, all with pools of one size.

    Yields what a journal keeps: among others the names `needed` and `chosen`."""
    inputs = mova.processor(
        images=[item.image for item in asked],
        questions=[item.question for item in asked],
        pool=[item.descriptions for item in asked],
        return_tensors="pt",
    ).to(mova.model.device)
    result = mova.model.route(
        inputs["routing_input_ids"],
        inputs["routing_attention_mask"],
        mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"]),
        pool_size=len(asked[0].pool),
    )
    for item, row in zip(asked, result.routing.tolist(), strict=True):
        yield {
            "question": item.question,
            "pool": list(item.pool),
            "needed": [item.expert],
            "chosen": [name for name, is_chosen in zip(item.pool, row, strict=True) if is_chosen],
        }


def measure(load: Load, journal: Journal, options: SuiteOptions) -> dict[str, Any]:
    """The suite's report, from the journal where it is finished."""
    if (report := journal.result) is None:
        report = run(load(), seed=options.seed, batch=options.batch, journal=journal)
        journal.finish(report)
    return report


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the table of a report."""
    table = Table("expert", "exact")
    for name, share in report["experts"].items():
        table.add_row(name, percent(share))
    table.add_row("all", percent(report["exact"]))
    console.print(table)
    console.print(
        f"{report['n']} questions, seed {report['seed']}; the right one, others or not: "
        f"{percent(report['included'])}; nobody: {percent(report['none'])}; chance: "
        f"{100 * report['chance']:.1f}; {report['seconds']:.0f} s",
        highlight=False,
    )
