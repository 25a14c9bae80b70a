"""The nano suite: held-out images and held-out phrasings, offline, by seed.

Forms, charts and shapes are drawn anew for every seed; pictures are files that training never saw.
Each question is answered three times: routed by the model itself, with the base encoder alone, and
with all experts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from openmova.evaluate.intervals import Share, majority, percent
from openmova.evaluate.suites import Load, SuiteOptions
from openmova.inference.answer import matches
from openmova.inference.mova import Mova
from openmova.runtime.assets import NANO_SUITE, asset_folder
from openmova.runtime.run_store import Journal, Row
from studies.toy.synthetic import (
    Fact,
    PictureSet,
    Sample,
    draw_chart,
    draw_form,
    draw_picture,
    draw_shapes,
)
from studies.toy.synthetic.questions import ask

DOMAINS = ("object", "text", "chart", "location")
GROUPS = (*DOMAINS, "none")
"""The domains, and the questions about the image as a whole, which need no expert."""
DEFAULT_N = 50
FIGURES = ("routed", "base_only", "all_experts", "majority", "routing_accuracy")
MODES: dict[str, str | None] = {"routed": None, "base_only": "none", "all_experts": "all"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question of the suite; ``group`` is one of GROUPS."""

    group: str
    image: Image.Image
    question: str
    fact: Fact


def items(seed: int, n: int) -> list[Item]:
    """``n`` questions for each group, each about an image of its own."""
    held_out = PictureSet.from_folder(asset_folder(NANO_SUITE) / "pictures")
    made: list[Item] = []
    for group in GROUPS:
        for index in range(n):
            rng = random.Random(f"nano-suite-{seed}-{group}-{index}")
            domain = group if group in DOMAINS else rng.choice(DOMAINS)
            sample = _draw(domain, held_out, rng)
            facts = [f for f in sample.facts if bool(f.experts) == (group != "none")]
            kind = rng.choice(sorted({f.kind for f in facts}))
            fact = rng.choice([f for f in facts if f.kind == kind])
            question = ask(fact, rng, held_out=True)
            made.append(Item(group=group, image=sample.image, question=question, fact=fact))
    return made


def _draw(domain: str, pictures: PictureSet, rng: random.Random) -> Sample:
    if domain == "object":
        return draw_picture(rng, pictures)
    return {"text": draw_form, "chart": draw_chart, "location": draw_shapes}[domain](rng)


def run(
    mova: Mova, *, seed: int, n: int, batch: int = 8, journal: Journal | None = None
) -> dict[str, Any]:
    """Answers the suite; returns the JSON object that `openmova eval --suite nano` prints.

    Per group and over all: routed, base_only, all_experts, majority, routing_accuracy, each a share
    with its 95% Wilson interval. journal: keeps the answers, and has those of an earlier start.
    """
    journal = journal or Journal()
    asked = items(seed, n)
    answers = {
        mode: journal.complete(
            {f"{mode}/{i.group}/{number % n}": i for number, i in enumerate(asked)},
            partial(_answers, mova, mode),
            batch=batch,
            name=mode,
        )
        for mode in MODES
    }
    right = {mode: [row["right"] for row in rows] for mode, rows in answers.items()}
    right["majority"] = majority([i.fact.kind for i in asked], [i.fact.answer for i in asked])
    right["routing_accuracy"] = [
        set(row["experts"]) == set(i.fact.experts)
        for row, i in zip(answers["routed"], asked, strict=True)
    ]
    report: dict[str, Any] = {"suite": "nano", "seed": seed, "n": len(asked), "domains": {}}
    for group in GROUPS:
        report["domains"][group] = _shares(right, [i.group == group for i in asked])
    report["domains"]["overall"] = _shares(right, [True] * len(asked))
    gains = [
        report["domains"][d]["routed"]["value"] - report["domains"][d]["base_only"]["value"]
        for d in DOMAINS
    ]
    report["gain_over_base"] = round(sum(gains) / len(gains), 4)
    report["kinds"] = {
        kind: Share.of(
            [r for r, i in zip(right["routed"], asked, strict=True) if i.fact.kind == kind]
        ).to_dict()
        for kind in sorted({i.fact.kind for i in asked})
    }
    report["seconds"] = round(sum(row["seconds"] for rows in answers.values() for row in rows), 1)
    return report


def _answers(mova: Mova, mode: str, asked: list[Item]) -> Iterator[Row]:
    """What is kept of the questions of one batch."""
    pairs = [(i.image, i.question) for i in asked]
    given = mova.ask_batch(pairs, experts=MODES[mode], max_new_tokens=12, batch_size=len(pairs))
    for item, answer in zip(asked, given, strict=True):
        yield {
            "question": item.question,
            "expected": item.fact.answer,
            "answer": answer.text,
            "right": matches(answer.text, item.fact.answer),
            "experts": list(answer.routing.experts),
        }


def _shares(right: dict[str, list[bool]], kept: list[bool]) -> dict[str, dict[str, object]]:
    return {
        name: Share.of([o for o, keep in zip(outcomes, kept, strict=True) if keep]).to_dict()
        for name, outcomes in right.items()
    }


def measure(load: Load, journal: Journal, options: SuiteOptions) -> dict[str, Any]:
    """The suite's report, from the journal where it is finished."""
    if (report := journal.result) is None:
        assert options.n is not None
        report = run(
            load(None), seed=options.seed, n=options.n, batch=options.batch, journal=journal
        )
        journal.finish(report)
    return report


def show(console: Console, report: Mapping[str, Any], folder: Path | None) -> None:
    """Print the table of a report."""
    table = Table("group", *(name.replace("_", " ") for name in FIGURES))
    for group, shares in report["domains"].items():
        table.add_row(group, *(percent(shares[name]) for name in FIGURES))
    console.print(table)
    console.print(
        f"{report['n']} questions, seed {report['seed']}; routed minus base only, mean over "
        f"domains: {100 * report['gain_over_base']:+.1f} points; {report['seconds']:.0f} s",
        highlight=False,
    )
