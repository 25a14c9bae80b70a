"""The conversations of the finetuning: drawn images with questions that need the same experts.

They are written as LLaVA JSON with pictures beside it, annotated by what the generator knows, so
that every command for training data works on them as on anybody's.
"""

from __future__ import annotations

import random
from pathlib import Path

from tqdm import tqdm

from openmova.data.records import write_llava
from openmova.data.sample import Sample, Turn
from studies.toy.synthetic import (
    Fact,
    PictureSet,
    draw_chart,
    draw_form,
    draw_picture,
    draw_shapes,
)
from studies.toy.synthetic import Sample as Drawn
from studies.toy.synthetic.questions import ask
from studies.toy.synthetic.sample import KINDS, is_kind

COUNTS = {"text": 900, "chart": 650, "location": 800, "object": 350}
"""Images of each domain."""
TURNS = 5
"""Questions behind an image, at most: as long as a routing prompt, so that little is padded."""
NONE_SHARE = 0.15
"""Of conversations about the image as a whole, which needs no expert."""


def write_conversations(folder: Path, pictures: PictureSet, seed: int) -> Path:
    """Draw the images into `folder`/images and write `folder`/conversations.json, whole or not at
    all; what is there already is not drawn again."""
    path = folder / "conversations.json"
    if path.exists():
        return path
    (folder / "images").mkdir(parents=True, exist_ok=True)
    places = [(domain, index) for domain, count in COUNTS.items() for index in range(count)]
    samples = []
    for domain, index in tqdm(places, desc="drawing", mininterval=10):
        rng = random.Random(f"conversation-{seed}-{domain}-{index}")
        file = folder / "images" / f"{domain}-{index:05d}.jpg"
        samples.append(conversation(draw(domain, pictures, rng), file, rng))
    write_llava(samples, path)
    return path


def draw(domain: str, pictures: PictureSet, rng: random.Random) -> Drawn:
    """An image of the domain."""
    if domain == "object":
        return draw_picture(rng, pictures)
    return {"text": draw_form, "chart": draw_chart, "location": draw_shapes}[domain](rng)


def conversation(drawn: Drawn, file: Path, rng: random.Random) -> Sample:
    """Save the image and ask about it: each fact once, all of them needing the same experts."""
    drawn.image.save(file, quality=95, subsampling=0)
    facts = _family(drawn.facts, rng)
    turns = [
        turn
        for fact in facts[:TURNS]
        for turn in (
            Turn(role="user", text=ask(fact, rng)),
            Turn(role="assistant", text=fact.answer),
        )
    ]
    return Sample(
        id=file.stem,
        image=file,
        turns=tuple(turns),
        experts=facts[0].experts,
        domain=drawn.domain,
    )


def _family(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """Facts that need the same experts, in random order.

    Of the image as a whole: its kind, and one question each to be answered by yes and by no.
    """
    chosen = a_fact(facts, rng)
    same = [fact for fact in facts if fact.experts == chosen.experts]
    if not chosen.experts:
        (kind,) = (fact for fact in same if fact.kind == "kind")
        other = rng.choice([name for name in KINDS.values() if name != kind.answer])
        same = [kind, is_kind(kind.answer, kind.answer), is_kind(other, kind.answer)]
    return rng.sample(same, len(same))


def a_fact(facts: list[Fact], rng: random.Random) -> Fact:
    """One of an image's facts; at times (NONE_SHARE) one about the image as a whole."""
    expert_needed = rng.random() >= NONE_SHARE
    return rng.choice([fact for fact in facts if bool(fact.experts) == expert_needed])
