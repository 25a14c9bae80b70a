"""What the mini suite asks: held-out images and phrasings, each with the experts that it needs.

Four groups need the expert of their domain; the fifth, bars named by their letters, needs two at
once, since only the text expert was trained to read letters and only the chart expert to read bars.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from openmova.runtime.assets import NANO_SUITE, asset_folder
from studies.toy.conversations import draw
from studies.toy.synthetic import Fact, PictureSet, Sample
from studies.toy.synthetic.questions import ask

NEEDED: dict[str, tuple[str, ...]] = {
    "object": ("object",),
    "text": ("text",),
    "chart": ("chart",),
    "location": ("location",),
    "text+chart": ("text", "chart"),
}
"""The groups, columns of every table; "location" has places, counts and colours of shapes."""
GROUPS = tuple(NEEDED)
DOMAIN = {"text+chart": "chart"}
"""Whose images a group asks about, where it is not its own."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the suite."""

    key: str
    group: str
    sample: Sample
    text: str
    fact: Fact


def questions(seed: int, n: int) -> list[Question]:
    """`n` questions for each group, each about an image of its own; every kind equally likely."""
    held_out = PictureSet.from_folder(asset_folder(NANO_SUITE) / "pictures")
    made = []
    for group, needed in NEEDED.items():
        for index in range(n):
            rng = random.Random(f"mini-suite-{seed}-{group}-{index}")
            sample = draw(DOMAIN.get(group, group), held_out, rng)
            facts = [fact for fact in sample.facts if fact.experts == needed]
            kind = rng.choice(sorted({fact.kind for fact in facts}))
            fact = rng.choice([fact for fact in facts if fact.kind == kind])
            made.append(
                Question(
                    key=f"{group}/{index}",
                    group=group,
                    sample=sample,
                    text=ask(fact, rng, held_out=True),
                    fact=fact,
                )
            )
    return made
